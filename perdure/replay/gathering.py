"""What is kept of replays as they come: what differs, and of the rest who it was, or a count."""

from __future__ import annotations

from bisect import insort
from collections import Counter

import msgspec

from ..hooks.history.history import placed
from .outcome import DIFFERING, Replay
from .report import ReplayReport


class Gathering:
    """Take replays in any order, and report them in that of the history. Not thread-safe.

    Keeps all, those that came out the same without their sides; with ``most`` only so many of
    those that differ, the first in the history, and counts the others.
    """

    def __init__(self, most: int | None = None) -> None:
        """Begin with none."""
        self._most = most
        self._counts: Counter[str] = Counter()
        self._kept: list[Replay] = []

    def take(self, replay: Replay) -> None:
        """Take one more."""
        self._counts[replay.outcome] += 1
        if self._most is None:
            if replay.same:
                replay = msgspec.structs.replace(replay, recorded={}, replayed={})
            self._kept.append(replay)
        elif replay.outcome in DIFFERING:
            insort(self._kept, replay, key=_place)
            del self._kept[self._most :]

    def report(self, *, cancelled: bool, left_out: int, seconds: float) -> ReplayReport:
        """Return what came until now."""
        differing = sum(self._counts[outcome] for outcome in DIFFERING)
        more = 0 if self._most is None else differing - len(self._kept)
        kept = sorted(self._kept, key=_place)
        return ReplayReport(kept, dict(self._counts), cancelled, left_out, seconds, more)


def report_of(*replays: Replay) -> ReplayReport:
    """Return a report of some replays, in this order, with both sides of each."""
    counts = Counter[str](replay.outcome for replay in replays)
    return ReplayReport([*replays], dict(counts))


def _place(replay: Replay) -> tuple[int, int]:
    place = placed(replay.id)
    assert place is not None
    return place
