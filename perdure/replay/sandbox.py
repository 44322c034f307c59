"""Where a turn is replayed: a system of its own, in memory, in which time stands still."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..actors.agent.agent import Agent
from ..actors.pool.dispatcher import Dispatcher
from ..actors.pool.future import Future
from ..actors.system.options import Limits
from ..actors.system.runtime import Runtime
from ..actors.talk.turn import Alarm, Letter, PassedLetter
from ..hooks.history.playback import Blank, Playback
from ..hooks.history.record import HookRecord
from ..hooks.history.recording import Recording, row_of
from ..lifecycle.clock import VirtualClock
from ..persistence.errors import ReplayFailed
from ..persistence.memory.store import MemoryStore
from ..persistence.records.records import AgentRow, Commit, Timer
from ..persistence.records.shared_tables import SHARED_TABLES
from ..persistence.secrets.detector import Detector
from ..persistence.secrets.keys import Keys
from ..persistence.store.batch_rows import Rows
from ..persistence.store.store import StoreReader
from ..persistence.upkeep.states import StateCopy
from .guard import RecordedGuard
from .hooks import put_hooks
from .plan import PATIENCE, Plan
from .store import SandboxStore
from .turn import RecordedTurn, turn_of

_TABLES: Final = {table.name: table for table in SHARED_TABLES}
_AGENT: Final = 1
TURNS: Final = 250
"""Turns after which a sandbox opens another system, whatever came: what counts up stays small."""


def _nobody() -> None:
    """Stand for a store that no system here has open."""


@dataclass(frozen=True, slots=True)
class KnownInReplays:
    """What a sandbox is opened with, as the system whose turns are replayed was."""

    limits: Limits
    keys: Keys
    schemas: Mapping[str, object]
    detector: Detector | None
    original: Callable[[], object | None] = _nobody
    """Returns the system whose turns are replayed, if that is open here: scripts run as its do."""


class OpenSandbox(Protocol):
    """Open a system in memory with some agent classes, at a moment."""

    def __call__(
        self,
        agents: Sequence[type[Agent[Any]]],
        moment: float,
        store: MemoryStore,
        used: Callable[[], None] | None = None,
    ) -> contextlib.AbstractContextManager[Runtime]:
        """Return what runs it; it ends with the block.

        ``used`` is called whenever anybody makes use of the system itself, as ``self.system``.
        """
        ...


class Sandbox:
    """Replay turns, each in a system that is as new; by one thread at a time, and then closed.

    Invariant: a system is used again only if nothing but the agent's own cell, its store and the
    hooks' tape can know of the turn before. For that the turn is a plain one, as it was recorded
    and as it came out: it took nothing but its state, its message, time and chance, and made
    nothing but its state, messages and a result. Nobody has asked the guard, through which all
    leads that is shared, nor reached for the system. Then the cell is dropped, with its context;
    the store begins again; another thread works. Any other turn has a system for itself alone, and
    runs again in one where it has turned out to be such in a system that others had before.
    """

    def __init__(
        self, open_sandbox: OpenSandbox, agents: Sequence[type[Agent[Any]]], behind: StoreReader
    ) -> None:
        """Replay turns of the store ``behind`` under some classes; nothing is opened yet."""
        self._open = open_sandbox
        self._agents = agents
        self._behind = behind
        self._kept: _Opened | None = None

    def run(
        self, plan: Plan, turn: RecordedTurn, state: StateCopy
    ) -> tuple[RecordedTurn, list[str]]:
        """Run a turn on a state; return it as it comes out, and what it wanted and did not get.

        Whatever runs here runs in a context of its own: nothing of it belongs to a turn of the
        caller.
        """
        turn, state = plan.changed_message(turn), plan.changed_state(turn, state)
        return contextvars.Context().run(self._run, plan, turn, state)

    def beside(
        self, record: HookRecord, state: StateCopy, work: Callable[[Runtime, object], None]
    ) -> list[str]:
        """Have ``work`` done with a record's agent in a state, in a turn of which nothing is kept.

        Returns what it wanted, of which nothing was recorded.
        """
        return contextvars.Context().run(self._beside, record, state, work)

    def close(self) -> None:
        """End what is kept; idempotent."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _run(
        self, plan: Plan, turn: RecordedTurn, state: StateCopy
    ) -> tuple[RecordedTurn, list[str]]:
        if plan.handle or plan.prepare or plan.outside or not _plain(turn):
            return self._alone(plan, turn, state)
        opened, self._kept = self._kept, None
        moment = turn.recording.started
        if opened is not None and not opened.stands_at(moment):
            opened.close()
            opened = None
        if opened is None:
            opened = self._opened(moment, {})
        shared = opened.turns > 0
        try:
            replayed, missing = _played(opened, plan, turn, state)
            kept_to_itself = _plain(replayed) and opened.untouched(turn)
            if kept_to_itself and opened.turns < TURNS:
                opened.begin_again()
                self._kept, opened = opened, None
        finally:
            if opened is not None:
                opened.close()
        if shared and not kept_to_itself:
            return self._alone(plan, turn, state)
        return replayed, missing

    def _alone(
        self, plan: Plan, turn: RecordedTurn, state: StateCopy
    ) -> tuple[RecordedTurn, list[str]]:
        with contextlib.closing(self._opened(turn.recording.started, _shared(turn))) as opened:
            return _played(opened, plan, turn, state)

    def _beside(
        self, record: HookRecord, state: StateCopy, work: Callable[[Runtime, object], None]
    ) -> list[str]:
        kind, key = record.kind, record.key
        nothing = Recording("", "null", state.version, message=record.message, started=record.time)
        tape = Blank(nothing)
        with contextlib.closing(self._opened(record.time, {})) as opened:
            runtime = opened.runtime
            runtime.hooks.play(tape, kind, key, lambda agent, _message: work(runtime, agent))
            for hook in runtime.hooks.registry.list():
                runtime.hooks.registry.remove(hook.name)
            _put_in(opened, kind, key, state, nothing)
            letter = Letter(None, letter_id=record.message or 1)
            letter.correlation = record.correlation or letter.id
            _deliver(runtime, kind, key, letter, PATIENCE)
        return list(dict.fromkeys(tape.missing))

    def _opened(self, moment: float, rows: Rows) -> _Opened:
        return _Opened(self._open, self._agents, moment, SandboxStore(self._behind, rows))


