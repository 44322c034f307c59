"""Scripts of a system: run in the name of a principal, in workers of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from ..actors.agent.agent import Agent
from ..actors.talk.identity import Identified
from ..actors.talk.reference import AgentRef
from ..actors.talk.turn import under_way
from ..persistence.errors import ConfigurationError, Conflict, Deadlock, Denied
from ..persistence.names.scope import Principal
from ..shared.artifacts.artifacts import Artifacts
from ..shared.scopes.state import ScopedState
from .calls import Calls, Output
from .options import Confinement, ScriptLimits
from .pool import WorkerPool
from .process import Worker
from .run import Ended, ScriptRun
from .script import Script, ScriptResult

A = TypeVar("A", bound=Identified)

LIMITS: Final = ScriptLimits()
WORKERS: Final = 8
"""Scripts that run at once, unless it is said otherwise."""


class Host(Protocol):
    """What of a system scripts need: AgentSystem."""

    @property
    def state(self) -> ScopedState:
        """What agents share."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Named bytes."""
        ...

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent."""
        ...

    def blocking(self) -> AbstractContextManager[None]:
        """Say that a block waits for something outside."""
        ...


class Scripts:
    """Run scripts. Thread-safe; use as a context manager, inside that of the system.

    A script acts as the principal that its host gives, with that principal's rights. What it
    writes commits together at its end, or at ``state.commit()``; nothing of it if it fails. In a
    handler it is a part of the turn: it acts as the agent, and commits with the turn.
    """

    def __init__(
        self,
        system: Host,
        *,
        limits: ScriptLimits = LIMITS,
        confinement: Confinement | str = Confinement.REQUIRED,
        agents: Sequence[type[Agent[Any]]] = (),
        workers: int = WORKERS,
        warm: int = 1,
    ) -> None:
        """Run scripts over ``system``.

        Args:
            system: whose state, artifacts and agents they reach.
            limits: how much each run may take.
            confinement: ``"required"``, or ``"available"`` for scripts that you trust.
            agents: the classes whose agents scripts may call and tell.
            workers: how many run at once; more wait.
            warm: processes kept ready for each language that was used.
        """
        self._system = system
        self._limits = limits
        self._agents = {agent.kind: agent for agent in agents}
        self._pool = WorkerPool(limits, Confinement(confinement), at_once=workers, warm=warm)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers; idempotent."""
        self._pool.close()

    def run(
        self,
        script: Script,
        *,
        principal: Principal | None = None,
        entry: str = "",
        arguments: Sequence[object] = (),
    ) -> ScriptResult:
        """Run a script and return what came of it, when what it wrote is durable.

        Outside of turns ``principal`` says who acts; in a handler it is the agent. If another
        changed meanwhile what the script has read, it is run again from its beginning, as
        transactions are, as long as it has called no agent.

        Args:
            script: what to run.
            principal: in whose name.
            entry: a function of the script, called with ``arguments`` when the script has run.
            arguments: JSON-like values; without ``entry`` the script itself takes them.

        Raises:
            ScriptFailed: it raised an error; ``line`` says where.
            ScriptLimit: it took more than it may, and was killed.
            NotConfined: this machine cannot close it in.
            Conflict: others were first, each time.
            ConfigurationError: the extra is not installed; no principal is given.
            Deadlock: called in an event loop, which would stand still.
        """
        _refuse_in_event_loop()
        begun = time.monotonic()
        with self._system.blocking():
            asked = _Asked(script, principal, entry, arguments)
            return _Attempts(self, asked, begun).result()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be run."""

    script: Script
    principal: Principal | None
    entry: str
    arguments: Sequence[object]


class _Attempts:
    """One call of ``run``: the script runs until its changes fit to what others did."""

    def __init__(self, scripts: Scripts, asked: _Asked, begun: float) -> None:
        self._scripts = scripts
        self._asked = asked
        self._begun = begun
        self._limits = scripts._limits  # noqa: SLF001 - a part of it
        self._deadline = begun + self._limits.seconds
        system = scripts._system  # noqa: SLF001 - same
        self._state, self._artifacts = system.state, system.artifacts
        self._in_turn = under_way() is not None
        if not self._in_turn:
            if asked.principal is None:
                message = "say in whose name a script runs: run(script, principal=Principal...)"
                raise ConfigurationError(message)
            self._state = self._state.acting_as(asked.principal)
            self._artifacts = self._artifacts.acting_as(asked.principal)
        elif asked.principal is not None:
            raise ConfigurationError("in a handler a script runs as its agent; give no principal")

    def result(self) -> ScriptResult:
        """Return what came of it."""
        if self._in_turn:
            with self._worker() as worker:
                run = self._run(worker)
                with self._state.transaction():
                    ended = run.go_on(commits=False)
                assert isinstance(ended, Ended), "a part of a turn does not commit"
                return self._came(run, ended)
        return self._alone()

    def _alone(self) -> ScriptResult:
        """Run it in transactions of its own."""
        for attempt in range(1, self._limits.attempts + 1):
            with self._worker() as worker:
                run = self._run(worker)
                committed = False
                try:
                    while True:
                        with self._state.transaction():
                            part = run.go_on(commits=True)
                        if isinstance(part, Ended):
                            return self._came(run, part)
                        committed = True
                        run.answer()
                except Conflict:
                    last = attempt == self._limits.attempts
                    if last or committed or run.calls.immediate:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def _worker(self) -> AbstractContextManager[Worker]:
        return self._scripts._pool.worker(self._asked.script.language)  # noqa: SLF001 - same

    def _run(self, worker: Worker) -> ScriptRun:
        output = Output(self._asked.script.name, self._limits.output)
        calls = Calls(self._state, self._artifacts, self, output)
        run = ScriptRun(worker, self._asked.script, calls, self._limits, self._deadline)
        run.begin(self._asked.entry, self._asked.arguments)
        return run

    def _came(self, run: ScriptRun, ended: Ended) -> ScriptResult:
        seconds = time.monotonic() - self._begun
        return ScriptResult(ended.value, tuple(run.calls.output.lines), run.made, seconds)

    def agent(self, kind: str, key: str) -> AgentRef[Agent[Any]]:
        """Return a reference to an agent of a class that scripts may talk to."""
        agent_class = self._scripts._agents.get(kind)  # noqa: SLF001 - same
        if agent_class is None:
            raise Denied(f"this script may not talk to agents of kind {kind!r:.80}")
        return self._scripts._system.agent(agent_class, key)  # noqa: SLF001 - same

    def left(self) -> float:
        """Return the seconds that are left."""
        return max(0.0, self._deadline - time.monotonic())


def _refuse_in_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    message = (
        "a script would hold up the event loop; run it in a thread:"
        " await asyncio.to_thread(scripts.run, script, ...)"
    )
    raise Deadlock(message)
