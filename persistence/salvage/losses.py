"""What a salvage found, kept, mended and lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .image import Fault

MOST_NAMED: Final = 10_000
"""Losses that are named in a report; more are only counted."""

RESTORED: Final = "restored"
"""It was damaged, and something else in the file had it: nothing is lost."""
LOST: Final = "lost"
"""It is gone."""
BACK: Final = "went back"
"""An agent is as it was at an earlier version."""
PARTED: Final = "quarantined"
"""What is left of it is kept in the table ``quarantine``, or an agent waits for a person."""
UNKNOWN: Final = "not known"
"""There may have been more: nothing says what."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that was damaged, and what became of it."""

    what: str
    """An agent, a field, a log item, a map entry, mail, a timer, a scoped key, ..."""
    outcome: str
    """Restored, lost, went back, quarantined or not known."""
    kind: str = ""
    key: str = ""
    name: str = ""
    why: str = ""
    backup: str = ""
    """The newest backup that has it; empty where none has, or none was looked at."""


@dataclass(slots=True)
class Losses:
    """Losses while they are found."""

    named: list[Loss] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(
        self,
        what: str,
        outcome: str,
        kind: str = "",
        key: str = "",
        name: str = "",
        *,
        why: str = "",
    ) -> None:
        """Note one."""
        self.counts[what, outcome] += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(Loss(what, outcome, kind, key, name, why))


@dataclass(frozen=True, slots=True)
class Count:
    """How many things of a kind came to the same end."""

    what: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a salvage has made of a damaged store."""

    source: str
    target: str
    pages: int
    places: tuple[Fault, ...]
    """Places of the file that are not as they should be."""
    rows: int
    """Rows in the new store."""
    tally: tuple[Count, ...]
    losses: tuple[Loss, ...]
    """The first of what was damaged."""
    last: int
    """The newest commit in the new store."""
    journal: int
    """The newest commit of the damaged one, if its journal has none lost; else 0."""
    missing: int = 0
    """Turns that are missing at the end, at least: what the witness has seen to be durable."""
    advice: tuple[str, ...] = ()
    """Commands that bring back what is lost."""

    @property
    def whole(self) -> bool:
        """Tell whether everything that was in the store is in the new one."""
        return all(each.outcome == RESTORED for each in self.tally)
