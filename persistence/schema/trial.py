"""What a migration does, or would do: tried on every stored agent, and nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..errors import CorruptState, PerdureError
from ..records.records import StoredAgent
from ..store.store import StoreReader
from .evolution import Evolution
from .rewrite import Rewritten

PAGE: Final = 500
"""Keys that are read at once."""
ROOM: Final = 64 * 1024 * 1024
"""Bytes that are kept of a trial, so that it need not be done again."""
_WEIGHT: Final = 250
"""Bytes that a text takes beside its characters, with what leads to it."""
SAMPLES: Final = 3
"""Agents of a kind that are shown before and after."""

Loaded: TypeAlias = tuple[str, StoredAgent | CorruptState | None]
"""The key of an agent, with what is stored of it, or why that cannot be read."""
Tell = Callable[[int, int, str], None]
"""Is told how many agents are done, out of how many, and which kind is at work."""


@dataclass(frozen=True, slots=True)
class MigrationFailure:
    """An agent that cannot be migrated; it is as it was."""

    kind: str
    key: str
    reason: str
    """With the path of the value and the step, where there is one."""


class Trials:
    """What a trial has made of agents, for whoever takes it over: within a bound of memory."""

    def __init__(self, room: int = ROOM) -> None:
        """Keep up to so many bytes, about."""
        self._room = room
        self._made: dict[tuple[str, str], tuple[int, Rewritten]] = {}

    def keep(self, stored: StoredAgent, made: Rewritten) -> None:
        """Keep what becomes of an agent as it is stored, if there is room."""
        delta = made.delta
        if delta.plain:
            size = _WEIGHT + sum(len(text) + _WEIGHT for text in delta.fields.values())
            if size <= self._room:
                self._room -= size
                lean = Rewritten(made.name, delta, made.steps, made.left)
                self._made[stored.head.kind, stored.head.key] = stored.head.sequence, lean

    def take(self, stored: StoredAgent) -> Rewritten | None:
        """Return what becomes of an agent, once; None if it is not known, or it has changed."""
        sequence, made = self._made.pop((stored.head.kind, stored.head.key), (0, None))
        return made if sequence == stored.head.sequence else None


@dataclass(frozen=True, slots=True)
class MigrationSample:
    """What became, or would become, of one agent."""

    kind: str
    key: str
    before: dict[str, Any]
    after: dict[str, Any]
    """Only the values that were looked at."""


@dataclass(slots=True)
class MigrationReport:
    """What a migration did, or in a dry run would do."""

    dry: bool
    migrated: Counter[str] = field(default_factory=Counter)
    """By kind: agents whose values were rewritten."""
    compatible: Counter[str] = field(default_factory=Counter)
    """By kind: agents that are read as they are, and were only marked so."""
    waiting: Counter[str] = field(default_factory=Counter)
    """By kind: messages, dead letters and timers that were rewritten for its methods."""
    values: Counter[str] = field(default_factory=Counter)
    """Shared values and metadata of artifacts that were rewritten for their types."""
    left: Counter[str] = field(default_factory=Counter)
    """By kind and field: agents of which a value stays that nothing reads any more."""
    failures: list[MigrationFailure] = field(default_factory=list)
    samples: list[MigrationSample] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no agent failed."""
        return not self.failures

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "dry": self.dry, "migrated": dict(self.migrated), "compatible": dict(self.compatible),
            "waiting": dict(self.waiting), "values": dict(self.values), "left": dict(self.left),
            "not_migrated": [
                {"kind": each.kind, "key": each.key, "reason": each.reason}
                for each in self.failures
            ],
            "samples": [
                {"kind": s.kind, "key": s.key, "before": s.before, "after": s.after}
                for s in self.samples
            ],
        }  # fmt: skip


def stale_keys(store: StoreReader, goals: Mapping[str, int]) -> Iterator[tuple[str, Sequence[str]]]:
    """Iterate over the agents that were written with another schema than the goal of their kind.

    Kind by kind, some keys at a time.
    """
    for kind, goal in goals.items():
        after = ""
        while keys := store.written_otherwise(kind, goal, after, PAGE):
            yield kind, keys
            after = keys[-1]


def loaded(store: StoreReader, kind: str, keys: Sequence[str]) -> Iterator[Loaded]:
    """Iterate over agents as they are stored, read together; each is None if it is gone by now.

    The error stands in the place of one that cannot be read.
    """
    found = {stored.head.key: stored for stored in store.load_many(kind, keys)}
    for key in keys:
        if key in found:
            yield key, found[key]
            continue
        try:
            yield key, store.load(kind, key)
        except CorruptState as error:
            yield key, error


def tried(
    store: StoreReader, evolution: Evolution, goals: Mapping[str, int], progress: Progress,
    *, largest: int, trials: Trials | None = None,
) -> MigrationReport:  # fmt: skip
    """Compute what becomes of every agent, and change nothing; ``trials`` keeps it."""
    report = MigrationReport(dry=True)
    for kind, keys in stale_keys(store, goals):
        for key, stored in loaded(store, kind, keys):
            try:
                if isinstance(stored, CorruptState):
                    raise stored
                if stored is not None and stored.schema != goals[kind]:
                    moved = evolution.moved(store, stored, goals[kind], largest=largest)
                    _count(report, kind, key, moved)
                    if trials is not None and moved is not None:
                        trials.keep(stored, moved)
            except PerdureError as error:
                report.failures.append(MigrationFailure(kind, key, str(error)))
            progress.step(kind)
    return report


class Progress:
    """Tells how far a run is."""

    def __init__(self, store: StoreReader, goals: Mapping[str, int], tell: Tell | None) -> None:
        """Count what is to be done, if anybody wants to know."""
        self.done = 0
        """How many agents are done."""
        self._tell = tell
        self._total = 0
        if tell is not None:
            for kind, goal in goals.items():
                there = store.written_with(kind)
                self._total += sum(count for number, count in there.items() if number != goal)

    def step(self, kind: str) -> None:
        """One agent more is done."""
        self.done += 1
        if self._tell is not None:
            self._tell(self.done, max(self.done, self._total), kind)


def _count(report: MigrationReport, kind: str, key: str, moved: Rewritten | None) -> None:
    if moved is None:
        report.compatible[kind] += 1
        return
    report.migrated[kind] += 1
    for name in moved.left:
        report.left[f"{kind}.{name}"] += 1
    if report.migrated[kind] <= SAMPLES:
        report.samples.append(MigrationSample(kind, key, moved.before, moved.after))
