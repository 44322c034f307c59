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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from blinker import Signal

from .actors.agent.agent import Agent
from .actors.agent.blueprint import Catalogue
from .actors.patterns.sharing import Sharing
from .actors.pool.dispatcher import DEFAULT_WORKERS
from .actors.pool.garbage import DEFAULT_YOUNG_GENERATION, YOUNG_GENERATION
from .actors.system.cells import Passivation
from .actors.system.dead_letters import DeadLetters
from .actors.system.runtime import Runtime
from .actors.talk.identity import Identified
from .actors.talk.reference import AgentRef
from .actors.talk.sessions import Session
from .actors.talk.turn import current, under_way
from .lifecycle.backoff import Backoff
from .lifecycle.breaker import Breaker
from .lifecycle.clock import Clock, SystemClock
from .lifecycle.durability import AutoSave
from .lifecycle.groups import GroupDescription
from .lifecycle.restart import RestartPolicy, Strategy
from .lifecycle.saves import SaveStatistics
from .lifecycle.signals import SecretEvent, fire
from .lifecycle.supervisor import DEFAULT_MOST_UNSAVED, PersistenceSupervisor
from .persistence.audit.entries import gone_on
from .persistence.errors import ConfigurationError, Deadlock, Denied
from .persistence.records.records import AgentRow, JournalEntry
from .persistence.secrets.detector import DEFAULT_DETECTOR, Detector
from .persistence.secrets.keys import KeyProvider
from .persistence.secrets.masking import masked
from .persistence.secrets.vault import Vault
from .persistence.state.state import DEFAULT_LARGEST_VALUE
from .persistence.store.lease import Owner
from .persistence.store.store import Store
from .persistence.upkeep.retention import Retention
from .shared.access.access import Access
from .shared.access.audit import Audit, AuditTrail
from .shared.artifacts.artifacts import Artifacts
from .shared.artifacts.records import ArtifactLimits
from .shared.ledger.cache import DEFAULT_CACHE_BYTES
from .shared.scopes.schemas import Schemas
from .shared.scopes.state import ScopedState
from .shared.secrets.office import SecretsOffice
from .shared.sessions.sessions import Sessions
from .url import open_store

logger = logging.getLogger("perdure")

