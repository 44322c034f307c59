"""A grant that has run out holds no longer at once; here it leaves the disk, some while later."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from ...persistence.errors import PerdureError, SystemClosed
from ...persistence.names.scope import Principal
from ...persistence.records.shared_tables import GRANTS
from ...persistence.records.tables import Row
from ..ledger.guard import Standing
from ..ledger.unit import Step, Unit
from .policy import Policy

logger = logging.getLogger("perdure.lifecycle")

EVERY: Final = 60.0
"""Seconds between two looks for grants that have run out."""
SLICE: Final = 500
_EXPIRES: Final = GRANTS.names.index("expires")


class Desk(Protocol):
    """What a sweep needs to commit."""

    def commit(self, unit: Unit, *, name: str) -> None:
        """End a unit that is no turn's, and wait until it is durable."""
        ...


class GrantSweeper:
    """Delete grants that have run out now and then, in small commits of the system."""

    def __init__(
        self,
        policy: Policy,
        desk: Desk,
        *,
        now: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """Go by the time ``now``; ``later`` calls where one may wait for the disk."""
        self._policy = policy
        self._desk = desk
        self._now = now
        self._later = later
        self.stopped = False
        """Set to begin no further slice."""

    def begin(self) -> None:
        """Sweep every minute from now on."""
        self._later(EVERY, self._run)

    def sweep(self) -> int:
        """Delete what has run out by now; return how many grants that were."""
        due = self._policy.overdue()
        for start in range(0, len(due), SLICE):
            if self.stopped:
                return start
            unit = Unit(Standing(Principal.SYSTEM), self._policy.epoch, edge=True)
            step = _unless_holding(self._now())
            for number in due[start : start + SLICE]:
                unit.change((GRANTS, (number,)), step, checked=False)
            self._desk.commit(unit, name="(grants run out)")
        return len(due)

    def _run(self) -> None:
        try:
            self.sweep()
        except SystemClosed:
            return
        except PerdureError as error:
            logger.warning("grants that have run out stay until the next sweep: %s", error)
        self.begin()


def _unless_holding(now: float) -> Step:
    def step(row: Row | None) -> Row | None:
        expires = None if row is None else row[_EXPIRES]
        return None if isinstance(expires, float) and expires <= now else row

    return step
