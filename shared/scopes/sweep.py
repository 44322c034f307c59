"""What has expired is absent at once; here it leaves the disk, some while later."""

from __future__ import annotations

from typing import ClassVar, Final

from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Order, Row
from ..ledger.desk import Desk
from ..ledger.sweep import AT_ONCE, Sweep
from ..ledger.unit import Step
from .entries import EXPIRES

EVERY: Final = 30.0
"""Seconds between two looks for expired keys."""
SLICE: Final = 500
"""Keys that leave in one commit: a sweep must not hold up the commits of others for long."""
_BY_TIME: Final = Order(("expires",))


class KeySweep(Sweep):
    """Delete expired keys.

    A key that was written again meanwhile is left alone: its row is no longer the one that expired.
    """

    what: ClassVar[str] = "expired keys are not deleted"

    def __init__(self, desk: Desk) -> None:
        """Commit by ``desk``."""
        super().__init__()
        self._desk = desk
        self._after: Row | None = None  # where a sweep under way goes on

    def slice(self) -> float:
        """Delete a slice."""
        self._sweep_slice()
        return EVERY if self._after is None else AT_ONCE

    def sweep(self) -> int:
        """Delete what has expired by now; return how many keys that were."""
        swept = self._sweep_slice()
        while self._after is not None and not self.stopped:
            swept += self._sweep_slice()
        return swept

    def _sweep_slice(self) -> int:
        now = self._desk.now()
        after, self._after = self._after, None
        rows = self._desk.rows(None, SCOPED, _BY_TIME, after)
        due: list[Row] = []
        for row in rows:
            if len(due) == SLICE or _expires(row) > now:
                break
            due.append(row)
        if not due:
            return 0
        unit = self._desk.begin_as_system()
        gone: set[Row] = set()
        for row in due:
            unit.change((SCOPED, SCOPED.place(row)), _unless_changed(row, gone), checked=False)
        self._desk.commit(unit)
        if len(due) == SLICE:
            self._after = (due[-1][EXPIRES], *SCOPED.place(due[-1]))
        return len(gone)


def _unless_changed(expired: Row, gone: set[Row]) -> Step:
    def step(row: Row | None) -> Row | None:
        if row != expired:
            return row
        gone.add(expired)
        return None

    return step


def _expires(row: Row) -> float:
    expires = row[EXPIRES]
    assert isinstance(expires, float)
    return expires
