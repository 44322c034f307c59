"""The kit of one test: its store, its clock, its systems and their lives, its stand-ins."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ..actors.agent.agent import Agent
from ..actors.talk.identity import Identified
from ..actors.talk.reference import AgentRef
from ..persistence.errors import ConfigurationError
from ..persistence.names.keys import check_name
from ..system import AgentSystem
from .clock import SkippingClock
from .copies import copy_store
from .faults.crash import bury, strike_dead
from .faults.outside import REAL, Outside, OutsideWorld
from .faults.store import FaultyStore
from .leaks import LeakWatch
from .runlog import RunLog
from .stand_in import ProbeAgent, StandIn
from .watch import AgentWatch

A = TypeVar("A", bound=Identified)

_SEED: Final = 1


class LeftBehind(AssertionError):
    """A test has left something: a reply nobody gave, a system, a thread. Names each."""

    def __init__(self, left: list[str]) -> None:
        """Name what was left."""
        super().__init__("the test has left behind:\n" + "\n".join(left))


class Kit(contextlib.AbstractContextManager["Kit"]):
    """Everything a lifecycle test needs, for one test: ``with Kit() as kit``.

    In unittest: ``self.kit = self.enterContext(Kit())``. Ends the systems that it has opened; fails
    with ``LeftBehind`` if a reply is owed still, or a system or a thread is left.
    """

    def __init__(
        self, store: FaultyStore | None = None, *, clock: SkippingClock | None = None
    ) -> None:
        """Work on a store in memory, unless another is given."""
        self.clock: SkippingClock = clock or SkippingClock()
        """The time of its systems."""
        self.store: FaultyStore = store or FaultyStore()
        """What its systems have stored."""
        self.systems: list[AgentSystem] = []
        """Those opened so far; the last one is ``system``."""
        self._dead: set[int] = set()
        self._buried: set[int] = set()
        self._opened: tuple[Sequence[type[Agent[Any]]], Mapping[str, Any]] = ((), {})
        self._stand_ins: list[StandIn] = []
        self._files = contextlib.ExitStack()
        self.log = RunLog(self.clock.now, self._owns)
        """What has happened so far: turns, signals, faults, crashes."""
        self._world = OutsideWorld(self._owns)
        self._watch: LeakWatch | None = None

    def __enter__(self) -> Self:
        return self.begin()

    def begin(self) -> Self:
        """Begin to listen, and to take what goes outside; ``end()`` ends that."""
        self._watch = LeakWatch()
        self.log.listen()
        self.store.on_commit.append(self.log.took)
        self.store.on_fault.append(self.log.note)
        self._world.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if value is not None:
            self._explain(value)
        left = self.end()
        if left and value is None:
            behind = LeftBehind(left)
            self._explain(behind)
            raise behind

    def end(self) -> list[str]:
        """Close what was opened, and name what was left: replies, systems, threads."""
        try:
            left = self._close()
        finally:
            self._world.leave()
            self.log.deafen()
            self._files.close()
        return left if self._watch is None else left + self._watch.leaks()

    # Systems, and their lives.

    @property
    def system(self) -> AgentSystem:
        """The system that was opened last."""
        if not self.systems:
            raise ConfigurationError("this kit has no system yet; kit.open([Order, Stock])")
        return self.systems[-1]

    def open(self, agents: Sequence[type[Agent[Any]]], **options: Any) -> AgentSystem:  # noqa: ANN401 - AgentSystem.open's
        """Open a system on the kit's store and clock; takes what ``AgentSystem.open`` takes."""
        self._bury()
        self._opened = (agents, options)
        probes: list[type[Agent[Any]]] = [] if ProbeAgent in agents else [ProbeAgent]
        killed = bool(self.systems) and id(self.systems[-1]) in self._dead
        given = {"service": False, "takeover": killed, **options}
        given.setdefault("randomness", random.Random(_SEED))  # noqa: S311 - jitter, no secrets
        given.setdefault("clock", self.clock)
        store = self.store.open()
        try:
            system = AgentSystem.open(store, agents=[*agents, *probes], **given)
        except BaseException:
            self.store.bury(store)
            raise
        self.systems.append(system)
        return system

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent of the present life."""
        return self.system.agent(agent_class, key)

    def restart(self, agents: Sequence[type[Agent[Any]]] | None = None) -> AgentSystem:
        """Close the system and open it again on its store, or with other classes."""
        self.system.close()
        self.log.note("restart")
        return self._open_again(agents)

    def crash(self, agents: Sequence[type[Agent[Any]]] | None = None) -> AgentSystem:
        """End the system as a kill would, and open the next one on its store.

        What is not durable is gone. No hook of an agent runs; callers get SystemClosed; what
        threads of the old life still do reaches nothing: no store, no agent, no call outside.
        """
        self.strike_dead()
        return self._open_again(agents)

    def strike_dead(self) -> None:
        """End the system as a kill would; nothing is opened. Also from within a handler."""
        system = self.system
        if self._lives(system):
            self._dead.add(id(system))
            self.log.note("crash")
            strike_dead(system, self.store)

    @property
    def crashed(self) -> bool:
        """Whether the latest system was struck dead, and none opened since."""
        return bool(self.systems) and id(self.systems[-1]) in self._dead

    def kill(self, child: subprocess.Popen[Any]) -> None:
        """Kill a real process, by SIGKILL, and wait for its end."""
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        self.log.note(f"process {child.pid} was killed")

    def open_backup(
        self,
        path: str | Path,
        agents: Sequence[type[Agent[Any]]],
        **options: Any,  # noqa: ANN401 - as open
    ) -> AgentSystem:
        """Open a system on a copy of a real store, which is only read; takes what ``open`` takes.

        ``path``: the file of a store, also one in use; a backup, or the folder of some, of which it
        is the newest. The copy becomes the kit's store, and its newest commit the time.
        """
        folder = Path(self._files.enter_context(tempfile.TemporaryDirectory()))
        target = folder / "copy.db"
        moment = copy_store(Path(path), target)
        self.clock.set_back(self.clock.now() - moment)
        self.log.begun = self.clock.now()
        store = FaultyStore(target)
        store.on_commit, store.on_fault = self.store.on_commit, self.store.on_fault
        store.on_call = self.store.on_call
        self.store = store
        return self.open(agents, **options)

    # Stand-ins and listeners.

    def probe(self, agent_class: type[Agent[Any]] | None = None, key: str | None = None) -> StandIn:
        """Stand in for a class of agents, or the one of ``key``: ``expect()`` and ``reply()``.

        Without a class for an agent that others write to: ``system.agent(ProbeAgent, key)``, which
        takes any message by ``tell`` and ``ask``.
        """
        if key is not None:
            check_name("key", key)
        return self._stand_in(StandIn(agent_class or ProbeAgent, self.clock, key=key, patient=True))

    def stub(
        self, agent_class: type[Agent[Any]], key: str | None = None, **answers: object
    ) -> StandIn:
        """Stand in for some methods of a class: each with a value, an error, or a callable."""
        if not answers:
            message = f"stub({agent_class.__name__}): give answers by method, as in charge=True"
            raise ConfigurationError(message)
        return self._stand_in(StandIn(agent_class, self.clock, key=key, answers=answers))

    def outside(self, name: str, answer: object = REAL) -> Outside:
        """Record the calls ``self.outside(name, ...)``, and answer them if an answer is given."""
        outside = Outside(name, answer, crash=self.strike_dead)
        self._world.add(outside)
        return outside

    def watch(self, agent: AgentRef[Any]) -> AgentWatch:
        """Return what an agent does from now on, as it commits: turns, effects, signals."""
        return AgentWatch(self.log, self.clock, agent.kind, agent.key)

    def timeline(self, lines: int = 40) -> str:
        """Return the latest of what happened, for people."""
        return self.log.text(lines)

    def _explain(self, error: BaseException) -> None:
        error.add_note(f"what happened in this test:\n{self.log.text()}")

    def _stand_in(self, stand_in: StandIn) -> StandIn:
        self._stand_ins.append(stand_in)
        return stand_in

    def _close(self) -> list[str]:
        left = []
        for system in [each for each in self.systems if self._lives(each)]:
            with contextlib.suppress(Exception):
                self.clock.settle()  # what is on its way is no leak
            replies = system._runtime.rest.unanswered()  # noqa: SLF001 - of the house
            left += [f"a reply that nobody gave: {each}" for each in replies]
        for stand_in in self._stand_ins:
            stand_in.end()
        self.store.mend()
        self._bury()
        for system in self.systems:
            waits = system._runtime.rest.waits()  # noqa: SLF001 - of the house
            if id(system) not in self._dead and not system.close():
                why = "; ".join(waits) or "a handler still runs"
                left.append(f"{system!r} could not be closed in time: {why}")
        return left

    def _open_again(self, agents: Sequence[type[Agent[Any]]] | None) -> AgentSystem:
        known, options = self._opened
        return self.open(known if agents is None else agents, **options)

    def _bury(self) -> None:
        """See to the ends of those that were struck dead, on this thread and not on theirs."""
        for system in self.systems:
            if id(system) in self._dead and id(system) not in self._buried:
                self._buried.add(id(system))
                bury(system, self.store)

    def _lives(self, system: AgentSystem) -> bool:
        return id(system) not in self._dead and system._closed is None  # noqa: SLF001 - of the house

    def _owns(self, system: object) -> bool:
        # A recovery begins before the system is returned by whoever opens it.
        return self.store.serves(system) or any(each is system for each in self.systems)
