"""From a run that fails to one that fails by fewer changes of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

MOST_RUNS: Final = 150
"""Runs that may be tried."""


def shrunk(
    decisions: Mapping[int, int], fails: Callable[[Mapping[int, int]], bool]
) -> dict[int, int]:
    """Return as few of some decisions as still fail, as far as ``MOST_RUNS`` go (ddmin).

    Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
    """
    kept = sorted(decisions.items())
    runs, parts = 0, 1
    while kept and runs < MOST_RUNS:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            runs += 1
            if fails(dict(rest)):
                kept, parts = rest, max(1, parts - 1)
                break
            if runs >= MOST_RUNS:
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(kept))
    return dict(kept)
