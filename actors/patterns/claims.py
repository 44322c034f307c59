"""Who is working on what at this moment: a hint, so that two do not begin on the same.

Only in memory, as only one process writes to a store. Whether a unit really may change what it has
claimed is decided when it ends, as for everything else.
"""

from __future__ import annotations

from typing import Any, Final

from ...shared.ledger.unit import Place, Unit

FIRST_TIDY: Final = 1_024
"""Claims above which those that are over are dropped for the first time."""


class Claims:
    """Know which unit works on which place."""

    def __init__(self) -> None:
        """Begin without any."""
        self._units: dict[Place, Unit] = {}
        self._tidy_at = FIRST_TIDY

    def claim(self, place: Place, unit: Unit) -> None:
        """Note that a unit works on a place."""
        if len(self._units) >= self._tidy_at:
            self._units = {p: u for p, u in self._units.copy().items() if _works(u)}
            self._tidy_at = max(FIRST_TIDY, 2 * len(self._units))
        self._units[place] = unit

    def holds(self, place: Place, unit: Unit) -> bool:
        """Tell whether a place is taken: by another that is at work, or by this unit before."""
        holder = self._units.get(place)
        return holder is not None and (holder is unit or _works(holder))

    def release(self, place: Place, unit: Unit) -> None:
        """Let others have a place."""
        if self._units.get(place) is unit:
            self._units.pop(place, None)


def _works(unit: Unit) -> bool:
    """Tell whether the turn of a unit is under way.

    What belongs to no turn holds nobody up: nobody could tell when it was given up.
    """
    cell: Any = unit.owner
    turn = getattr(cell, "turn", None)
    if turn is None or turn.unit is not unit:
        return False
    return cell.activation is not None and not cell.activation.writer.revoked
