"""A grant that has run out holds no longer at once; here it leaves the disk, some while later."""

from __future__ import annotations

from typing import ClassVar, Final

from ...persistence.records.shared_tables import GRANTS
from ...persistence.records.tables import Row
from ..ledger.desk import Desk
from ..ledger.sweep import Sweep
from ..ledger.unit import Step
from .policy import Policy

EVERY: Final = 30.0
"""Seconds between two looks for grants that have run out."""
SLICE: Final = 500
_EXPIRES: Final = GRANTS.names.index("expires")


class GrantSweep(Sweep):
    """Delete grants that have run out."""

    what: ClassVar[str] = "grants that have run out are not deleted"

    def __init__(self, policy: Policy, desk: Desk) -> None:
        """Look in ``policy``, commit by ``desk``."""
        super().__init__()
        self._policy = policy
        self._desk = desk

    def slice(self) -> float:
        """Delete all of them: there are few."""
        self.sweep()
        return EVERY

    def sweep(self) -> int:
        """Delete what has run out by now; return how many grants that were."""
        due = self._policy.overdue()
        for start in range(0, len(due), SLICE):
            if self.stopped:
                return start
            unit = self._desk.begin_as_system()
            step = _unless_holding(self._desk.now())
            for number in due[start : start + SLICE]:
                unit.change((GRANTS, (number,)), step, checked=False)
            self._desk.commit(unit, name="(grants run out)")
        return len(due)


def _unless_holding(now: float) -> Step:
    def step(row: Row | None) -> Row | None:
        expires = None if row is None else row[_EXPIRES]
        return None if isinstance(expires, float) and expires <= now else row

    return step
