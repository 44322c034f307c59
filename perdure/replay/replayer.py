"""Recorded turns of a store run again: one by one, changed, under other code, in batches."""

from __future__ import annotations

import bdb
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final, Unpack

from ..actors.agent.agent import Agent
from ..hooks.history.history import History
from ..hooks.history.record import HookRecord
from ..hooks.hook import Hook
from ..persistence.errors import StateUnknown, StoreUnavailable, UnknownAgent
from ..persistence.memory.store import MemoryStore
from ..persistence.records.records import AgentRow, StoredAgent
from ..persistence.store.store import StoreReader
from ..persistence.upkeep.states import States
from .batch import Batching, Part, ReplayBatch, Tell
from .comparison import ReplayRules, compare, compare_runs
from .execution import Executions, HookPlan
from .outcome import Mode, Replay
from .plan import Plan
from .sandbox import OpenSandbox, Sandbox
from .selection import TurnSelection, selected, survey
from .stepping import Stepping, terminal_debugger
from .turn import RecordedTurn, turn_of

Agents = Sequence[type[Agent[Any]]]
SAME: Final = ReplayRules()
"""Everything counts."""
Note = Callable[[Collection[tuple[str, str]]], None]
"""Told of which agents, by kind and key, turns or hooks are replayed."""
_AS_IT_WAS: Final[Mapping[str, object]] = {}


def take_no_note(_agents: Collection[tuple[str, str]]) -> None:
    """Take no note of which agents are replayed."""


