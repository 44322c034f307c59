"""One execution of a hook run again: on what it was told, on something else, by other code."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..actors.system.runtime import Runtime
from ..hooks.acting import replayed
from ..hooks.following import following
from ..hooks.history.history import History
from ..hooks.history.record import BEGINS, HookRecord, record_of
from ..hooks.history.recording import POINT
from ..hooks.hook import Declared, Hook, HookNeeds, HookOptions, HookRun
from ..hooks.points import POINTS, Point
from ..hooks.results import Result
from ..lifecycle.durability import Durability
from ..persistence.errors import (
    ConfigurationError,
    HookFailed,
    ReplayFailed,
    StateUnknown,
    UnknownHook,
)
from ..persistence.memory.store import MemoryStore
from ..persistence.store.store import StoreReader
from ..persistence.upkeep.states import States
from .moment import version_when
from .plan import Plan
from .sandbox import OpenSandbox, Sandbox
from .told import Told, told_again
from .turn import RecordedTurn, turn_of

StatesOf = Callable[[str, str, int], States]
"""Gives the earlier states of an agent, of which a version is wanted."""
KnownHook = Callable[[str], Hook | None]
"""Gives the hook of a name that a running system has."""


@dataclass(frozen=True, slots=True)
class HookPlan:
    """How an execution of a hook is to be replayed."""

    plan: Plan
    changes: Mapping[str, object]
    """Other values by path, from the names of its details on."""
    function: Callable[..., Any] | None = None
    """The code, where it is another than that of the hook."""


class Made(NamedTuple):
    """What came of an execution in its replay."""

    record: HookRecord
    missing: list[str]
    exact: bool


class Executions:
    """Run executions of hooks again, each in a system of its own."""

    def __init__(
        self, store: StoreReader, open_sandbox: OpenSandbox, states: StatesOf, known: KnownHook
    ) -> None:
        """Replay what ``store`` has; ``known`` has the hooks that belong to no class."""
        self._store = store
        self._open = open_sandbox
        self._states = states
        self._known = known

    def replay(self, record: HookRecord, plan: HookPlan) -> Made:
        """Run one again; UnknownHook where its code is not here, ReplayFailed, StateUnknown."""
        if record.point == POINT:
            raise UnknownHook(f"{record.id} is a recorded turn: replay.turn({record.id!r})")
        if record.context.startswith(f'{{"{BEGINS}":'):
            message = (
                f"{record.id} cannot run again: what {record.hook} was told at {record.point} was"
                " too long, and only its beginning is kept"
            )
            raise ReplayFailed(message)
        with self._open(plan.plan.agents, record.time, MemoryStore()) as runtime:
            hook = self._hook(runtime, record, plan)
            told = told_again(record, hook.point, plan.changes, runtime.catalogue)
            if not hook.method:
                return _apart(runtime, hook, told)
        return self._with_agent(hook, record, told, plan.plan)

    def _hook(self, runtime: Runtime, record: HookRecord, plan: HookPlan) -> Hook:
        """Return the hook that runs: one of its own, so that others' counts stay as they are."""
        hooks = runtime.hooks.registry.list()
        found = next((hook for hook in hooks if hook.name == record.hook), None)
        found = found or self._known(record.hook)
        if plan.function is not None:
            point = POINTS.get(record.point) or (found and found.point)
            declared = Declared(
                point or Point.custom(record.point, object, replaces=True),
                plan.function, HookOptions(budget=None), record.hook,
            )  # fmt: skip
            return Hook(declared, 0)
        if found is None:
            message = (
                f"no hook {record.hook!r} is here to run {record.id} again; register it, or give"
                " its code: function=, or agents= for a method"
            )
            raise UnknownHook(message)
        if found.point.name != record.point:
            message = f"{record.id} ran at {record.point}; {record.hook} is at {found.point} now"
            raise ConfigurationError(message)
        declared = replace(found.declared, options=replace(found.options, budget=None, record=True))
        return Hook(
            declared, found.number, owner=found.owner, kind=found.kind, key=found.key,
            method=found.method,
        )  # fmt: skip

    def _with_agent(self, hook: Hook, record: HookRecord, told: Told, plan: Plan) -> Made:
        """Run a method of an agent: in its turn where that was recorded, else on its state."""
        turn, nth = self._turn(record)
        if turn is None:
            return self._on_state(hook, record, told, plan)
        watched = _Watched(hook, nth, told.details)
        state = self._states(turn.kind, turn.key, turn.recording.version)
        if turn.recording.unsaved:
            raise _unsaved(record)
        made: list[HookRecord] = []

        def look(runtime: Runtime) -> None:
            runtime.hooks.registry.remove(record.hook)
            runtime.hooks.registry.put(watched)
            watched.made = lambda done: made.append(record_of(done, runtime.hooks.redact))

        looking = replace(plan, prepare=look)
        with contextlib.closing(Sandbox(self._open, plan.agents, self._store)) as sandbox:
            _, missing = sandbox.run(looking, turn, turn.state_in(state))
        if not made:
            raise ReplayFailed(f"{record.id}: {record.hook} did not run when its turn ran again")
        return Made(made[0], missing, told.exact and turn.recording.exact)

    def _on_state(self, hook: Hook, record: HookRecord, told: Told, plan: Plan) -> Made:
        found: list[HookRecord] = []
        agents = [each for each in plan.agents if each.kind == record.kind]
        if any(each.durability is not Durability.TURN for each in agents):
            raise _unsaved(record)
        version = version_when(self._store, record)
        state = self._states(record.kind, record.key, version).at(version)

        def work(runtime: Runtime, agent: object) -> None:
            found.append(_run(runtime, hook, told, agent))

        missing = Sandbox(self._open, plan.agents, self._store).beside(record, state, work)
        return Made(found[0], missing, told.exact and not missing)

    def _turn(self, record: HookRecord) -> tuple[RecordedTurn | None, int]:
        """Return the recorded turn of an execution, and which of its hook's in it this is."""
        nth = 1
        for each in History(self._store).each(after=f"{record.sequence}.-1"):
            if each.sequence != record.sequence:
                break
            if each.message != record.message:
                continue
            if each.point == POINT:
                return turn_of(self._store, each), nth
            nth += each.hook == record.hook and each.position < record.position
        return None, nth


