"""The schedules of a store: made, listed, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

import msgspec

from ..persistence.errors import ConfigurationError, Denied, UnknownReplay
from ..persistence.names.scope import Principal, Scope
from ..persistence.records.page import LIMIT, Page, checked_limit, page_of, walk
from ..persistence.records.shared_tables import REPLAY_RESULTS, REPLAY_SCHEDULES
from ..persistence.records.tables import Order, Row
from ..persistence.store.store import StoreReader
from ..shared.ledger.desk import Desk, Handle
from ..shared.ledger.guard import Decision, Right, Use, recorded
from ..shared.ledger.unit import Place, Unit
from .results import kept, refuse_others
from .schedule import CALL, ReplaySchedule

REPLAY: Final = "(replay)"
"""The key under which all rights on an agent's scope allow to replay its turns."""
SCHEDULING: Final = "schedule replays"
_UP: Final = Order(("name",))


class ReplaySchedules(Handle):
    """Which recorded turns are replayed when, by name. The system's: Denied to all others."""

    def __init__(self, desk: Desk, store: StoreReader) -> None:
        """Find them in ``store``."""
        super().__init__(desk)
        self._store = store

    def list(self, *, after: str | None = None, limit: int = LIMIT) -> Page[ReplaySchedule]:
        """Return a page of the schedules; ``after`` is the name of the one before."""
        refuse_others(self._desk, "see which replays are scheduled")
        most = checked_limit(limit)
        place = None if after is None else (after,)
        rows = self._store.page(REPLAY_SCHEDULES, _UP, place, most + 1)
        return page_of(map(schedule_in, rows), most, attrgetter("name"))

    def each(self, *, after: str | None = None) -> Iterator[ReplaySchedule]:
        """Iterate over all schedules in that order."""
        return walk(lambda place: self.list(after=place), after)

    def count(self) -> int:
        """Return how many schedules there are."""
        return sum(1 for _ in self.each())

    def get(self, name: str) -> ReplaySchedule:
        """Return a schedule; UnknownReplay if there is none of that name."""
        refuse_others(self._desk, "see which replays are scheduled")
        row = self._store.row(REPLAY_SCHEDULES, (name,))
        if row is None:
            raise _unknown(name)
        return schedule_in(row)

    def remove(self, name: str) -> None:
        """Remove a schedule and its results; one that runs just now leaves no result.

        UnknownReplay if there is none of that name.
        """

        def removed(unit: Unit) -> None:
            place: Place = (REPLAY_SCHEDULES, (name,))
            if self._desk.look(unit, place) is None:
                raise _unknown(name)
            unit.change(place, lambda _row: None, checked=True)
            # What a run has stored is durable: the look has waited for its schedule.
            for number in kept(self._store, name):
                unit.change((REPLAY_RESULTS, (number,)), lambda _row: None)

        as_the_system(self._desk, "replay.remove", SCHEDULING, removed)


def put_schedule(desk: Desk, schedule: ReplaySchedule) -> None:
    """Store a schedule; ConfigurationError if its name is taken, Denied to all but the system."""
    place: Place = (REPLAY_SCHEDULES, (schedule.name,))
    row = row_of(schedule)

    def added(unit: Unit) -> None:
        if desk.look(unit, place) is not None:
            message = (
                f"{CALL}({schedule.name!r}): there is a schedule of that name; remove it first,"
                " or take another"
            )
            raise ConfigurationError(message)
        unit.change(place, lambda _row: row, checked=True)

    as_the_system(desk, CALL, SCHEDULING, added)


def permit(desk: Desk, operation: str, what: str) -> None:
    """Raise Denied to who is not the system; that is in the audit."""
    if desk.standing().principal != Principal.SYSTEM:
        as_the_system(desk, operation, what, _nothing)


def as_the_system(desk: Desk, operation: str, what: str, work: Callable[[Unit], None]) -> None:
    """Have a change made, with what the audit keeps of it; Denied to who is not the system."""
    use = Use(Right.ALL, Scope.GLOBAL, REPLAY, operation)

    def worked(unit: Unit) -> None:
        allowed = unit.standing.principal == Principal.SYSTEM
        if allowed:
            work(unit)
        decision = Decision(allowed, "the system's")
        unit.audit.append(recorded(desk.now(), unit.standing, use, decision))
        if not allowed:
            raise Denied(f"{unit.standing.principal} may not {what}; only the system may")

    desk.run(worked)


def row_of(schedule: ReplaySchedule) -> Row:
    """Return a schedule as it is stored."""
    return schedule.name, msgspec.json.encode(schedule).decode()


def schedule_in(row: Row) -> ReplaySchedule:
    """Return a stored schedule."""
    return msgspec.json.decode(str(row[1]), type=ReplaySchedule)


def _nothing(_unit: Unit) -> None:
    """Change nothing."""


def _unknown(name: str) -> UnknownReplay:
    return UnknownReplay(f"there is no schedule {name!r:.80}; replay.schedules.list() has all")
