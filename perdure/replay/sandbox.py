"""Where a turn is replayed: a system of its own, in memory, in which time stands still."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..actors.agent.agent import Agent
from ..actors.pool.future import Future
from ..actors.system.options import Limits
from ..actors.system.runtime import Runtime
from ..actors.talk.turn import Alarm, Letter
from ..hooks.history.playback import Blank, Playback
from ..hooks.history.record import HookRecord
from ..hooks.history.recording import Recording, row_of
from ..persistence.errors import ReplayFailed
from ..persistence.memory.store import MemoryStore
from ..persistence.records.records import AgentRow, Commit, Timer
from ..persistence.records.shared_tables import SHARED_TABLES
from ..persistence.secrets.detector import Detector
from ..persistence.secrets.keys import Keys
from ..persistence.store.batch_rows import Rows
from ..persistence.store.store import StoreReader
from .guard import RecordedGuard
from .hooks import put_hooks
from .plan import PATIENCE, Plan
from .states import StateCopy
from .store import SandboxStore
from .turn import RecordedTurn, turn_of

_TABLES: Final = {table.name: table for table in SHARED_TABLES}
_AGENT: Final = 1


@dataclass(frozen=True, slots=True)
class KnownInReplays:
    """What a sandbox is opened with, as the system whose turns are replayed was."""

    limits: Limits
    keys: Keys
    schemas: Mapping[str, object]
    detector: Detector | None


class OpenSandbox(Protocol):
    """Open a system in memory with some agent classes, at a moment."""

    def __call__(
        self, agents: Sequence[type[Agent[Any]]], moment: float, store: MemoryStore
    ) -> contextlib.AbstractContextManager[Runtime]:
        """Return what runs it; it ends with the block."""
        ...


def run(
    open_sandbox: OpenSandbox,
    plan: Plan,
    turn: RecordedTurn,
    state: StateCopy,
    behind: StoreReader,
) -> tuple[RecordedTurn, list[str]]:
    """Run a turn on a state; return it as it comes out, and what it wanted and did not get.

    Whatever runs here runs in a context of its own: nothing of it belongs to a turn of the caller.
    """
    turn, state = plan.changed_message(turn), plan.changed_state(turn, state)
    store = SandboxStore(behind, _shared(turn))
    return contextvars.Context().run(_run, open_sandbox, plan, turn, state, store)


def _run(
    open_sandbox: OpenSandbox,
    plan: Plan,
    turn: RecordedTurn,
    state: StateCopy,
    store: SandboxStore,
) -> tuple[RecordedTurn, list[str]]:
    recording, patience = turn.recording, plan.patience
    tape = Playback(recording, live=plan.outside)
    with open_sandbox(plan.agents, recording.started, store) as runtime:
        runtime.catalogue.takes_all = True
        runtime.hooks.play(tape, turn.kind, turn.key, plan.handle)
        put_hooks(runtime, turn)
        runtime.ledger.guard = RecordedGuard(runtime.policy, recording.uses)
        if plan.prepare is not None:
            plan.prepare(runtime)
        _put_in(runtime, turn.kind, turn.key, state, recording)
        letter = _letter(runtime, turn)
        _deliver(runtime, turn.kind, turn.key, letter, patience)
        runtime.supervisor.committer.flush(PATIENCE)
        for record in runtime.history.each(point="turn", newest=True):
            return turn_of(runtime.store, record), tape.missing
    raise ReplayFailed(f"{turn} did not come to an end in its replay")


def beside(  # noqa: PLR0917 - where, of whom, and what
    open_sandbox: OpenSandbox,
    agents: Sequence[type[Agent[Any]]],
    record: HookRecord,
    state: StateCopy,
    behind: StoreReader,
    work: Callable[[Runtime, object], None],
) -> list[str]:
    """Have ``work`` done with the agent of a record in a state, in a turn of which nothing is kept.

    Returns what it wanted, of which nothing was recorded.
    """
    return contextvars.Context().run(_beside, open_sandbox, agents, record, state, behind, work)


def _beside(  # noqa: PLR0917 - as above
    open_sandbox: OpenSandbox,
    agents: Sequence[type[Agent[Any]]],
    record: HookRecord,
    state: StateCopy,
    behind: StoreReader,
    work: Callable[[Runtime, object], None],
) -> list[str]:
    kind, key = record.kind, record.key
    nothing = Recording("", "null", state.version, message=record.message, started=record.time)
    tape = Blank(nothing)
    with open_sandbox(agents, record.time, SandboxStore(behind, {})) as runtime:
        runtime.catalogue.takes_all = True
        runtime.hooks.play(tape, kind, key, lambda agent, _message: work(runtime, agent))
        for hook in runtime.hooks.registry.list():
            runtime.hooks.registry.remove(hook.name)
        _put_in(runtime, kind, key, state, nothing)
        letter = Letter(None, letter_id=record.message or 1)
        letter.correlation = record.correlation or letter.id
        _deliver(runtime, kind, key, letter, PATIENCE)
    return list(dict.fromkeys(tape.missing))


def _deliver(runtime: Runtime, kind: str, key: str, letter: Letter, patience: float | None) -> None:
    """Have an agent handle a letter, and wait until it has."""
    runtime.deliver(kind, key, letter)
    if not runtime.keeper.cell(kind, key).mailbox.wait_until_rest(patience):
        raise ReplayFailed(f"the turn of {kind}/{key} has not ended after {patience:g} seconds")


def _put_in(runtime: Runtime, kind: str, key: str, state: StateCopy, recording: Recording) -> None:
    """Put the state and the timers before a turn into a sandbox."""
    if state.version:
        head = AgentRow(_AGENT, kind, key, state.version - 1, 0, "active", "")
        commit = Commit(kind, key, "active", "", recording.started, "(replay)")
        commit.delta = state.delta(_AGENT, runtime.evolution.entered(kind, state.schema))
        commit.with_effects().timers = [Timer(*each) for each in recording.held]
        runtime.supervisor.writer(head).submit(commit)
        runtime.supervisor.committer.flush(PATIENCE)


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
    else:
        letter = Letter(message, letter_id=recording.message)
    letter.cause, letter.correlation = 0, recording.correlation
    letter.attempts = recording.attempt - 1
    if recording.asked:
        letter.reply_to, letter.edge = Future[Any](), False
    return letter
