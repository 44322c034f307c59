"""The actors' side of a system: composes keeper, post, timers and threads, and ends them."""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from ...hooks.history.binding import bound
from ...hooks.history.retention import HistoryRetention
from ...lifecycle.clock import Clock, DelayedCall, StepWatch
from ...lifecycle.durability import AutoSave, WhenUnsaved
from ...lifecycle.groups import SupervisionTree
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import PerdureError, UnknownAgent
from ...persistence.names.keys import check_name
from ...persistence.records.records import Counters, Timer
from ...persistence.schema.registry import Registry
from ...persistence.store.store import Store
from ...shared.access.access import Access
from ...shared.access.audit import Audit, AuditSweep, AuditTrail
from ...shared.access.policy import Policy
from ...shared.access.sweep import GrantSweep
from ...shared.artifacts.artifacts import Artifacts
from ...shared.ledger.desk import Desk
from ...shared.ledger.ledger import Ledger
from ...shared.ledger.sweep import Sweep
from ...shared.scopes.schemas import Schemas
from ...shared.scopes.state import ScopedState
from ...shared.scopes.sweep import KeySweep
from ...shared.timeline.timelines import Timelines
from ..agent.agent import Agent
from ..agent.blueprint import Catalogue
from ..cell.attempts import Attempts
from ..cell.graves import Graves
from ..cell.hooks import HookOffice
from ..cell.newcomers import Newcomers
from ..cell.receiver import RunningCell
from ..cell.timers import TimerService
from ..patterns.rows import Office
from ..patterns.sharing import Sharing
from ..pool.agenda import Agenda
from ..pool.dispatcher import Dispatcher
from ..pool.loop import HandlerLoop
from ..pool.mailbox import MailHold
from ..talk.control import Control, Verb
from ..talk.reference import AgentRef
from ..talk.sessions import compose
from ..talk.turn import Alarm, Letter, PassedLetter, PassedStoredLetter, whose
from .attendant import Attendant
from .beside import Beside
from .calls import ProgramPoints
from .cells import Keeper
from .context import TurnContext, hangs_on
from .deferred import DeferredSweep
from .forks import EarlierStates, move
from .history import HistorySweep, HookHistory
from .isolator import Isolator
from .leftovers import LeftoverSweep
from .listening import SharedListeners
from .migrations import Migrations
from .options import Limits, Resources
from .post import PostOffice, refuse_agents, refuse_all
from .recovery import Recovery
from .rest import Rest
from .strangers import Strangers
from .traces import Traces, TraceSweep

logger = logging.getLogger("perdure.actors")

GRACE_SECONDS: Final = 0.5
"""What threads get to end in after everything was cancelled, however little time is left."""