class _Watched(Hook):
    """A hook that is told something else once, and what comes of that taken down."""

    __slots__ = ("_details", "_nth", "_ran", "made")

    def __init__(self, hook: Hook, nth: int, details: object) -> None:
        super().__init__(
            hook.declared, hook.number, owner=hook.owner, kind=hook.kind, key=hook.key,
            method=hook.method,
        )  # fmt: skip
        self._nth, self._details, self._ran = nth, details, 0
        self.made: Callable[[HookRun], None]

    def run(
        self, details: Any, agent: object, around: HookNeeds, runs: list[HookRun] | None,  # noqa: ANN401
        *, strict: bool = False,
    ) -> Result | None:  # fmt: skip
        """Run; the wanted time on what it is to be told."""
        self._ran += 1
        if self._ran != self._nth:
            return super().run(details, agent, around, runs, strict=strict)
        done: list[HookRun] = []
        try:
            return super().run(self._details, agent, around, done, strict=strict)
        finally:
            for each in done:
                self.made(each)


def _apart(runtime: Runtime, hook: Hook, told: Told) -> Made:
    """Run a hook that is no method, as the system and apart from every turn."""

    def work() -> tuple[HookRecord, list[str]]:
        with replayed() as wanted, following(None, 0, 0):
            return _run(runtime, hook, told, None), wanted

    made, wanted = contextvars.Context().run(work)
    missing = [f"{hook.name}: {each}" for each in dict.fromkeys(wanted)]
    return Made(made, missing, told.exact and not missing)


def _run(runtime: Runtime, hook: Hook, told: Told, agent: object) -> HookRecord:
    done: list[HookRun] = []
    with contextlib.suppress(HookFailed):  # that is what came of it
        hook.run(told.details, agent, runtime.hooks, done)
    return record_of(done[0], runtime.hooks.redact)


def _unsaved(record: HookRecord) -> StateUnknown:
    message = (
        f"{record.id} cannot run again: {record.hook} is a method, and the state of"
        f" {record.kind}/{record.key} at that moment is in no store; record agents saved by TURN"
    )
    return StateUnknown(message)
