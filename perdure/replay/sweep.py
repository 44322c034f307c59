"""Runs the replays that are due, one at a time, and stores what came of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from operator import itemgetter
from typing import ClassVar, Final

import msgspec

from ..actors.agent.program import load_program
from ..hooks.history.erasure import rows_of
from ..hooks.history.history import History
from ..hooks.history.record import Redact
from ..lifecycle.moments import EARLY
from ..persistence.errors import (
    ConfigurationError,
    Conflict,
    Fenced,
    StoreUnavailable,
    SystemClosed,
    UnknownHook,
    UnknownReplay,
    told,
)
from ..persistence.names.scope import Principal
from ..persistence.records.shared_tables import REPLAY_RESULTS, REPLAY_SCHEDULES
from ..persistence.records.tables import Row
from ..persistence.store.store import StoreReader
from ..shared.ledger.desk import Desk
from ..shared.ledger.sweep import AT_ONCE, Sweep
from ..shared.ledger.unit import Unit
from .replayer import Replayer
from .results import MOST, ReplayResult, kept, result_of
from .schedule import ReplaySchedule
from .schedules import row_of, schedule_in

logger = logging.getLogger("perdure.replay")

EVERY: Final = 30.0
"""Seconds between two looks where nothing is due before."""
AGAIN: Final = 3600.0
"""Seconds after which a schedule is tried again of which nobody can say when it is due."""
_PLACE: Final = (0,)
"""The key of a result before its commit has a sequence."""
_NO_RUN: Final = (SystemClosed, StoreUnavailable, Fenced)
"""What says nothing about the run: it begins again, here or in the next process."""


class ReplaySweep(Sweep):
    """Run what is due, the longest due first; of what was missed, one run for each schedule.

    Invariant: the result of a run is stored in the commit that moves its schedule on. A process
    that is killed before leaves neither, and the next one runs it again for the same moment: a run
    happens at least once, its result is there exactly once.
    """

    what: ClassVar[str] = "scheduled replays do not run"
    first: ClassVar[float] = 1.0
    """Not at once: a system in which one turn is replayed is over by then."""

    def __init__(
        self,
        desk: Desk,
        store: StoreReader,
        replayer: Replayer,
        waiting: Callable[[], AbstractContextManager[None]],
        redact: Redact,
    ) -> None:
        """Run by ``replayer``, wait inside ``waiting()``; store what ``redact`` leaves."""
        super().__init__()
        self._desk = desk
        self._store = store
        self._replayer = replayer
        self._waiting = waiting
        self._redact = redact

    def slice(self) -> float:
        """Run the schedule that is due for longest."""
        now = self._desk.now()
        waiting: list[tuple[float, Row, ReplaySchedule]] = []
        for row in rows_of(self._store, REPLAY_SCHEDULES):
            schedule = schedule_in(row)
            if schedule.put_off(now):
                self._move(row, schedule, schedule.following(now))
                return AT_ONCE
            if schedule.due is not None:
                waiting.append((schedule.due, row, schedule))
        if not waiting:
            return EVERY
        due, row, schedule = min(waiting, key=itemgetter(0, 1))
        if due > now + EARLY:
            return due - now
        self._run(row, schedule, due, now)
        return AT_ONCE

    def _run(self, row: Row, schedule: ReplaySchedule, due: float, now: float) -> None:
        """Run a schedule for its moment, and store what comes of it."""
        result = self._replayed(schedule, due, now)
        try:
            following = schedule.following(max(now, due))
        except ConfigurationError as error:  # its library is gone
            following = now + AGAIN
            result = ReplayResult(schedule.name, due, now, "failed", error=told(error))
        if result.error:
            logger.warning("the replay %r failed: %s", schedule.name, result.error)
        self._move(row, schedule, following, result)

    def once(self, schedule: ReplaySchedule) -> ReplayResult:
        """Run a schedule now, beside its moments; store and return what came of it.

        UnknownReplay where it was removed meanwhile, or is another one.
        """
        now = self._desk.now()
        place = (REPLAY_SCHEDULES, (schedule.name,))
        result = self._replayed(schedule, now, now)
        unit = self._desk.begin_as(Principal.SYSTEM, 0)
        with self._desk.transaction(unit):
            found = self._desk.look(unit, place)
            if found is None or _moved(schedule_in(found), None) != _moved(schedule, None):
                message = f"the schedule {schedule.name!r} is gone, so no result of it is kept"
                raise UnknownReplay(message)
            unit.change(place, lambda _row: found, checked=True)  # not if it goes meanwhile
            result = self._put(unit, schedule, result)
        newest = next(kept(self._store, schedule.name))
        return msgspec.structs.replace(result, id=newest)

    def _replayed(self, schedule: ReplaySchedule, due: float, now: float) -> ReplayResult:
        try:
            agents = None if schedule.against is None else load_program(schedule.against).agents
            batch = self._replayer.batch(
                agents=agents, workers=schedule.workers, tell=self._tell, rules=schedule.rules,
                most=MOST, **schedule.which,
            )  # fmt: skip
            with self._waiting():
                report = batch.report()
        except _NO_RUN:
            raise
        except Exception as error:  # noqa: BLE001 - anybody's code; the schedule goes on
            return ReplayResult(schedule.name, due, now, "failed", error=told(error))
        return result_of(schedule.name, due, now, report)

    def _tell(self, _done: int, _total: int) -> None:
        """End a run, by an error in it, when the system closes: the next process begins it."""
        if self.stopped:
            raise SystemClosed("the agent system is closed; the replay runs when it is open again")

    def _move(
        self, row: Row, schedule: ReplaySchedule, due: float | None,
        result: ReplayResult | None = None,
    ) -> None:  # fmt: skip
        """Move a schedule on and store a result, unless it is another one by now."""
        name = schedule.name
        place = (REPLAY_SCHEDULES, (name,))
        moved = row_of(_moved(schedule, due))
        unit = self._desk.begin_as(Principal.SYSTEM, 0)
        try:
            with self._desk.transaction(unit):
                if self._desk.look(unit, place) != row:
                    logger.info("the schedule %r is another one by now; no result is kept", name)
                    return
                unit.change(place, lambda _row: moved, checked=True)
                if result is not None:
                    self._put(unit, schedule, result)
        except Conflict as error:
            logger.info("no result of the replay %r is kept: %s", name, error)

    def _put(self, unit: Unit, schedule: ReplaySchedule, result: ReplayResult) -> ReplayResult:
        """Store a result, and remove those that are more than are kept; return what is stored."""
        # An agent may have been erased while its turns were replayed.
        shown = [each for each in result.differing if self._is_kept(each.id)]
        result = msgspec.structs.replace(result, differing=shown)
        text = self._redact(msgspec.json.encode(result).decode())
        stored = (*_PLACE, schedule.name, text)
        unit.change((REPLAY_RESULTS, _PLACE), lambda _row: stored, blind=True)
        for number in islice(kept(self._store, schedule.name), schedule.keep - 1, None):
            unit.change((REPLAY_RESULTS, (number,)), lambda _row: None)
        return msgspec.json.decode(text, type=ReplayResult)

    def _is_kept(self, run: str) -> bool:
        try:
            History(self._store).get(run)
        except UnknownHook:
            return False
        return True


def _moved(schedule: ReplaySchedule, due: float | None) -> ReplaySchedule:
    return msgspec.structs.replace(schedule, due=due)