class _Opened:
    """A system of a sandbox."""

    def __init__(
        self,
        open_sandbox: OpenSandbox,
        agents: Sequence[type[Agent[Any]]],
        moment: float,
        store: SandboxStore,
    ) -> None:
        self.guard: RecordedGuard | None = None
        self.turns = 0
        self._used = False
        self.store = store
        self._stack = contextlib.ExitStack()
        opening = open_sandbox(agents, moment, store, self._use)
        self.runtime = self._stack.enter_context(opening)
        self.runtime.catalogue.takes_all = True
        self._used = False

    def close(self) -> None:
        self._stack.close()

    def stands_at(self, moment: float) -> bool:
        """Have time stand still at another moment; False if it does not."""
        clock = self.runtime.clock
        assert isinstance(clock, VirtualClock)
        clock.set_back(clock.now() - moment)
        return clock.now() == moment

    def untouched(self, turn: RecordedTurn) -> bool:
        """Tell whether nothing but an agent's own cell knows of a plain turn that has ended."""
        runtime = self.runtime
        assert self.guard is not None
        if self._used or self.guard.asked or runtime.loop.begun:
            return False
        if runtime.hooks.registry.list() or runtime.dispatcher.threads() != 1:
            return False  # methods that are hooks have breakers, which count
        cells = list(runtime.cells.values())
        own = [cell for cell in cells if cell.activation is not None]
        if [(cell.kind, cell.key) for cell in own] != [(turn.kind, turn.key)]:
            return False
        if own[0].volatile or own[0].snapshot or any(cell.mailbox.busy() for cell in cells):
            return False
        return not runtime.supervisor.committer.backlog()

    def begin_again(self) -> None:
        """Forget a turn that has left all untouched."""
        self.turns += 1
        for cell in list(self.runtime.cells.values()):  # its own, and empty ones it has sent to
            self.runtime.keeper.forget(cell)
        self.runtime.dispatcher.submit(_Relief(self.runtime.dispatcher))
        self.store.begin_again()

    def _use(self) -> None:
        self._used = True