A = TypeVar("A", bound=Identified)

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
        self,
        store: Store,
        runtime: Runtime,
        supervisor: PersistenceSupervisor,
        clock: Clock,
        young_generation: int,
        *,
        vault: Vault,
    ) -> None:
        """Compose what ``open`` has made."""
        self._young_generation = young_generation
        self._store = store
        self._runtime = runtime
        self._supervisor = supervisor
        self._clock = clock
        self._closing = threading.Lock()
        self._closed: bool | None = None  # whether closing was complete, once it was done
        self.dead_letters = DeadLetters(runtime)
        """Messages given up: ``list()``, ``get(id)``, ``requeue(id)``, ``discard(id)``."""
        self.secrets = SecretsOffice(store, supervisor, vault, self._tell_of_secrets, clock.now)
        """Keys of secrets: ``rotate()``, ``rotation()``, ``remaining()``."""

    @classmethod
    def open(
        cls,
        store: str | Path | Store,
        *,
        agents: Sequence[type[Agent[Any]]],
        sync: str = "power",
        workers: int = DEFAULT_WORKERS,
        backoff: Backoff | None = None,
        breaker: Breaker | None = None,
        auto_save: AutoSave | None = None,
        most_unsaved: int = DEFAULT_MOST_UNSAVED,
        retention: Retention | None = None,
        passivation: Passivation | None = None,
        mailbox_wait: float = 30.0,
        largest_value: int = DEFAULT_LARGEST_VALUE,
        scope_cache: int = DEFAULT_CACHE_BYTES,
        schemas: Mapping[str, object] | None = None,
        artifact_limits: ArtifactLimits | None = None,
        young_generation: int = DEFAULT_YOUNG_GENERATION,
        takeover: bool = False,
        secrets: KeyProvider | None = None,
        pickles: KeyProvider | None = None,
        audit: Audit | None = None,
        detector: Detector | None = DEFAULT_DETECTOR,
        clock: Clock | None = None,
        randomness: random.Random | None = None,
    ) -> AgentSystem:
        """Open a store and begin to run agents on it.

        Args:
            store: a path, ``sqlite:///path``, ``memory://``, or a Store object.
            agents: every agent class that messages may go to.
            sync: ``"power"``: what is acknowledged survives power loss; ``"process"``: it
                survives the end of the process, and commits cost less.
            workers: threads that run handlers.
            backoff: how long to wait after a failed save.
            breaker: when to leave a failing store alone, and for how long.
            auto_save: how often changed ``SNAPSHOT`` agents are saved whose class does not say.
            most_unsaved: commits that may wait in memory; above it agents and senders are held
                up until half of them are durable. Takes one to two KiB each.
            retention: how much journal to keep.
            passivation: when idle agents leave memory.
            mailbox_wait: seconds a sender outside a turn waits for room in a full mailbox.
            largest_value: characters one stored value or one message may take.
            scope_cache: bytes of shared keys to remember, about.
            schemas: the types of shared values by patterns of their keys, as ``state.register()``
                takes them.
            artifact_limits: how many bytes of artifacts there may be; no limit if not given.
            young_generation: new objects after which Python's garbage collector looks for cycles
                while the system is open (``gc.set_threshold``); 0 leaves it as it is.
            takeover: fence off another owner that is still alive.
            secrets: the keys that ``Secret`` values are sealed with; without them secrets stay
                closed.
            pickles: the keys that ``Pickled`` objects are signed with; without them a class that
                holds such objects is refused.
            detector: what is done about plain values that look like secrets; None: nothing.
            audit: which decisions about access are kept, and for how long.
            clock: a VirtualClock in tests.
            randomness: the source of jitter.

        Raises:
            StoreOwned: another process, or another system in this one, has it open.
            NotAStore, StoreTooNew, StoreUnavailable: the store cannot be used.
            ConfigurationError: a class or an option is declared wrongly.
        """
        vault = Vault(secrets, pickles, detector)
        catalogue = Catalogue(agents, largest=largest_value, vault=vault)
        Schemas(vault).register_all(schemas or {})  # refused before anything is opened
        if workers < 1:
            message = f"workers={workers}: a system needs at least one"
            raise ConfigurationError(message)
        if young_generation < 0:
            message = f"young_generation={young_generation}: give a number of objects, or 0"
            raise ConfigurationError(message)
        clock = clock or SystemClock()
        if not isinstance(clock.now(), float):
            message = f"{clock!r}.now() gives {clock.now()!r}; a clock gives seconds as a float"
            raise ConfigurationError(message)
        opened = store if isinstance(store, Store) else open_store(store, sync=sync)
        try:
            counters = opened.acquire(Owner.this_process(), takeover=takeover)
            audit = audit or Audit()
            chain = gone_on(opened, counters.chain, audit.key, clock.now())
        except BaseException:
            if opened is not store:
                opened.close()
            raise
        system = cls.__new__(cls)
        supervisor = PersistenceSupervisor(
            opened,
            dataclasses.replace(counters, chain=chain),
            clock=clock,
            randomness=randomness or random.Random(),  # noqa: S311 - jitter, no secrets
            backoff=backoff or Backoff(),
            breaker=breaker or Breaker(),
            retention=retention or Retention(),
            sender=system,
            most_unsaved=most_unsaved,
        )
        runtime = Runtime(
            opened,
            supervisor,
            counters,
            catalogue,
            facade=system,
            clock=clock,
            workers=workers,
            passivation=passivation or Passivation(),
            mailbox_wait=mailbox_wait,
            largest_value=largest_value,
            auto_save=auto_save or AutoSave(),
            scope_cache=scope_cache,
            artifact_limits=artifact_limits or ArtifactLimits(),
            audit=audit,
        )
        runtime.state.schemas.register_all(schemas or {})
        system.__init__(opened, runtime, supervisor, clock, young_generation, vault=vault)  # type: ignore[misc]
        supervisor.start()
        runtime.start()
        # Last: a virtual clock makes the calls that are due at once, and then stands still.
        clock.start()
        if secrets is not None:
            system.secrets.resume()
        _systems.add(system)
        YOUNG_GENERATION.ask(young_generation)
        return system

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
        group; one without a parent is quarantined. Groups last as long as the system is open.
        """
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

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything sent and changed so far is durable; False on timeout.

        ``SNAPSHOT`` agents are as durable as their last save.
        """
        return self._supervisor.committer.flush(timeout)

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until no agent has anything to do and everything is durable; False on timeout.

        Mail of paused and quarantined agents does not count, a timer not before it is delivered.
        Deadlock in a handler: it would wait for itself.
        """
        _refuse_in_a_turn("idle")
        deadline = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        committer = self._supervisor.committer
        while True:
            if not self._runtime.quiet(left()) or not committer.flush(left()):
                return False
            if self._runtime.quiet(0) and committer.backlog() == 0:
                return True

    @contextlib.contextmanager
    def blocking(self) -> Iterator[None]:
        """Say that the block waits for something outside (a request, a lock, a sleep).

        Another thread takes this worker's place meanwhile; costs nothing elsewhere.
        """
        with self._runtime.dispatcher.blocking():
            yield

    def agents(self, kind: str | None = None) -> Iterator[AgentRow]:
        """Iterate over what the store has of every agent, in (kind, key) order."""
        return self._store.agents(kind)

    def journal(
        self, kind: str | None = None, key: str | None = None, *, after: int = 0, limit: int = 100
    ) -> list[JournalEntry]:
        """Return up to ``limit`` commits with a sequence above ``after``, oldest first.

        Secrets stand in them as ``***``. A handler may read its own agent's only (Denied).
        """
        turn = current.get()
        if turn is not None and (kind, key) != (turn.cell.kind, turn.cell.key):
            who = f"{turn.cell.kind}/{turn.cell.key}"
            raise Denied(f"{who} may read no journal but its own; give its kind and key")
        entries = self._store.journal(kind, key, after=after, limit=limit)
        return [entry._replace(delta=masked(entry.delta)) for entry in entries]

    def statistics(self) -> SystemStatistics:
        """Return how much was done and how the system stands."""
        cells = list(self._runtime.cells.values())
        saves = self._supervisor.statistics()
        return SystemStatistics(
            turns=self._runtime.keeper.turns(),
            commits=saves.commits,
            live=sum(cell.activation is not None for cell in cells),
            cells=len(cells),
            waiting=sum(len(cell.mailbox) for cell in cells),
            threads=self._runtime.dispatcher.threads(),
            saves=saves,
        )

    def close(self, timeout: float = 10.0) -> bool:
        """Drain: finish the turns under way, save everything, end all threads; idempotent.

        Messages that have not begun stay in the store and are handled when it is opened again.
        Returns False if a turn or a save did not end within ``timeout`` seconds; whatever was
        acknowledged is durable all the same. Deadlock in a handler: it would wait for itself.
        """
        _refuse_in_a_turn("close")
        with self._closing:  # a second caller waits for the first, and learns the same
            if self._closed is None:
                self._closed = self._close(timeout)
            return self._closed

    def _close(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        runtime = self._runtime
        self.secrets.close()
        runtime.stop_intake()
        runtime.agenda.hurry()
        complete = runtime.quiet(left())
        runtime.save_all()
        complete = runtime.quiet(left()) and complete
        self._clock.close()
        complete = self._supervisor.close(left()) and complete
        complete = runtime.close(left()) and complete
        self._store.close()
        YOUNG_GENERATION.give_back(self._young_generation)
        return complete

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
        if not self.close():
            left = self._supervisor.committer.backlog()
            logger.error("%r did not close completely: %d commits are not saved", self, left)


def _refuse_in_a_turn(what: str) -> None:
    if under_way() is not None:
        message = f"{what}() in a handler would wait for that handler; call it from outside"
        raise Deadlock(message)


def _close_forgotten() -> None:
    """Close at the end of the interpreter what nobody has closed; a courtesy, no guarantee."""
    forgotten = [system for system in list(_systems) if system._closed is None]  # noqa: SLF001
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
        system._closed = True  # noqa: SLF001
        system._runtime.stop_intake()  # noqa: SLF001


os.register_at_fork(after_in_child=_disown)