class Replayer:
    """Run recorded turns again, each in a system of its own, in memory.

    Nothing of it touches the store or the agents; nothing is sent, nobody is asked, and no call is
    made outside unless it is said so. What the turn was told by others, it is told again. Where
    classes are given, turns run under these, else under those of the system. What an ``id`` names
    is a recorded turn in ``system.hooks.history``.

    UnknownHook for a turn that is not kept, StateUnknown where its agent's state before it is not,
    ReplayFailed where it cannot run.
    """

    def __init__(
        self,
        store: StoreReader,
        agents: Agents,
        open_sandbox: OpenSandbox,
        note: Note = take_no_note,
    ) -> None:
        """Replay what a store has recorded; ``note`` is told before of which agents."""
        self._note = note
        self._store = store
        self._agents = agents
        self._open = open_sandbox

    def turn(self, run_id: str, *, rules: ReplayRules = SAME) -> Replay:
        """Replay a turn exactly as it was."""
        return self._one(run_id, Plan("exact", self._agents, rules))

    def modified(
        self,
        run_id: str,
        *,
        message: Mapping[str, object] = _AS_IT_WAS,
        state: Mapping[str, object] = _AS_IT_WAS,
        agents: Agents | None = None,
        outside: bool = False,
        rules: ReplayRules = SAME,
    ) -> Replay:
        """Replay a turn of another message or on another state, and say what that changes.

        Args:
            run_id: which turn.
            message: JSON values by path, from the names of the handler's parameters on.
            state: JSON values by path, from the names of the state's fields on.
            agents: the classes it runs under.
            outside: make the calls of ``self.outside`` that were not recorded.
            rules: how it is compared.

        ConfigurationError for a path that leads nowhere.
        """
        plan = Plan(
            "modified", self._classes(agents), rules, message=message, state=state, outside=outside
        )
        return self._one(run_id, plan)

    def simulate(
        self, run_id: str, *, agents: Agents | None = None, outside: bool = False,
        rules: ReplayRules = SAME,
    ) -> Replay:  # fmt: skip
        """Replay a turn under the code as it is now, or other classes; nothing is written."""
        plan = Plan("simulate", self._classes(agents), rules, outside=outside)
        return self._one(run_id, plan)

    def debug(
        self,
        run_id: str,
        *,
        debugger: bdb.Bdb | None = None,
        message: Mapping[str, object] = _AS_IT_WAS,
        state: Mapping[str, object] = _AS_IT_WAS,
        agents: Agents | None = None,
        rules: ReplayRules = SAME,
    ) -> Replay:
        """Replay a turn under a debugger, which stops at the handler's first line and behind it.

        ``debugger`` is a pdb in this terminal unless another is given.
        """
        stepping = Stepping(debugger or terminal_debugger())
        plan = Plan(
            "debug", self._classes(agents), rules, message=message, state=state, handle=stepping,
            patience=None,
        )  # fmt: skip
        return self._one(run_id, plan)

    def hook(
        self,
        run_id: str,
        *,
        details: Mapping[str, object] = _AS_IT_WAS,
        function: Callable[..., Any] | None = None,
        agents: Agents | None = None,
        rules: ReplayRules = SAME,
    ) -> Replay:
        """Run one execution of a hook again, on what it was told, and compare what it answers.

        A method of an agent class runs with its agent: in its turn where that was recorded, else on
        the state of the agent at that moment, without what nobody recorded. Other hooks run apart
        from every turn, and may use no system: what they want of one is named in ``missing``. Where
        the answer hangs on what is not known as it was, a difference is ``unclear``.

        Args:
            run_id: which execution, as ``system.hooks.history`` has it.
            details: JSON values by path, from the names of the hook's details on.
            function: the code that runs, as ``function(details)``, instead of the hook's own.
            agents: the classes whose methods run, and whose types messages have.
            rules: how it is compared.

        UnknownHook where there is no such execution, or its code is not here; ReplayFailed where
        the history cannot give what the hook was told; StateUnknown for a method where nobody kept
        the state of its agent.
        """
        mode: Mode = "exact" if function is None and agents is None else "simulate"
        plan = Plan("modified" if details else mode, self._classes(agents), rules)
        record = History(self._store).get(run_id)
        self._permit({(record.kind, record.key)})
        executions = Executions(self._store, self._open, self._kept, self._known)
        made = executions.replay(record, HookPlan(plan, details, function))
        return compare_runs(record, made.record, made.missing, rules, plan.mode, exact=made.exact)

    def batch(
        self,
        *,
        agents: Agents | None = None,
        outside: bool = False,
        workers: int = 2,
        tell: Tell | None = None,
        rules: ReplayRules = SAME,
        most: int | None = None,
        **which: Unpack[TurnSelection],
    ) -> ReplayBatch:
        """Begin to replay all turns that are wanted, a few at a time; see ``ReplayBatch``.

        The history is read twice: to see whose turns these are, and as they are replayed.

        Args:
            agents: the classes they run under; turns of kinds that have none here are left out.
            outside: make the calls of ``self.outside`` that were not recorded.
            workers: how many run at once.
            tell: called with how many are done, and of how many, as they are.
            rules: how they are compared.
            most: keep only so many of those that differ, the first, and count all others.
            which: see TurnSelection.
        """
        mode: Mode = "exact" if agents is None and not outside else "simulate"
        plan = Plan(mode, self._classes(agents), rules, outside=outside)
        kinds = {agent_class.kind for agent_class in agents or self._agents}
        found = survey(selected(self._store, which), kinds)
        self._permit(found.agents)
        options = Batching(workers, tell, most, found.total, found.left_out)
        records = found.again(selected(self._store, which), kinds)
        return ReplayBatch(records, partial(self._worker, plan), options)

    def _classes(self, agents: Agents | None) -> Agents:
        if agents is None:
            return self._agents
        kinds = {agent_class.kind for agent_class in agents}
        classes = [*agents, *(each for each in self._agents if each.kind not in kinds)]
        with self._open(classes, 0.0, MemoryStore()):
            return classes  # they can be opened: ConfigurationError here, and not for each turn

    def _one(self, run_id: str, plan: Plan) -> Replay:
        record = History(self._store).get(run_id)
        self._permit({(record.kind, record.key)})
        with closing(self._sandbox(plan)) as sandbox:
            return self._replay(record, plan, sandbox, None)[0]

    def _sandbox(self, plan: Plan) -> Sandbox:
        return Sandbox(self._open, plan.agents, self._store)

    @contextmanager
    def _worker(self, plan: Plan) -> Iterator[Callable[[Part], Iterator[Replay]]]:
        """Give what replays parts in one sandbox."""
        with closing(self._sandbox(plan)) as sandbox:
            yield lambda part: self._several(part, plan, sandbox)

    def _several(self, records: Part, plan: Plan, sandbox: Sandbox) -> Iterator[Replay]:
        """Replay turns of one agent, in order: each goes on from the one before."""
        states: States | None = None
        for record in records:
            try:
                replay, states = self._replay(record, plan, sandbox, states)
            except StoreUnavailable:
                raise  # that says nothing about the turn
            except Exception as error:  # noqa: BLE001 - anybody's code; the others are replayed
                replay = Replay(
                    record.id, record.kind, record.key, record.name, plan.mode, "error",
                    error=f"{type(error).__name__}: {error}",
                )  # fmt: skip
            yield replay

    def _replay(
        self, record: HookRecord, plan: Plan, sandbox: Sandbox, states: States | None
    ) -> tuple[Replay, States]:
        turn = turn_of(self._store, record)
        plan.class_of(turn)
        states = states or self._states(turn)
        state = turn.state_in(states)
        replayed, missing = sandbox.run(plan, turn, state)
        return compare(turn, replayed, missing, plan.rules, plan.mode), states

    def _states(self, turn: RecordedTurn) -> States:
        if turn.recording.unsaved:
            message = (
                f"{turn} cannot be replayed: its agent's state before it is in no store, because"
                " the agent is VOLATILE, or SNAPSHOT and was not saved; record agents saved by TURN"
            )
            raise StateUnknown(message)
        return self._kept(turn.kind, turn.key, turn.recording.version)

    def _kept(self, kind: str, key: str, version: int) -> States:
        """Return what the journal keeps of an agent, of which a version is wanted."""
        stored = self._store.load(kind, key)
        if stored is None and not version:  # no turn of it ever had a version
            stored = StoredAgent(AgentRow(0, kind, key, 0, 0, "active", ""), {}, {}, [])
        if stored is None:
            raise UnknownAgent(f"{kind}/{key} is gone, and with it its earlier states")
        return States(self._store, stored)

    def _known(self, name: str) -> Hook | None:  # noqa: ARG002 - by others
        """Return the hook of a name that is registered here."""
        return None

    def _permit(self, agents: Collection[tuple[str, str]]) -> None:
        """Raise Denied to who may not replay turns of some agents."""
        self._note(agents)