class _Relief:
    """Work after which its thread ends, and with it all that a handler has left in that."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Have another thread in this one's place."""
        self._dispatcher.lend_for(threading.current_thread())
        return True


def _plain(turn: RecordedTurn) -> bool:
    """Tell whether a turn has to do with nobody but its agent; it may send messages."""
    made = turn.recording
    return not (
        made.failed or made.unsaved or made.reads or made.uses or made.changes or made.steps
        or made.outside or made.asks or made.answers or made.numbers
        or made.timers or made.held or made.alarm
    )  # fmt: skip


def _played(
    opened: _Opened, plan: Plan, turn: RecordedTurn, state: StateCopy
) -> tuple[RecordedTurn, list[str]]:
    recording, patience, runtime = turn.recording, plan.patience, opened.runtime
    tape = Playback(recording, live=plan.outside)
    runtime.hooks.play(tape, turn.kind, turn.key, plan.handle)
    put_hooks(runtime, turn)
    opened.guard = runtime.ledger.guard = RecordedGuard(runtime.policy, recording.uses)
    if plan.prepare is not None:
        plan.prepare(runtime)
    _put_in(opened, turn.kind, turn.key, state, recording)
    _deliver(runtime, turn.kind, turn.key, _letter(runtime, turn), patience)
    runtime.supervisor.committer.flush(PATIENCE)
    for record in runtime.history.each(point="turn", newest=True):
        return turn_of(runtime.store, record), tape.missing
    reason = runtime.keeper.cell(turn.kind, turn.key).reason
    why = f": {reason}" if reason else ""
    raise ReplayFailed(f"{turn} did not come to an end in its replay{why}")


def _deliver(runtime: Runtime, kind: str, key: str, letter: Letter, patience: float | None) -> None:
    """Have an agent handle a letter, and wait until it has."""
    runtime.deliver(kind, key, letter)
    if not runtime.keeper.cell(kind, key).mailbox.wait_until_rest(patience):
        raise ReplayFailed(f"the turn of {kind}/{key} has not ended after {patience:g} seconds")


def _put_in(opened: _Opened, kind: str, key: str, state: StateCopy, recording: Recording) -> None:
    """Put the state and the timers before a turn into a sandbox."""
    if state.version:
        runtime, schema = opened.runtime, opened.store.schema(state.schema)
        head = AgentRow(_AGENT, kind, key, state.version - 1, 0, "active", "")
        commit = Commit(kind, key, "active", "", recording.started, "(replay)")
        commit.delta = state.delta(_AGENT, runtime.evolution.entered(kind, schema))
        commit.with_effects().timers = [Timer(*each) for each in recording.held]
        committer = runtime.supervisor.committer
        with committer.promise():  # written by this thread
            runtime.supervisor.writer(head).submit(commit)
        committer.flush(PATIENCE)


def _shared(turn: RecordedTurn) -> Rows:
    """Return the rows of shared tables that a turn has seen."""
    found: Rows = {}
    for name, key, values in turn.recording.reads:
        table = _TABLES.get(name)
        if table is not None and values is not None:
            found.setdefault(table, {})[tuple(key)] = row_of(values)
    return found


def _letter(runtime: Runtime, turn: RecordedTurn) -> Letter:
    recording = turn.recording
    calls = runtime.catalogue.of_kind(turn.kind).calls
    try:
        message = calls.decode(recording.name, recording.body, turn.key)
    except (ValueError, TypeError, AttributeError) as error:
        raise ReplayFailed(f"the message of {turn} does not fit {turn.kind}: {error}") from error
    letter: Letter
    if recording.alarm is not None:
        letter = Alarm(message, letter_id=recording.message)
        letter.timer = Timer(*recording.alarm)
        letter.name, letter.body, letter.sent = recording.name, recording.body, recording.started
        letter.marked, letter.suspect = 0, False
    elif recording.passed:
        letter = PassedLetter(message, letter_id=recording.message)
        letter.passed = tuple(recording.passed)
    else:
        letter = Letter(message, letter_id=recording.message)
    letter.cause, letter.correlation = 0, recording.correlation
    letter.attempts = recording.attempt - 1
    if recording.asked:
        letter.reply_to, letter.edge = Future[Any](), False
    return letter
