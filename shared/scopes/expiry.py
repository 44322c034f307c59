"""What has expired is absent at once; here it leaves the disk, some while later."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from ...persistence.errors import PerdureError, SystemClosed
from ...persistence.names.scope import Principal
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Order, Row
from ..ledger.guard import Standing
from ..ledger.ledger import Ledger
from ..ledger.unit import Step, Unit
from .entries import EXPIRES

logger = logging.getLogger("perdure.lifecycle")

EVERY: Final = 60.0
"""Seconds between two looks for expired keys."""
SLICE: Final = 500
"""Keys that leave in one commit: a sweep must not hold up the commits of others for long."""
_BY_TIME: Final = Order(("expires",))


class Desk(Protocol):
    """What a sweep needs to commit."""

    def commit(self, unit: Unit) -> None:
        """End a unit that is no turn's, and wait until it is durable."""
        ...


class Sweeper:
    """Delete expired keys now and then, in small commits of the system.

    A slice is a commit as any other, so a sweep that was interrupted goes on with the next one. A
    key that was written again meanwhile is left alone: its row is no longer the one that expired.
    """

    def __init__(
        self,
        ledger: Ledger,
        desk: Desk,
        *,
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """Go by the time ``now``; ``later`` calls where one may wait for the disk."""
        self._ledger = ledger
        self._desk = desk
        self._now = now
        self._later = later
        self.stopped = False
        """Set to begin no further slice."""

    def begin(self) -> None:
        """Sweep every minute from now on."""
        self._later(EVERY, self._run)

    def sweep(self) -> int:
        """Delete what has expired by now; return how many keys that were."""
        now, swept = self._now(), 0
        after: Row | None = None
        while not self.stopped:
            rows = self._ledger.page(SCOPED, _BY_TIME, after, SLICE)
            due = [row for row in rows if _expires(row) <= now]
            if due:
                swept += self._delete(due)
                after = (due[-1][EXPIRES], *SCOPED.place(due[-1]))
            if len(due) < SLICE:
                break
        return swept

    def _delete(self, rows: list[Row]) -> int:
        unit = Unit(Standing(Principal.SYSTEM), self._ledger.guard.epoch, edge=True)
        gone: set[Row] = set()
        for row in rows:
            unit.change((SCOPED, SCOPED.place(row)), _unless_changed(row, gone), checked=False)
        self._desk.commit(unit)
        return len(gone)

    def _run(self) -> None:
        try:
            swept = self.sweep()
        except SystemClosed:
            return
        except PerdureError as error:
            logger.warning("expired keys stay until the next sweep: %s", error)
        else:
            logger.debug("%d expired keys were deleted", swept)
        self.begin()


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
