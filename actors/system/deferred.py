"""Calls of hooks that were deferred: made later, each in one commit with the end of its row."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import ClassVar, Final

import msgspec

from ...hooks.acting import in_name_of
from ...hooks.breaker import BreakerState
from ...hooks.details import SaveDetails
from ...hooks.following import following
from ...hooks.history.input import details_in
from ...hooks.history.queue import DeferredCall, call_of, calls_in
from ...hooks.history.record import record_of
from ...hooks.hook import Hook, HookRun
from ...persistence.errors import (
    Conflict,
    HookFailed,
    PerdureError,
    StoreError,
    SystemClosed,
    UnknownHook,
)
from ...persistence.names.scope import Principal
from ...persistence.records.page import LIMIT, Page, page_of
from ...persistence.records.shared_tables import ATTEMPTS as COUNTS
from ...persistence.records.shared_tables import HOOK_QUEUE
from ...persistence.records.tables import Key, Order, Row
from ...persistence.store.store import StoreReader
from ...shared.ledger.sweep import AT_ONCE, Sweep
from ...shared.ledger.unit import Unit
from ..cell.attempts import Care
from ..cell.cell import Surroundings
from ..cell.listeners import keep_runs
from .listening import listening
from .post import refuse_agents

logger = logging.getLogger("perdure.actors")

EVERY: Final = 30.0
"""Seconds between two tries of what failed."""
SOON: Final = 0.05
"""Seconds until a call is made again that was overtaken by others."""
SLICE: Final = 100
ATTEMPTS: Final = 5
"""Times a call is tried before it is given up, and stands in the history as failed."""
_UP: Final = Order(("sequence",))


def _nothing() -> None:
    """Call nothing."""


class DeferredSweep(Sweep):
    """Make the calls that are due, in the order of their commits."""

    what: ClassVar[str] = "deferred hooks are not called"
    first: ClassVar[float] = 0.0

    def __init__(self, home: Surroundings) -> None:
        """Call the hooks of a system."""
        super().__init__()
        self._home = home
        self._counted: dict[Key, int] = {}
        """How often this process has begun a call that has not ended, by its place."""
        self._missing: dict[str, float] = {}
        """Hooks that calls wait for, which nobody has registered, and since when."""
        self._told: set[str] = set()
        self._kept_waiting = False
        """Whether calls wait for a hook that is disabled, or registered at another point."""
        self._overtaken = False
        self._calling = threading.Lock()
        """Held during a call: a slice and the drain may both be under way."""
        self._first = home.supervisor.committer.appended + 1
        """The first commit of this process."""
        home.hooks.deferred = self._stored
        home.hooks.others = self._look_again

    def slice(self) -> float:
        """Make some calls."""
        self._overtaken = self._kept_waiting = False
        for row in self._rows():
            self._call(row)
        self._tell_of_missing(self._home.clock.monotonic() - EVERY)
        return SOON if self._overtaken else EVERY

    def _rows(self) -> Iterator[Row]:
        """Iterate over the calls that are stored, until this is stopped."""
        after: Row | None = None
        while page := self._home.store.page(HOOK_QUEUE, _UP, after, SLICE):
            for row in page:
                if self.stopped:
                    return
                yield row
            after = page[-1][:2]

    def drain(self, seconds: float) -> None:
        """Make what is stored before the system closes, for up to some seconds.

        What a failing or lost store keeps from being read stays stored, for the next process.
        """
        end = time.monotonic() + seconds
        try:
            if not self._home.supervisor.committer.flush(seconds, while_held=False):
                return
            for row in self._rows():
                if time.monotonic() > end:
                    return
                self._call(row)
            self._tell_of_missing(math.inf)
        except PerdureError as error:
            logger.warning("deferred hooks are called by the next process: %s", error)

    def _stored(self, sequence: int) -> None:
        """Have calls made as soon as they are durable; the system is not idle before that."""
        home, work = self._home, (self, sequence)
        home.agenda.begin(work)

        def durable() -> None:
            self.due(AT_ONCE)
            home.agenda.end(work)

        home.supervisor.committer.once_durable(sequence, durable)

    def _call(self, row: Row) -> None:
        """Make a call unless somebody has made it, or leave it for later."""
        with self._calling:
            if self._home.store.row(HOOK_QUEUE, row[:2]) is not None:
                self._try(row)

    def reason(self, row: Row) -> str:
        """Return why a call waits; empty for one that is made as soon as it is durable."""
        name, point = str(row[3]), str(row[4])
        try:
            hook = self._home.hooks.registry.get(name)
        except UnknownHook:
            return "nobody has registered the hook"
        if not hook.enabled:
            return "the hook is disabled"
        if hook.point.name != point:
            return f"the hook is registered at {hook.point}"
        if self._home.desk.guard.excludes(_owner(hook, row)):
            return "its agent is isolated"
        if hook.circuit.state is not BreakerState.CLOSED:
            return "the hook is left alone for a while: it failed too often"
        failed = self._begun(_place(row))
        return f"it has failed {failed} of {ATTEMPTS} times" if failed else ""

    def _try(self, row: Row) -> None:
        hook = self._ready(row)
        if hook is None:
            return
        place = _place(row)
        runs: list[HookRun] = []
        begun = self._begun(place)
        if begun >= ATTEMPTS:
            killed = HookFailed("its process ended in it, and that was its last attempt")
            self._give_up(hook, row, runs, killed)
            return
        try:
            if self._may_kill(row, begun):
                self._count(place, begun + 1, durably=True)
            self._make(hook, row, runs)
        except Conflict:  # others were first: no attempt
            self._count(place, begun)
            self._overtaken = True
        except (StoreError, SystemClosed):
            raise  # that is not the hook's doing
        except Exception as error:  # noqa: BLE001 - anybody's code; it is logged
            if isinstance(error, HookFailed) and error.__cause__ is None:
                self._count(place, begun)  # its breaker is open: that is no attempt
            elif begun + 1 < ATTEMPTS:
                self._count(place, begun + 1)
                keep_runs(self._home, runs, (0, int(str(row[0]))))
            else:
                self._give_up(hook, row, runs, error)
        else:
            self._counted.pop(place, None)

    def _ready(self, row: Row) -> Hook | None:
        """Return the hook of a call; None where the call waits, as ``reason`` says."""
        hook = self._hook(str(row[3]))
        if hook is None:
            return None
        if not hook.enabled or hook.point.name != str(row[4]):
            self._kept_waiting = True
            return None
        return None if self._home.desk.guard.excludes(_owner(hook, row)) else hook

    def _begun(self, place: Key) -> int:
        """Return how often a call was begun and not ended, also by processes before this one."""
        if place not in self._counted:
            self._counted[place] = self._home.attempts.times(place)
        return self._counted[place]

    def _may_kill(self, row: Row, begun: int) -> bool:
        """Tell whether a process before this one may have ended in a call: it is counted first."""
        attempts = self._home.attempts
        old = int(str(row[0])) < self._first
        return old and attempts.watchful and (begun > 0 or attempts.care is not Care.NONE)

    def _count(self, place: Key, times: int, *, durably: bool = False) -> None:
        if self._counted.get(place) == times:
            return
        sequence = self._home.attempts.put(place, times)
        self._counted[place] = times
        if durably:
            self._home.supervisor.committer.flush(sequence=sequence)

    def _give_up(self, hook: Hook, row: Row, runs: list[HookRun], error: Exception) -> None:
        """End a call that has failed too often; the history says so in any case."""
        if not runs and hook.record:
            runs.append(HookRun(hook, call_of(row), str(row[5]), None, error, self._now(), 0.0))
        name, commit = row[3], row[0]
        logger.error("hook %s is given up for commit %s: %r", name, commit, error, exc_info=error)
        self._end(self._home.desk.begin_as_system(), row, runs)
        self._counted.pop(_place(row), None)

    def _now(self) -> float:
        return self._home.hooks.now()

    def _hook(self, name: str) -> Hook | None:
        """Return the hook of a call; None where nobody has registered it yet."""
        registry = self._home.hooks.registry
        if name not in self._missing:
            with contextlib.suppress(UnknownHook):
                return registry.get(name)
            # Before the second look: who registers it behind that has this look again.
            self._missing[name] = self._home.clock.monotonic()
        try:
            hook = registry.get(name)
        except UnknownHook:
            return None
        self._missing.pop(name, None)
        return hook

    def _look_again(self) -> None:
        """Look whether what calls wait for is there: programs register in an open system."""
        if self._missing or self._kept_waiting:
            self.due(AT_ONCE)

    def _tell_of_missing(self, before: float) -> None:
        for name, since in list(self._missing.items()):
            if since <= before and name not in self._told:
                self._told.add(name)
                logger.warning("deferred calls wait for the hook %s, which nobody registered", name)

    def _make(self, hook: Hook, row: Row, runs: list[HookRun]) -> None:
        """Call a hook in one transaction with the end of its row, in its owner's name."""
        desk, around = self._home.desk, self._home.hooks
        details = details_in(hook.point, str(row[5]))
        if isinstance(details, SaveDetails) and not details.sequence:
            details = msgspec.structs.replace(details, sequence=int(str(row[0])))
        who = _owner(hook, row)
        unit = desk.begin_as(who, details.correlation)
        led = following(self._home, details.correlation, int(str(row[0])))
        with in_name_of(who), led, listening(hook.point):
            self._end(unit, row, runs, lambda: hook.run(details, None, around, runs, strict=True))

    def _end(
        self, unit: Unit, row: Row, runs: list[HookRun], call: Callable[[], object] = _nothing
    ) -> None:
        """Make a call, and commit what it does, what the history keeps of it, and its end."""
        office = self._home.hooks
        with self._home.desk.transaction(unit):
            unit.change((HOOK_QUEUE, row[:2]), lambda _row: None, checked=False)
            place = _place(row)
            if self._counted.get(place):
                unit.change((COUNTS, place), lambda _row: None, blind=True)
            call()
            led = 0, int(str(row[0]))
            unit.history = [record_of(run, office.redact, *led) for run in runs]


def _owner(hook: Hook, row: Row) -> Principal:
    """Return in whose name a call is made."""
    if hook.systems:
        return Principal.SYSTEM
    call = call_of(row)
    return Principal.agent(call.kind, call.key)


def _place(row: Row) -> Key:
    """Return where the attempts of a call are counted."""
    return ("", "", f"hook {row[1]!s}", row[0])


class DeferredCalls:
    """The calls of hooks that are stored and not made yet, the oldest first; for the system."""

    def __init__(self, store: StoreReader, reason: Callable[[Row], str]) -> None:
        """Read them from ``store``; ``reason`` says why each waits."""
        self._store = store
        self._reason = reason

    def list(self, *, after: str | None = None, limit: int = LIMIT) -> Page[DeferredCall]:
        """Return a page of them, each with why it waits; ``after`` is the id of the one before."""
        return page_of(self.each(after=after), limit, attrgetter("id"))

    def each(self, *, after: str | None = None) -> Iterator[DeferredCall]:
        """Iterate over all of them in that order."""
        refuse_agents("look at calls of hooks")
        return calls_in(self._store, self._reason, after)

    def count(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self.each())
