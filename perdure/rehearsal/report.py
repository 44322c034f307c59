"""What a rehearsal found: each agent, message and timer that was tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..replay.junit import JUnitCase, suite

Outcome: TypeAlias = Literal["ok", "failed", "skipped"]
_WORDS: Final[dict[str, Literal["", "failure", "skipped"]]] = {
    "ok": "", "failed": "failure", "skipped": "skipped",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tried:
    """One thing that was tried."""

    what: str
    """An agent, a message, a timer, a shared value or the metadata of an artifact."""
    kind: str
    key: str
    name: str = ""
    """Of a message its method and id, of a timer its name."""
    outcome: Outcome = "ok"
    told: str = ""
    """Why it failed, with the path of the value; or why it was skipped."""
    migrated: bool = False

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "what": self.what, "kind": self.kind, "key": self.key, "name": self.name,
            "outcome": self.outcome, "told": self.told, "migrated": self.migrated,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All that was tried."""

    tried: tuple[Tried, ...]
    seconds: float

    @property
    def problems(self) -> list[Tried]:
        """What failed."""
        return [each for each in self.tried if each.outcome == "failed"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.problems

    @property
    def counts(self) -> dict[str, int]:
        """How many were tried, by what they are and what came of it."""
        found = Counter(f"{each.what}s {each.outcome}" for each in self.tried)
        found.update(f"{each.what}s migrated" for each in self.tried if each.migrated)
        return {name: count for name, count in sorted(found.items()) if count}

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it: counts, and what did not pass."""
        return {
            "passed": self.passed, "counts": self.counts, "seconds": self.seconds,
            "not_passed": [each.record() for each in self.tried if each.outcome != "ok"],
        }  # fmt: skip

    def junit(self) -> str:
        """Return it as JUnit XML, a test case for each thing that was tried."""
        return suite("perdure rehearse", map(_case, self.tried), self.seconds)


def _case(tried: Tried) -> JUnitCase:
    name = f"{tried.what} {tried.key} {tried.name}".rstrip()
    return JUnitCase(tried.kind, name, _WORDS[tried.outcome], tried.told)
