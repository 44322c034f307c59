"""The agent system: a store, a supervisor and a runtime, opened and closed together."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
import random
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar

from blinker import Signal

from .actors.agent.agent import Agent
from .actors.agent.blueprint import Catalogue
from .actors.patterns.sharing import Sharing
from .actors.pool.garbage import YOUNG_GENERATION
from .actors.pool.switching import SWITCH_INTERVAL, ComputingWatch
from .actors.system.dead_letters import DeadLetters
from .actors.system.deferred import DeferredCalls
from .actors.system.hook_host import OwnersHost
from .actors.system.hooks import Hooks
from .actors.system.migrated_values import VALUES, KeptValues
from .actors.system.options import Limits, Resources
from .actors.system.runtime import Runtime
from .actors.talk.identity import Identified
from .actors.talk.reference import AgentRef
from .actors.talk.sessions import Session
from .actors.talk.turn import carried, under_way
from .aio import Rim, in_event_loop
from .ending import Ending
from .hooks.acting import apart
from .hooks.history.retention import HistoryRetention
from .hooks.timeline.why import Provenance
from .lifecycle.clock import Clock, ClockShare, SystemClock, VirtualClock
from .lifecycle.durability import Saving
from .lifecycle.groups import GroupDescription
from .lifecycle.restart import RestartPolicy, Strategy
from .lifecycle.saves import SaveStatistics
from .lifecycle.signals import SecretEvent, fire, mute
from .lifecycle.supervisor import PersistenceSupervisor
from .listings import Agents, Journal, Mail, Timers
from .llm.agent import ThinkingAgent
from .llm.runs import Runs, RunSweep
from .opening import Opening
from .persistence.audit.succession import gone_on
from .persistence.errors import CommitsLost, Deadlock, failing_at
from .persistence.memory.store import MemoryStore
from .persistence.records.records import Counters
from .persistence.schema.aliases import carry_over
from .persistence.schema.evolution import refuse_incompatible
from .persistence.schema.registry import Registry
from .persistence.schema.trial import MigrationReport
from .persistence.secrets.detector import DEFAULT_DETECTOR, Detector
from .persistence.secrets.keys import Keys
from .persistence.secrets.vault import Vault
from .persistence.sqlite.store import SqliteStore
from .persistence.store.lease import Lease, Owner
from .persistence.store.store import Store
from .persistence.upkeep.retention import Retention
from .replay.replayer import Replayer, take_no_note
from .replay.replays import Replays, note_replays
from .replay.sandbox import KnownInReplays
from .service.client import find_owner
from .service.operator import Operator
from .service.protocol import NoteReplays
from .service.server import Service
from .shared.access.access import Access
from .shared.access.audit import Audit, AuditTrail
from .shared.artifacts.artifacts import Artifacts
from .shared.scopes.schemas import Schemas
from .shared.scopes.state import ScopedState
from .shared.secrets.office import SecretsOffice
from .shared.sessions.sessions import Sessions
from .system_backups import SystemBackups
from .url import open_reader, open_store, path_of

logger = logging.getLogger("perdure")

A = TypeVar("A", bound=Identified)
P = ParamSpec("P")
R = TypeVar("R")

CLOSE_SECONDS: Final = 10.0
"""What a system gets to finish in unless it is told otherwise."""
_NOTED: Final = 1000
"""Agents of which one request tells that they are replayed."""
FORK_SECONDS: Final = 60.0
"""What a fork waits for the turn under way under the new key."""
UNDO_SECONDS: Final = 1.0
"""What turns that have begun already get to end in when the opening fails."""

_systems: weakref.WeakSet[AgentSystem] = weakref.WeakSet()
"""The systems of this process, for ``_disown`` alone."""


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """What a system did since it was opened, and how it stands."""

    turns: int
    """Messages handled."""
    commits: int
    """Commits made durable."""
    live: int
    """Activations in memory."""
    cells: int
    """Agents in memory, with or without an activation."""
    waiting: int
    """Messages in mailboxes."""
    threads: int
    """Worker threads."""
    saves: SaveStatistics


class AgentSystem:
    """Run durable agents on one store. Use as a context manager; made by ``open``."""

    def __init__(
        self, opening: Opening, store: Store, counters: Counters, catalogue: Catalogue
    ) -> None:
        """Compose what works on ``store``, whose lease is held; nothing of it runs yet."""
        self._opening = opening
        self._store = store
        self._clock = clock = opening.clock
        self._supervisor = supervisor = PersistenceSupervisor(
            store,
            counters,
            clock=clock,
            randomness=opening.randomness,
            saving=opening.saving,
            retention=opening.retention,
            sender=self,
        )
        self._runtime = Runtime(
            store,
            supervisor,
            counters,
            catalogue,
            facade=self,
            clock=clock,
            limits=opening.limits,
            resources=opening.resources,
            auto_save=opening.saving.auto_save,
            audit=opening.audit,
            history=opening.history,
        )
        self._runtime.schemas.register_all(opening.schemas)
        self._closing = threading.Lock()
        self._closed: Ending | None = None  # how closing went, once it was done
        self.dead_letters = DeadLetters(self._runtime)
        """Messages given up: listed, ``get(id)``, ``requeue(id)``, ``discard(id)``."""
        runtime = self._runtime
        self.hooks = Hooks(
            runtime.hooks,
            runtime.history,
            runtime.points,
            DeferredCalls(store, runtime.deferred.reason),
            partial(OwnersHost, runtime, runtime.state),
            catalogue.classes(),
        )
        """Code that intervenes: registered, listed, switched on and off."""
        self.timeline = self._runtime.timeline
        """What happened and what caused what: ``timeline(correlation=...)``."""
        self.agents = Agents(store)
        """What the store has of every agent: ``list()``, ``each()``, ``count()``."""
        self.journal = Journal(store)
        """The commits: ``list()``, ``each()``, ``count()``."""
        self.mail = Mail(store)
        """The messages that wait: ``list()``, ``each()``, ``count()``."""
        self.timers = Timers(store)
        """The durable timers: ``list()``, ``each()``, ``count()``."""
        self.backup = SystemBackups(self._runtime, opening.keys.backups)
        """Backups while agents go on: ``create(folder)``, ``schedule()``, ``prune()``."""
        self.secrets = SecretsOffice(
            store, supervisor, catalogue.vault, self._tell_of_secrets, clock.now,
            who=lambda: self._runtime.desk.standing().principal,
        )  # fmt: skip
        """Keys of secrets: ``rotate()``, ``rotation()``, ``remaining()``, ``signed()``."""
        known = KnownInReplays(
            opening.limits, opening.keys, opening.schemas, opening.detector, weakref.ref(self)
        )
        self.replay = Replays(self._runtime, partial(self._open_sandbox, known))
        """Recorded turns run again, in a system of their own: ``turn(id)``, ``batch()``, ..."""
        self.runs = Runs(self._runtime.office, store)
        """The runs of agents that think which have not ended: ``list()``."""
        thinking = frozenset(
            each.kind for each in opening.agents if issubclass(each, ThinkingAgent)
        )
        if thinking:
            runtime.attend(RunSweep(self.runs, runtime.reference, thinking))
        self._service: Service | None = None
        if opening.service and isinstance(store, SqliteStore):
            operator = Operator(self._runtime, self.dead_letters, self.replay)
            self._service = Service(Path(store.location).absolute(), operator, self.statistics)

    @classmethod
    def open(
        cls,
        store: str | Path | Store,
        *,
        agents: Sequence[type[Agent[Any]]],
        sync: str = "power",
        takeover: bool = False,
        service: bool = True,
        saving: Saving = Saving(),
        limits: Limits = Limits(),
        resources: Resources = Resources(),
        keys: Keys = Keys(),
        schemas: Mapping[str, object] | None = None,
        retention: Retention = Retention(),
        audit: Audit = Audit(),
        history: HistoryRetention = HistoryRetention(),
        detector: Detector | None = DEFAULT_DETECTOR,
        clock: Clock | None = None,
        randomness: random.Random | None = None,
    ) -> AgentSystem:
        """Open a store and begin to run agents on it.

        When that fails, for whatever reason, nothing is left of the attempt: no lease, no thread,
        no connection.

        Args:
            store: a path, ``sqlite:///path``, ``memory://``, or a Store object, which is closed
                with the system.
            agents: every agent class that messages may go to.
            sync: ``"power"``: what is acknowledged survives power loss; ``"process"``: it
                survives the end of the process, and commits cost less.
            takeover: fence off another owner that is still alive.
            service: listen on a private socket beside the file, where `perdure` operates the
                system while it is open.
            saving: when to save, and what happens while that fails.
            limits: how much there may be: of one value, of artifacts, of waiting for room.
            resources: threads, and memory for what is not in use.
            keys: what ``Secret`` values are sealed and ``Pickled`` objects signed with.
            schemas: the types of shared values by patterns of their keys, as ``state.register()``
                takes them.
            retention: how much journal to keep.
            audit: which decisions about access are kept, and for how long.
            history: how much of what hooks did is kept.
            detector: what is done about plain values that look like secrets; None: nothing.
            clock: a VirtualClock in tests.
            randomness: the source of jitter; one with a seed makes tests repeatable.

        Raises:
            StoreOwned: another process, or another system in this one, has it open.
            NotAStore, StoreTooNew, StoreUnavailable: the store cannot be used.
            ConfigurationError: a class or an option is declared wrongly; nothing was opened.
        """
        opening = Opening(
            store=store,
            agents=agents,
            sync=sync,
            takeover=takeover,
            service=service,
            saving=saving,
            limits=limits,
            resources=resources,
            keys=keys,
            schemas={} if schemas is None else schemas,
            retention=retention,
            audit=audit,
            history=history,
            detector=detector,
            clock=_share_of(SystemClock() if clock is None else clock),
            randomness=random.Random() if randomness is None else randomness,  # noqa: S311 - jitter, no secrets
        )
        vault = Vault(keys, detector)
        catalogue = Catalogue(agents, largest=limits.largest_value, vault=vault)
        aliases = catalogue.aliases()
        Schemas(vault).register_all(opening.schemas)
        with contextlib.ExitStack() as undo:
            # Each way back is there before its step is taken: an interrupt may strike in between.
            opened = (
                store
                if isinstance(store, Store)
                else undo.enter_context(contextlib.closing(open_store(store, sync=sync)))
            )
            undo.callback(_give_back, opened, opened.lease)
            with failing_at(opened.location):
                counters = opened.acquire(Owner.this_process(), takeover=takeover)
            chain = gone_on(opened, counters.chain, audit.key, opening.clock.now())
            counters = dataclasses.replace(counters, chain=chain)
            refuse_incompatible(opened, catalogue.stored())
            known = Schemas(vault, Registry.only_read(opened))
            KeptValues(opened, VALUES, known)
            known.register_all(opening.schemas)
            counters = carry_over(opened, counters, aliases, vault.sealer, opening.clock.now())
            system = cls(opening, opened, counters, catalogue)
            system._start(undo)
            undo.pop_all()
        return system

    @classmethod
    @contextlib.contextmanager
    def open_replays(
        cls,
        store: str | Path,
        *,
        agents: Sequence[type[Agent[Any]]],
        limits: Limits = Limits(),
        keys: Keys = Keys(),
        schemas: Mapping[str, object] | None = None,
        detector: Detector | None = DEFAULT_DETECTOR,
        audit: bool = False,
    ) -> Iterator[Replayer]:
        """Give what replays the recorded turns of a store that is only read, also if it is in use.

        Takes what ``open`` takes. Who may read the file may do it: nothing is asked. With ``audit``
        each use is in the audit before it begins, which is all that is written: by the process that
        has the store open, else under its lease (StoreOwned where that process does not listen).
        """
        known = KnownInReplays(limits, keys, {} if schemas is None else schemas, detector)
        note = partial(cls._note_replays, store) if audit else take_no_note
        with contextlib.closing(open_reader(store)) as reader:
            yield Replayer(reader, agents, partial(cls._open_sandbox, known), note)

    @classmethod
    def _note_replays(cls, store: str | Path, agents: Collection[tuple[str, str]]) -> None:
        """Put into a store's audit that agents are replayed, by whoever has it open."""
        noted = sorted(agents)
        for first in range(0, len(noted), _NOTED):
            part = noted[first : first + _NOTED]
            owner = find_owner(path_of(store))
            if owner is not None:
                list(owner.ask(NoteReplays(part)))
                continue
            with cls.open(store, agents=[], service=False) as system:
                note_replays(system._runtime.desk, part)  # noqa: SLF001 - of this very class

    @classmethod
    @contextlib.contextmanager
    def _open_sandbox(
        cls,
        known: KnownInReplays,
        agents: Sequence[type[Agent[Any]]],
        moment: float,
        store: MemoryStore,
        used: Callable[[], None] | None = None,
    ) -> Iterator[Runtime]:
        """Open a system in memory that nobody listens to; ``used`` is told of each use of it."""
        with contextlib.ExitStack() as ends, _SandboxSystem.open(
            store, agents=agents, service=False, clock=VirtualClock(moment),
            limits=known.limits, keys=known.keys, schemas=known.schemas, detector=known.detector,
            resources=Resources(workers=1, switch_interval=0.0, young_generation=0),
            randomness=random.Random(0),  # noqa: S311 - jitter, no secrets
        ) as system:  # fmt: skip
            mute(system)
            runtime = system._runtime  # noqa: SLF001 - of this very class
            object.__setattr__(system, "original", known.original())
            object.__setattr__(system, "ends", ends.callback)
            if used is not None:
                object.__setattr__(system, "told", used)
            yield runtime

    def _start(self, undo: contextlib.ExitStack) -> None:
        """Begin to work; ``undo`` ends what has begun."""
        resources = self._opening.resources
        undo.callback(YOUNG_GENERATION.give_back, id(self))
        YOUNG_GENERATION.ask(id(self), resources.young_generation)
        undo.callback(SWITCH_INTERVAL.give_back, id(self))
        if resources.switch_interval is None:
            ComputingWatch(self._clock, partial(SWITCH_INTERVAL.ask, id(self))).start()
        else:
            SWITCH_INTERVAL.ask(id(self), resources.switch_interval)
        undo.callback(self._drain, UNDO_SECONDS)
        self._supervisor.start()
        self._runtime.start()
        # Last: a virtual clock makes the calls that are due at once, and then stands still.
        if isinstance(self._clock, VirtualClock):
            undo.callback(self._clock.moved_out, self._runtime.rest)
            self._clock.moved_in(self._runtime.rest)
        self._clock.start()
        if self._opening.keys.secrets is not None:
            self.secrets.resume()
        undo.callback(_systems.discard, self)
        _systems.add(self)
        if self._service is not None:
            undo.callback(self._service.close)
            self._service.start()

    @property
    def state(self) -> ScopedState:
        """What agents share, by scope and key; outside of turns the system acts."""
        return self._runtime.state

    @property
    def access(self) -> Access:
        """Who may do what with shared state: grants, owners, boundaries, isolation."""
        return self._runtime.access

    @property
    def audit(self) -> AuditTrail:
        """Every decision about access across owners: listed, verified; Denied in handlers."""
        return self._runtime.audit

    @property
    def artifacts(self) -> Artifacts:
        """Named bytes with their origin; outside of turns the system acts."""
        return self._runtime.artifacts

    @property
    def sessions(self) -> Sessions[Session]:
        """Pieces of work with a state, a history and an end: create, get, list, export, import."""
        return self._runtime.sessions

    @property
    def sharing(self) -> Sharing:
        """Topics, pipelines, boards of requests, documents and families of agents."""
        return self._runtime.sharing

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent; nothing is loaded before the first message."""
        return self._runtime.refer(agent_class, key)  # type: ignore[arg-type]  # it looks it up

    def delete(self, agent: type[Agent[Any]] | str, key: str, *, erase: bool = False) -> bool:
        """Delete an agent for good, as ``AgentRef.delete`` does; tell whether there was one.

        ``agent`` is its class, or its kind: also one that this system was opened without, as long
        as no other process runs it. Denied in handlers.
        """
        kind = agent if isinstance(agent, str) else agent.kind
        return self._runtime.delete(kind, key, erase=erase)

    def migrate(
        self,
        *agent_classes: type[Agent[Any]],
        dry: bool = False,
        tell: Callable[[int, int, str], None] | None = None,
    ) -> MigrationReport:
        """Bring all stored agents to the schemas of their classes now, and not when they wake up.

        Of the classes given; without any, of all, and of shared values and artifacts' metadata as
        well. First it is tried on everything: where one thing fails, nothing is
        changed, and the report names each. Messages and timers that wait are tried, too, and
        migrated when they are delivered. Then agents are migrated in batches, each whole or not
        at all; a run that is killed goes on with the next. Nothing of an agent runs. One run at a
        time (ConfigurationError). Denied in handlers.

        Args:
            agent_classes: those whose agents are migrated.
            dry: change nothing, and report what would be done.
            tell: is called with how many are done, how many there are, and the kind at work.
        """
        kinds = [agent_class.kind for agent_class in agent_classes] or None
        runtime = self._runtime
        values = () if kinds else runtime.migrations.kept
        return runtime.migrations.run(
            runtime.evolution, kinds=kinds, values=values, dry=dry, tell=tell
        )

    def group(
        self,
        name: str,
        members: Sequence[AgentRef[Any]],
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        policy: RestartPolicy | None = None,
        parent: str | None = None,
    ) -> None:
        """Supervise agents together: when one fails, ``strategy`` says who is restarted.

        A group that restarts more often than its ``policy`` allows is given to its ``parent``
        group; one without a parent is quarantined. Groups last as long as the system is open. A
        handler may group those it may pause and stop, below a group of such (Denied).
        """
        above = [each.members for each in self.groups() if each.name == parent]
        for kind, key in {(m.kind, m.key) for m in members}.union(*above):
            self._runtime.post.refuse_undirected(self._runtime.reference(kind, key), "group")
        self._runtime.tree.group(
            name,
            [(member.kind, member.key) for member in members],
            strategy=Strategy(strategy),
            policy=policy or RestartPolicy(),
            parent=parent,
        )

    def groups(self) -> tuple[GroupDescription, ...]:
        """Return the supervision groups as they stand, parents first."""
        return self._runtime.tree.describe(self._clock.monotonic())

    def fork(self, agent: AgentRef[A], key: str, *, at: int | None = None) -> AgentRef[A]:
        """Have a new agent of the same class begin with what another was, and return it.

        It has the state behind the commit of version ``at``, or the latest that is saved; not its
        mail, its timers, nor the keys of its own scope. The other is left as it is. Durable on
        return, as the new agent's first commit; a turn of either has no part in it.

        Raises:
            AgentExists: there is an agent under ``key``.
            StateUnknown: the journal does not reach that far.
            KeyMissing: a secret in the state cannot be sealed for the new agent.
            UnknownAgent: there is nothing of the other in the store.
            ConfigurationError: the other never had that version.
            Denied: a handler may not fork agents.
        """
        self._runtime.fork(agent.kind, agent.key, key, at, FORK_SECONDS)
        return self.agent(agent.actor_class, key)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything sent and changed so far is durable; False on timeout.

        ``SNAPSHOT`` agents are as durable as their last save.
        """
        return self._supervisor.committer.flush(timeout)

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until no agent has anything to do and everything is durable; False on timeout.

        Mail of paused and quarantined agents does not count, a timer not before it is delivered.
        With a VirtualClock, what only ``advance()`` can bring (the end of a backoff, the next
        attempt to save) is not waited for: False at once, or without ``timeout`` a Deadlock that
        says what it is. Deadlock in a handler or a hook, too: it would wait for itself.
        """
        _refuse_in_a_turn("idle")
        rest = self._runtime.rest
        while not rest.idle(timeout):
            stalled = rest.stalled()
            if timeout is not None:
                return False
            if stalled:
                message = (
                    f"idle() would wait for ever, because time stands still: {stalled}; call"
                    " clock.advance(seconds), or give idle() a timeout"
                )
                raise Deadlock(message)
        return True

    @property
    def aio(self) -> Rim:
        """For event loops: ``await system.aio.flush()``; also idle, close, cast and run."""
        return Rim(self)

    @contextlib.contextmanager
    def blocking(self) -> Iterator[None]:
        """Say that the block waits for something outside (a request, a lock, a sleep).

        Another thread takes this worker's place meanwhile; costs nothing elsewhere.
        """
        with self._runtime.dispatcher.blocking():
            yield

    def why(
        self, agent: AgentRef[Any] | tuple[str, str] | str, field: str, *path: str | int
    ) -> Provenance:
        """Return why a value of an agent is what it is, as ``timeline.why`` does."""
        return self.timeline.why(agent, field, *path)

    def trace(
        self, traceparent: str, tracestate: str | None = None
    ) -> AbstractContextManager[None]:
        """Have what is sent in the block, from outside, belong to a trace (W3C trace context).

        Both are the values of the headers of these names. They are stored before the message,
        survive a restart, and are given out by ``self.turn.traceparent`` and ``tracestate``. What
        is sent in a session belongs to the session's, the one that was given last.
        ConfigurationError for what is no ``traceparent``; as the standard says, a ``tracestate``
        that is none is dropped, and of one that is too long whole members are.
        """
        return self._runtime.traces.given(traceparent, tracestate or "")

    def carry(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` such that a thread that calls it is in the turn that is here now.

        What it sends, reads and logs there is the turn's, as long as that is under way, and else of
        its agent and its chain of messages. A thread that is started without this acts as the
        system, and begins chains of its own.
        """
        return carried(function)

    def statistics(self) -> SystemStatistics:
        """Return how much was done and how the system stands."""
        cells = list(self._runtime.cells.values())
        saves = self._supervisor.statistics()
        return SystemStatistics(
            turns=self._runtime.keeper.turns(),
            commits=saves.commits,
            live=sum(cell.live for cell in cells),
            cells=len(cells),
            waiting=sum(len(cell.mailbox) for cell in cells),
            threads=self._runtime.dispatcher.threads(),
            saves=saves,
        )

    def close(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Drain: finish the turns under way, save everything, end all threads; idempotent.

        Messages that have not begun stay in the store and are handled when it is opened again.
        Returns False if a turn or a save did not end within ``timeout`` seconds, and logs which.
        The end of a with statement raises CommitsLost instead if commits are lost by that, unless
        close() was called before. The store is given back in any case. Deadlock in a handler and
        in a hook, wherever that runs: it would wait for itself.
        """
        return self._end(timeout).complete

    def _end(self, timeout: float) -> Ending:
        _refuse_in_a_turn("close")
        with self._closing:  # a second caller waits for the first, and learns the same
            if self._closed is None:
                self._closed = self._close(timeout)
            return self._closed

    def _close(self, timeout: float) -> Ending:
        ending = self._drain(timeout)
        self._store.close()
        YOUNG_GENERATION.give_back(id(self))
        SWITCH_INTERVAL.give_back(id(self))
        if not ending.complete:
            logger.error("%r did not close completely: %s", self, ending.told)
        return ending

    def _drain(self, timeout: float) -> Ending:
        """Finish, save and end what has begun; the store is not given back."""
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        runtime = self._runtime
        if self._service is not None:
            self._service.close()
        self.secrets.close()
        runtime.beside.drain(left() / 2)
        runtime.deferred.drain(left())
        runtime.stop_intake()
        runtime.agenda.hurry()
        runtime.refuse_held()
        busy = [] if runtime.quiet(left()) else runtime.rest.busy()
        runtime.save_all()
        busy += [] if runtime.quiet(left()) else runtime.rest.busy()
        if runtime.catalogue.kinds():
            runtime.attempts.close(complete=not busy)
        self._clock.close()
        if isinstance(self._clock, VirtualClock):
            self._clock.moved_out(runtime.rest)
        saved = self._supervisor.close(left())
        runtime.leftovers.drain(left())
        ended = runtime.close(left())
        self.runs.close()
        return Ending(
            busy=tuple(dict.fromkeys(busy)),
            lost=0 if saved else self._supervisor.committer.backlog(),
            cause=None if saved else self._supervisor.last_error(),
            threads_left=not ended,
        )

    def _tell_of_secrets(self, signal: Signal, place: str, reason: str) -> None:
        event = SecretEvent(place, reason, self._clock.now())
        fire(signal, self, event, self._clock.monotonic)

    def __repr__(self) -> str:
        return f"<AgentSystem on {self._store.location}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._closed is not None:
            return  # who called close() in the block was told by its result
        ending = self._end(CLOSE_SECONDS)
        if not ending.lost:
            return
        reason = str(ending.cause or "time was up")
        error = CommitsLost(self._store.location, commits=ending.lost, reason=reason)
        if value is None:
            raise error from ending.cause
        value.add_note(str(error))


def _nothing() -> None:
    """Be told and do nothing."""


def _share_of(clock: Clock) -> Clock:
    """Return a clock whose calls end with the system; another may go by the same virtual one."""
    return ClockShare(clock) if isinstance(clock, VirtualClock) else clock


class _SandboxSystem(AgentSystem):
    """A system in which turns are replayed: it tells when anybody reaches for a part of it."""

    told: Callable[[], None] = staticmethod(_nothing)
    original: object | None = None
    """The system whose turns are replayed, if that is open."""
    ends: Callable[[Callable[[], None]], object] | None = None
    """Has something ended with the system."""

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        """Return an attribute as any object does."""
        if name != "agent" and not name.startswith("__"):
            object.__getattribute__(self, "told")()
        return super().__getattribute__(name)

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent: what is sent by it is the turn's, which records it."""
        runtime: Runtime = object.__getattribute__(self, "_runtime")
        return runtime.refer(agent_class, key)  # type: ignore[arg-type]  # as above


open_async = in_event_loop(AgentSystem.open)
"""Open a system in an event loop: ``async with open_async(...) as system``.

Takes what ``AgentSystem.open`` takes.
Opening and closing run in a thread, and are finished also when the task is cancelled meanwhile.
"""


def _give_back(store: Store, before: Lease) -> None:
    """Release the lease that was taken since ``before``, if one was."""
    if store.lease is not before:
        store.release()


def _refuse_in_a_turn(what: str) -> None:
    here = "hook" if apart.get() is not None else "handler"
    if under_way() is not None or here == "hook":
        message = f"{what}() in a {here} would wait for that {here}; call it from outside"
        raise Deadlock(message)


def open_systems() -> list[AgentSystem]:
    """Return the systems of this process that nobody has closed."""
    return [system for system in list(_systems) if system._closed is None]  # noqa: SLF001


def _close_forgotten() -> None:
    """Close at the end of the interpreter what nobody has closed; a courtesy, no guarantee."""
    forgotten = open_systems()
    for system in forgotten:
        logger.warning("%r was not closed; use it in a with statement", system)
        system.close()
    for system in forgotten:  # afterwards: with -W error a warning raises
        warnings.warn(f"{system!r} was not closed", ResourceWarning, stacklevel=1)


atexit.register(_close_forgotten)


def _disown() -> None:
    """Close the systems a fork has inherited, without touching anything they share with its parent.

    The fork has the objects, but neither the threads nor the lease, and SQLite forbids it to use
    the connections: a turn taken here would be written under the parent's fencing token. Locks
    may be held by threads that are not there, so this only sets flags.
    """
    for system in list(_systems):
        system._closing = threading.Lock()  # noqa: SLF001
        system._closed = Ending()  # noqa: SLF001
        system._runtime.stop_intake()  # noqa: SLF001
        if system._service is not None:  # noqa: SLF001
            system._service.disown()  # noqa: SLF001


os.register_at_fork(after_in_child=_disown)
