"""What a caller sees of the ledger: what is durable at the edge, what is newest in a turn."""

from __future__ import annotations

from collections.abc import Iterator

from ...persistence.errors import CorruptState
from ...persistence.records.tables import Order, Row, Table
from . import merged
from .ledger import Ledger
from .unit import Place, Unit, Witness


class View:
    """Look at rows, for a caller without a unit or in one."""

    def __init__(self, ledger: Ledger) -> None:
        """Look into ``ledger``."""
        self.ledger = ledger

    def behold(self, unit: Unit | None, place: Place, *, blind: bool = False) -> Row | None:
        """Return a row as the caller may see it, without what its unit makes of it.

        None for a damaged one if it is to be replaced: by the unit, or ``blind`` by the next step.
        """
        try:
            if unit is None or unit.edge:
                return self.ledger.durable(*place)
            return self.ledger.newest(*place)
        except CorruptState:
            if unit is None or not (place in unit.replaced or (blind and place not in unit.steps)):
                raise
            return None

    def glance(self, unit: Unit | None, place: Place) -> Row | None:
        """Return a row as the caller sees it; by the time its unit ends it may be another."""
        row = self.behold(unit, place)
        if unit is None:
            return row
        if not unit.edge and self.ledger.under_way(place):
            self.learnt()
        if unit.witness is not None:
            unit.witness.saw(*place, row)
        return unit.seen(place, unit.base(place, row))

    def rows(
        self, unit: Unit | None, table: Table, order: Order, after: Row | None = None
    ) -> Iterator[Row]:
        """Iterate over rows in an order as the caller sees them; nothing holds them as they are."""
        if unit is not None and not unit.edge:
            self.learnt()
        rows = merged.rows(self.ledger, unit, table, order, after)
        if unit is None or unit.witness is None:
            return rows
        return _told(rows, table, unit, unit.witness)

    def learnt(self) -> None:
        """Take note that the turn under way knows what may not be durable yet."""


def _told(rows: Iterator[Row], table: Table, unit: Unit, witness: Witness) -> Iterator[Row]:
    """Iterate over rows, each told to a witness that the unit has not made itself."""
    for row in rows:
        place = table.place(row)
        if (table, place) not in unit.steps:
            witness.saw(table, place, row)
        yield row