class Runtime:
    """Hold everything the cells of a system share (cell.Surroundings)."""

    def __init__(
        self,
        store: Store,
        supervisor: PersistenceSupervisor,
        counters: Counters,
        catalogue: Catalogue,
        *,
        facade: object,
        clock: Clock,
        limits: Limits,
        resources: Resources,
        auto_save: AutoSave,
        audit: Audit,
        history: HistoryRetention,
    ) -> None:
        """Work on a store whose lease is held."""
        self.store, self.supervisor = store, supervisor
        self.catalogue, self.facade, self.clock = catalogue, facade, clock
        self.dispatcher = Dispatcher(
            resources.workers, later=self._looked_after, scribe=supervisor.committer
        )
        self.loop, self.tree = HandlerLoop(clock, name=whose), SupervisionTree()
        self.earlier = EarlierStates(store, catalogue, supervisor.committer.flush)
        self.timers = TimerService(store, clock, self._when_settled, self._timer_due)
        self.guarded = self.closing = self.closed = False
        self.graves, self.attempts = Graves(), Attempts(store, supervisor, clock)
        self.recovering, self.newcomers = True, Newcomers(store)
        self.owed, self.sharers = set[tuple[str, str]](), set[str]()
        # Letters of later owners have higher ids, so "old mail" is what is below this.
        self.first_letter = store.lease.token << 40
        self.largest_value = largest = limits.largest_value
        self.auto_save = auto_save
        self.tick = clock.monotonic()
        self._letters = itertools.count(self.first_letter)
        self._agents = itertools.count(counters.agent + 1)
        self.agenda = Agenda(clock)
        self.rest = Rest(self)
        self.hooks = HookOffice(
            catalogue.classes(), clock, self.dispatcher, self.loop, catalogue.vault.plain.record
        )
        self.points = ProgramPoints(self)
        self.evolution = catalogue.evolution_of(
            Registry(
                store,
                supervisor.committer.riders.append,
                letter=self.first_letter,
                sequence=counters.sequence,
                moment=clock.now(),
            )
        )
        self.keeper = Keeper(self, catalogue, resources.passivation)
        self.cells = self.keeper.cells
        boundaries = {kind: each.boundary for kind, each in catalogue.classes().items()}
        self.policy = Policy(store, boundaries, clock.now, reads=audit.reads)
        self.ledger = Ledger(store, cache_bytes=resources.scope_cache, guard=self.policy)
        self.ledger.waiting, self.ledger.depends = self.dispatcher.blocking, hangs_on
        supervisor.committer.on_durable = self.ledger.took
        supervisor.committer.bind = functools.partial(bound, self.hooks.redact)
        supervisor.defer = self.ledger.defer
        self.desk = desk = Desk(
            self.ledger, supervisor, TurnContext(self), patience=limits.mailbox_wait,
            plain=catalogue.vault.plain, listeners=SharedListeners(self.hooks, self.points),
        )  # fmt: skip
        self.schemas = schemas = Schemas(catalogue.vault, self.evolution.registry)
        self.state = ScopedState(desk, largest=largest, schemas=schemas)
        self.access = Access(desk, self.policy, Isolator(self, self.keeper))
        self.timeline, self.traces = Timelines(desk), Traces(store, supervisor, clock)
        self.metadata = Schemas(catalogue.vault, self.evolution.registry, "metadata")
        self.artifacts = Artifacts(
            desk, supervisor, largest=largest, limits=limits.artifacts, metadata=self.metadata
        )
        self.audit = AuditTrail(
            desk, store, audit, committer=supervisor.committer, append=supervisor.append
        )
        self.history, self.deferred = HookHistory(self, history), DeferredSweep(self)
        self.strangers, self.migrations = Strangers(self), Migrations(self)
        self.leftovers, self.beside = LeftoverSweep(store, supervisor), Beside(self)
        self.post = PostOffice(self, self.keeper, self._letters, mailbox_wait=limits.mailbox_wait)
        self.sessions, session_sweep = compose(self, desk, self.artifacts, schemas, largest=largest)
        self.office = Office(
            desk, self.post, largest=largest, number=self.next_letter, reference=self.reference
        )
        self.sharing = Sharing(self.office)
        self.key_sweep, self.grant_sweep = KeySweep(desk), GrantSweep(self.policy, desk)
        self._attendants = [
            Attendant(sweep, clock, self.dispatcher, self.agenda)
            for sweep in (
                session_sweep, self.key_sweep, self.grant_sweep, self.artifacts.sweeper,
                AuditSweep(self.audit), HistorySweep(self.history), self.deferred,
                TraceSweep(self.traces), self.leftovers,
            )
        ]  # fmt: skip
        self._steps = StepWatch(clock, [self.timers.stepped, self._look])
        supervisor.on_strain, supervisor.on_relief = self._strained, self._relieved

    def _looked_after(self, seconds: float, look: Callable[[], None]) -> DelayedCall:
        return self.clock.call_later(seconds, look).named(
            "a look at the worker threads", routine=True
        )

    def attend(self, sweep: Sweep) -> None:
        """Have one more sweep seen to; before the start."""
        self._attendants.append(Attendant(sweep, self.clock, self.dispatcher, self.agenda))

    def _look(self) -> None:
        for attendant in self._attendants:
            attendant.look()

    def start(self) -> None:
        """Begin to deliver old mail and timers, and to sweep; RuntimeError if no worker starts."""
        self.dispatcher.start()
        self.attempts.start()
        self._name_strangers()
        self._steps.start()
        self.timers.start()
        recovery = Recovery(self)
        self.agenda.begin(recovery)
        self.dispatcher.submit(recovery)
        self.keeper.sweep_later()
        for attendant in self._attendants:
            attendant.start()

    def _name_strangers(self) -> None:
        """Say which agents are stored that nobody can reach: a class was renamed or left out."""
        if not self.catalogue.kinds():
            return  # opened for what is shared, as tools do
        try:
            strangers = sorted(set(self.store.kinds()) - set(self.catalogue.kinds()))
        except PerdureError as error:
            logger.warning("which kinds of agents are stored cannot be read now: %s", error)
            return
        if strangers:
            logger.warning(
                "the store holds agents of kinds that it was opened without: %s; give their classes"
                " in agents=[...], or set kind on the class that took the place of one",
                ", ".join(strangers),
            )

    def hand_on(
        self, kind: str, key: str, message: object, *, reply: bool
    ) -> tuple[RunningCell, PassedLetter | PassedStoredLetter]:
        """Return a message of the turn under way as a letter to another agent."""
        return self.post.hand_on(kind, key, message, reply=reply)

    def reference(self, kind: str, key: str) -> AgentRef[Any]:
        """Return a reference to an agent."""
        return AgentRef(self.post, self.catalogue.of_kind(kind).agent_class, key)

    def refer(self, agent_class: type[Agent[Any]], key: str) -> AgentRef[Any]:
        """Return a reference to an agent of a class this system knows."""
        self.catalogue.of_class(agent_class)
        if (agent_class.kind, key) not in self.cells:
            check_name("key", key)
        return AgentRef(self.post, agent_class, key)

    def delete(self, kind: str, key: str, *, erase: bool) -> bool:
        """Delete an agent, also one of a class this system was opened without."""
        check_name("kind", kind)
        check_name("key", key)
        if kind in self.catalogue.kinds():
            return bool(self.reference(kind, key).delete(erase=erase))
        refuse_agents(f"delete {kind}/{key}")
        return self.strangers.take(kind, key, Verb.ERASE if erase else Verb.DELETE)

    def step(self, kind: str, key: str, verb: Verb, *, timeout: float) -> bool:
        """Take a lifecycle step, also of an agent of an unknown class; False if there was no need.

        UnknownAgent for one of whom nothing is stored and nobody is in memory.
        """
        check_name("kind", kind)
        check_name("key", key)
        if kind not in self.catalogue.kinds():
            return self.strangers.take(kind, key, verb)
        cell = self.cells.get((kind, key))
        at_hand = cell is not None and (cell.activation is not None or len(cell.mailbox) > 0)
        if verb not in (Verb.DELETE, Verb.ERASE) and not at_hand:
            self.supervisor.committer.flush(timeout)
            if self.store.load(kind, key) is None and not self.store.mail(kind, key):
                raise UnknownAgent(f"there is no agent {kind}/{key}; `perdure agents` lists them")
        reference = self.reference(kind, key)
        return self.post.control(reference, verb).get(timeout=timeout) is not False

    def fork(self, kind: str, key: str, target: str, version: int | None, timeout: float) -> None:
        """Have a new agent begin with the state that another had; durable on return."""
        refuse_agents(f"fork {kind}/{key}")
        check_name("key", target)
        copy = self.earlier.copy(kind, key, version)
        move(copy, self.catalogue.vault.sealer, (kind, key), (kind, target))
        if kind not in self.catalogue.kinds():
            self.strangers.fork(kind, target, copy)
            return
        self.post.control(self.reference(kind, target), Verb.FORK, copy).get(timeout=timeout)

    def next_agent(self) -> int:
        """Return a number for a new agent."""
        return next(self._agents)

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        return next(self._letters)

    def deliver(self, kind: str, key: str, letter: Letter) -> None:
        """Put a letter into an agent's mailbox."""
        cell = self.cells.get((kind, key)) or self.keeper.cell(kind, key)
        # The cell is known before the look: deletion.py says why.
        while not (self.graves and self.graves.hold(kind, key, letter)):
            if cell.mailbox.put(letter):
                return
            self.keeper.forget(cell)
            cell = self.keeper.cell(kind, key)

    def deliver_first(self, leaving: list[Any]) -> None:
        """Put the first of some letters that leave together into its agent's mailbox, once.

        It leaves the list in the moment in which it is in the mailbox.
        """
        place = leaving[0][0].kind, leaving[0][0].key
        cell = self.cells.get(place) or self.keeper.cell(*place)
        # The cell is known before the look: deletion.py says why.
        while not (self.graves and self.graves.hold(*place, leaving[0][1])):
            if cell.mailbox.put_first(leaving):
                return
            self.keeper.forget(cell)
            cell = self.keeper.cell(*place)
        del leaving[0]

    def order(self, kind: str, key: str, control: Control) -> None:
        """Put a control before an agent's mail."""
        cell = self.keeper.cell(kind, key)
        while not cell.mailbox.put_urgent(control):
            # This one: another thread may have put an open one in its place.
            self.keeper.forget(cell)
            cell = self.keeper.cell(kind, key)

    def quiet(self, timeout: float | None = None) -> bool:
        """Wait until no mailbox runs or could run at once; False on timeout."""
        return self.rest.quiet(timeout)

    def moments(self) -> list[tuple[float, str]]:
        """Return when sweeps are due whose moment people see, by the monotonic clock."""
        return [(each.next, each.what) for each in self._attendants if each.exact]

    def stop_intake(self) -> None:
        """Refuse messages from outside; turns under way go on and may still ask each other."""
        # Only flags: a forked child calls this, where locks may be held by threads it has not got.
        self.closing = self.guarded = True
        for attendant in self._attendants:
            attendant.stop()

    def refuse_held(self) -> None:
        """Tell those who wait for agents whose mail waits for something that comes no more."""
        for cell in list(self.cells.values()):
            if cell.holds and len(cell.mailbox):
                cell.mailbox.put_urgent(Control(Verb.REFUSE, edge=False))

    def save_all(self) -> None:
        """Have every activation saved and put to rest; nothing can be saved to a lost store."""
        if self.supervisor.ended is not None:
            return
        for cell in list(self.cells.values()):
            cell.mailbox.put_urgent(Control(Verb.PASSIVATE, edge=False))

    def close(self, timeout: float) -> bool:
        """End all threads; whoever still waits is told that the system is closed."""
        self.closed = True
        for cell in list(self.cells.values()):
            refuse_all(cell)
        self.beside.close()
        deadline = time.monotonic() + max(timeout, GRACE_SECONDS)
        complete = self.loop.close(max(timeout, GRACE_SECONDS))
        return self.dispatcher.close(max(0.0, deadline - time.monotonic())) and complete

    def _timer_due(self, timer: Timer) -> None:
        if timer.kind not in self.catalogue.kinds():
            logger.warning("a timer waits for %s/%s, whose class is not there", *timer[:2])
            return
        letter = Alarm(None, letter_id=next(self._letters), cause=timer.cause)
        letter.correlation = timer.correlation or letter.id
        letter.timer = timer
        letter.name, letter.body, letter.sent = timer.method, timer.body, timer.due
        letter.marked = 0
        letter.suspect = self.attempts.watchful and timer.due < self.attempts.opened
        self.deliver(timer.kind, timer.key, letter)

    def _strained(self) -> None:
        """Have every agent look before it takes a message; tell those whose asks would wait."""
        supervisor = self.supervisor
        self.guarded = True
        if supervisor.refusal() is None:
            return
        self.refuse_held()
        for cell in list(self.cells.values()):
            policy = cell.blueprint.agent_class.when_unsaved
            if policy is WhenUnsaved.STOP and cell.activation and supervisor.ended is None:
                cell.mailbox.put_urgent(Control(Verb.STOP, edge=False))

    def _relieved(self) -> None:
        """Let the agents go on that nothing hinders any more."""
        supervisor = self.supervisor
        self.guarded = self.closing or supervisor.strained()
        if self.closing or supervisor.strained():
            # It began between the look and the setting. No lock: a fork may call stop_intake().
            self.guarded = True
        for cell in list(self.cells.values()):
            if not supervisor.hinders(cell.blueprint.agent_class.when_unsaved):
                cell.unhold(MailHold.UNSAVED)

    def _when_settled(self, callback: Callable[[], None]) -> None:
        committer = self.supervisor.committer
        committer.once_durable(committer.appended, callback)
