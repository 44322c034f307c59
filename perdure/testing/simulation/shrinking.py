"""From a run that fails to one that fails by fewer changes of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from .choices import Place

MOST_RUNS: Final = 200
"""Runs that may be tried."""
Decisions = Mapping[Place, int]


def shrunk(decisions: Decisions, fails: Callable[[Decisions], bool]) -> dict[Place, int]:
    """Return as few of some decisions as still fail, as far as ``MOST_RUNS`` go.

    First those behind the last that matters are dropped, then parts of the rest, from the end:
    what is left out changes what comes behind it. The parts are halved as in ddmin (Zeller and
    Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Last come short cuts:
    of two changes, one that leads at once to where the second has led.
    """
    tries = _Tries(fails)
    kept = list(decisions.items())
    low, high = 0, len(kept)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if tries.fails(kept[:middle]) else (middle + 1, high)
    kept = kept[:high]
    size = max(1, len(kept) // 2)
    while kept and tries.left:
        before = len(kept)
        end = before
        while end > 0 and tries.left:
            start = max(0, end - size)
            if tries.fails(kept[:start] + kept[end:]):
                del kept[start:end]
            end = start
        if size == 1 and len(kept) == before:
            break
        size = max(1, size // 2)
    return dict(_by_short_cuts(kept, tries))


def _by_short_cuts(kept: list[tuple[Place, int]], tries: _Tries) -> list[tuple[Place, int]]:
    at = 0
    while at + 1 < len(kept) and tries.left:
        (place, _), (_, thread) = kept[at : at + 2]
        shorter = [*kept[:at], (place, thread), *kept[at + 2 :]]
        if tries.fails(shorter):
            kept = shorter
        else:
            at += 1
    return kept


class _Tries:
    def __init__(self, fails: Callable[[Decisions], bool]) -> None:
        self._fails = fails
        self.left = MOST_RUNS

    def fails(self, kept: list[tuple[Place, int]]) -> bool:
        """Try some decisions."""
        self.left -= 1
        return self._fails(dict(kept))
