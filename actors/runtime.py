"""The actors' side of a system: finds cells, carries messages, keeps memory bounded."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pykka.messages import ProxyCall

from ..lifecycle.clock import Clock
from ..lifecycle.durability import AutoSave, WhenUnsaved
from ..lifecycle.groups import SupervisionTree
from ..lifecycle.status import Status
from ..lifecycle.supervisor import PersistenceSupervisor
from ..persistence.errors import (
    ConfigurationError,
    MailboxFull,
    SystemClosed,
)
from ..persistence.records import Commit, Counters, Timer
from ..persistence.store import Store
from . import failing
from .agent import Agent
from .blueprint import Catalogue, check_name
from .cell import AgentCell
from .control import Control, Verb
from .description import AgentDescription, describe
from .dispatcher import Dispatcher
from .future import PooledFuture
from .loop import HandlerLoop
from .messages import PLAIN, detach
from .reference import AgentRef
from .running import RunningCell
from .settling import row
from .steps import quarantined
from .timing import TimerService
from .turn import Alarm, Letter, StoredLetter, Turn, as_letter, under_way
from .waiting import AskHelper
from .waking import Recovery

logger = logging.getLogger("perdure.actors")

SWEEP_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 0.5
"""What threads get to end in after everything was cancelled, however little time is left."""


@dataclass(frozen=True, slots=True)
class Passivation:
    """Drop activations idle for ``idle`` seconds, and the longest idle ones above ``limit``.

    ``None`` switches either off. Volatile agents are never dropped.
    """

    idle: float | None = 300.0
    limit: int | None = 20_000

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        if (self.idle is not None and self.idle <= 0) or (
            self.limit is not None and self.limit < 1
        ):
            message = f"{self} needs idle > 0 and limit >= 1, or None"
            raise ConfigurationError(message)


class Runtime:
    """Hold the cells of a system and everything they share (cell.Surroundings, reference.Post)."""

    def __init__(
        self,
        store: Store,
        supervisor: PersistenceSupervisor,
        counters: Counters,
        catalogue: Catalogue,
        *,
        facade: object,
        clock: Clock,
        workers: int,
        passivation: Passivation,
        mailbox_wait: float,
        largest_value: int,
        auto_save: AutoSave,
    ) -> None:
        """Work on a store whose lease is held."""
        self.store = store
        self.supervisor = supervisor
        self.catalogue = catalogue
        self.facade = facade
        self.clock = clock
        self.dispatcher = Dispatcher(workers)
        self.loop = HandlerLoop()
        self.tree = SupervisionTree()
        self.timers = TimerService(store, clock, self._when_settled, self._timer_due)
        self.guarded = False
        self.closing = False
        self.closed = False
        self.recovering = True
        # Letters of later owners have higher ids, so "old mail" is what is below this.
        self.first_letter = store.lease.token << 40
        self.largest_value = largest_value
        self.auto_save = auto_save
        self.tick = clock.monotonic()
        self.cells: dict[tuple[str, str], RunningCell] = {}
        self._lock = threading.Lock()
        self._turns = 0  # of cells that are gone
        self._postponed: dict[int, Callable[[], object]] = {}
        self._postponing = threading.Condition()
        self._unfinished = 0  # of what was postponed, and the recovery of old mail
        self._letters = itertools.count(self.first_letter)
        self._agents = itertools.count(counters.agent + 1)
        self._passivation = passivation
        self._crowded_at = passivation.limit
        self._mailbox_wait = mailbox_wait
        self._helper = AskHelper(self.dispatcher, self.loop, supervisor.committer)
        supervisor.on_strain = self._strained
        supervisor.on_relief = self._relieved

    def start(self) -> None:
        """Begin to deliver old mail and timers, and to sweep."""
        self.timers.start()
        self.count(1)
        self.dispatcher.submit(Recovery(self))
        self.clock.call_later(SWEEP_SECONDS, self._sweep)

    # reference.Post

    def alive(self) -> bool:
        """Tell whether the system takes messages."""
        return not self.closing

    def reference(self, kind: str, key: str) -> AgentRef[Any]:
        """Return a reference to an agent."""
        return AgentRef(self, self.catalogue.of_kind(kind).agent_class, key)

    def refer(self, agent_class: type[Agent[Any]], key: str) -> AgentRef[Any]:
        """Return a reference to an agent of a class this system knows."""
        self.catalogue.of_class(agent_class)
        if (agent_class.kind, key) not in self.cells:
            check_name("key", key)
        return AgentRef(self, agent_class, key)

    def tell(self, ref: AgentRef[Any], message: object) -> None:
        """Send a message; inside a turn it is sent when the turn commits."""
        cell = ref.cell or self._cell_of(ref)
        turn = under_way()
        if turn is None:
            self._tell_from_outside(ref, cell, message)
            return
        if cell.mailbox.full(len(turn.sends)) and cell.mailbox.full(turn.sent_to(cell)):
            raise _full(cell)
        if cell.volatile:
            turn.send(cell, Letter(_detached(message), correlation=turn.letter.correlation))
        else:
            turn.send(cell, self._stored_letter(cell, message, turn))

    def _tell_from_outside(self, ref: AgentRef[Any], cell: RunningCell, message: object) -> None:
        if self.closing:
            raise _closed()
        if self.guarded:
            self._wait_for_relief(cell)
        if cell.mailbox.full():
            self._wait_for_room(cell)
        letter: object
        if not cell.volatile:
            letter = self._stored_letter(cell, message, None)
            commit = Commit()
            commit.sends = [row(cell.kind, cell.key, letter)]
            self.supervisor.append(commit)
        elif message.__class__ in PLAIN:
            # A bare value is no burden for the garbage collector while it waits; a letter is.
            letter = message
        else:
            letter = Letter(_detached(message))
        while not cell.mailbox.put(letter):
            cell = self._cell_of(ref)

    def ask(self, ref: AgentRef[Any], message: object) -> PooledFuture[Any]:
        """Send a message at once and return the reply's future."""
        cell = ref.cell or self._cell_of(ref)
        turn = under_way()
        future: PooledFuture[Any] = PooledFuture()
        letter = Letter(_detached(message), future)
        if turn is None:
            letter.correlation = letter.id = next(self._letters)
            if self.closing:
                future.fail(_closed())
                return future
        else:
            letter.edge = False
            letter.id = next(self._letters)
            letter.correlation = turn.letter.correlation
            letter.cause = turn.cell.last_sequence
            future.asker = turn
            turn.asked = True
        if self.guarded and self.supervisor.hinders(cell.blueprint.agent_class.when_unsaved):
            refusal = self.supervisor.refusal()
            if refusal is not None:
                future.fail(refusal)
                return future
        if cell.mailbox.full():
            try:
                self._wait_for_room(cell)
            except MailboxFull as error:
                future.fail(error)
                return future
        if cell.status is Status.QUARANTINED:
            cell = self._cell_of(ref)  # the reference may remember one that is long gone
            if cell.status is Status.QUARANTINED:
                future.fail(quarantined(cell))
                return future
        future.helper = self._helper
        future.target = cell
        while not cell.mailbox.put(letter):
            cell = future.target = self._cell_of(ref)
        if cell.holds and (self.guarded or cell.status is Status.QUARANTINED):
            # It may have come behind mail that began to wait just now, for which it must not.
            cell.mailbox.put_urgent(Control(Verb.REFUSE, edge=False))
        if self.closed:
            self._refuse(cell)
        return future

    def control(self, ref: AgentRef[Any], verb: Verb) -> PooledFuture[Any]:
        """Have a lifecycle step taken and return its future."""
        turn = under_way()
        future: PooledFuture[Any] = PooledFuture()
        if self.closing:
            future.fail(_closed())
            return future
        if self.supervisor.ended is not None:
            future.fail(self.supervisor.ended)
            return future
        future.asker = turn
        future.helper = self._helper
        control = Control(verb, future, edge=turn is None)
        while True:
            cell = future.target = self._cell_of(ref)
            put = cell.mailbox.put if verb is Verb.STOP else cell.mailbox.put_urgent
            if put(control):
                break
        if verb is Verb.STOP and cell.holds:
            cell.mailbox.expedite(Control)
        if self.closed:
            self._refuse(cell)
        return future

    def describe(self, ref: AgentRef[Any]) -> AgentDescription:
        """Return how an agent stands."""
        cell = self.cells.get((ref.kind, ref.key))
        return describe(self.store, ref.kind, ref.key, cell)

    def _cell_of(self, ref: AgentRef[Any]) -> RunningCell:
        """Return the cell a reference leads to, and let the reference remember it."""
        cell = self.cells.get((ref.kind, ref.key))
        while cell is None or cell.mailbox.is_closed():
            if cell is not None:
                self.forget(cell)
            cell = self.cell(ref.kind, ref.key)
        ref.cell = cell
        return cell

    # cell.Surroundings

    def next_agent(self) -> int:
        """Return a number for a new agent."""
        return next(self._agents)

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        return next(self._letters)

    def deliver(self, kind: str, key: str, letter: Letter) -> None:
        """Put a letter into an agent's mailbox."""
        cell = self.cells.get((kind, key)) or self.cell(kind, key)
        while not cell.mailbox.put(letter):
            self.forget(cell)
            cell = self.cell(kind, key)

    def order(self, kind: str, key: str, control: Control) -> None:
        """Put a control before an agent's mail."""
        cell = self.cell(kind, key)
        while not cell.mailbox.put_urgent(control):
            self.forget(cell)  # this one: another thread may have put an open one in its place
            cell = self.cell(kind, key)

    def replace(self, cell: AgentCell, failed: Letter | None, error: Exception) -> None:
        """Put a fresh cell, with all the mail, in the place of one that hangs."""
        fresh = RunningCell(self, cell.blueprint, cell.key)
        fresh.last_sequence = cell.last_sequence
        fresh.status, fresh.reason = cell.status, cell.reason
        fresh.intensity = cell.intensity
        fresh.mail_loaded = cell.mail_loaded
        fresh.restarting = True
        fresh.turns = cell.turns
        fresh.error = cell.error
        # In this order: whoever finds the old mailbox closed finds the fresh one in its place,
        # where mail gathers behind what is left of the old, and nothing runs before the attach.
        with self._lock:
            self.cells[cell.kind, cell.key] = fresh
        left = [as_letter(item) for item in cell.mailbox.close()]
        fresh.mailbox.put_back(*[e for e in left if getattr(e, "verb", None) is not Verb.DONE])
        failing.restart(fresh, error, failed)
        fresh.mailbox.attach(fresh, self.dispatcher)

    def forget(self, cell: AgentCell) -> None:
        """Drop a closed cell."""
        with self._lock:
            if self.cells.get((cell.kind, cell.key)) is cell:
                del self.cells[cell.kind, cell.key]
                self._turns += cell.turns
            if self._passivation.limit is not None and len(self.cells) < self._passivation.limit:
                self._crowded_at = self._passivation.limit

    def cell(self, kind: str, key: str) -> RunningCell:
        """Return the agent's cell, making it if it has none."""
        cell = self.cells.get((kind, key))
        if cell is not None:
            return cell
        blueprint = self.catalogue.of_kind(kind)
        crowded = False
        with self._lock:
            cell = self.cells.get((kind, key))
            if cell is None:
                cell = RunningCell(self, blueprint, key)
                cell.mailbox.attach(cell, self.dispatcher)
                self.cells[kind, key] = cell
                crowded = self._crowded_at is not None and len(self.cells) >= self._crowded_at
        if crowded:
            self._make_room()
        return cell

    def turns(self) -> int:
        """Return how many messages were handled since the system was opened."""
        with self._lock:
            return self._turns + sum(cell.turns for cell in self.cells.values())

    def later(self, delay: float, callback: Callable[[], object]) -> None:
        """Call back after ``delay`` seconds, at once when the system closes.

        The system is not idle before: a restart after backoff is work that waits for its time.
        """
        ticket = next(self._letters)
        with self._postponing:
            self._unfinished += 1
            self._postponed[ticket] = callback
        # After the ticket is there: either this sees the closing, or hurry() sees the ticket.
        if self.closing:
            self._make_call(ticket)
        else:
            self.clock.call_later(delay, lambda: self._make_call(ticket))

    def _make_call(self, ticket: int) -> None:
        with self._postponing:
            callback = self._postponed.pop(ticket, None)
        if callback is not None:
            try:
                callback()
            finally:
                self.count(-1)

    def count(self, change: int) -> None:
        """Count work that no mailbox knows of; the system is not quiet before it is done."""
        with self._postponing:
            self._unfinished += change
            if self._unfinished == 0:
                self._postponing.notify_all()

    def quiet(self, timeout: float | None = None) -> bool:
        """Wait until no mailbox runs or could run at once; False on timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout

        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        while True:
            before = self.dispatcher.submissions()
            with self._postponing:
                if not self._postponing.wait_for(lambda: self._unfinished == 0, left()):
                    return False
            for cell in list(self.cells.values()):
                if not cell.mailbox.wait_until_rest(left()):
                    return False
            # Nothing was scheduled during the whole round: nothing can have begun behind it.
            if self.dispatcher.submissions() == before + 1:
                return True

    # Shutting down.

    def stop_intake(self) -> None:
        """Refuse messages from outside; turns under way go on and may still ask each other."""
        # Only flags: a forked child calls this, where locks may be held by threads it has not got.
        self.closing = self.guarded = True

    def hurry(self) -> None:
        """Have everything that waits for its time happen now; after ``stop_intake``."""
        with self._postponing:
            postponed = list(self._postponed)
        for ticket in postponed:
            self._make_call(ticket)

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
            self._refuse(cell)
        deadline = time.monotonic() + max(timeout, GRACE_SECONDS)
        complete = self.loop.close(max(timeout, GRACE_SECONDS))
        return self.dispatcher.close(max(0.0, deadline - time.monotonic())) and complete

    # Inside.

    def _stored_letter(self, cell: AgentCell, message: object, turn: Turn | None) -> Letter:
        """Make a letter that stands alone: encoded, and decoded afresh for the receiver."""
        name, body, fresh = cell.blueprint.calls.encode(message)
        letter = StoredLetter(fresh, letter_id=next(self._letters))
        letter.correlation = letter.id if turn is None else turn.letter.correlation
        letter.name = name
        letter.body = body
        letter.sent = self.clock.now()
        return letter

    def _timer_due(self, timer: Timer) -> None:
        if timer.kind not in self.catalogue.kinds():
            logger.warning("a timer waits for %s/%s, whose class is not there", *timer[:2])
            return
        letter = Alarm(None, letter_id=next(self._letters))
        letter.correlation = letter.id
        letter.timer = timer
        letter.name, letter.body, letter.sent = timer.method, timer.body, timer.due
        self.deliver(timer.kind, timer.key, letter)

    def _wait_for_relief(self, cell: AgentCell) -> None:
        """Hold up a sender from outside while too much is unsaved, so that memory is bounded."""
        supervisor = self.supervisor
        if supervisor.ended is not None:
            raise supervisor.ended
        if not supervisor.swamped:
            return
        if not _in_event_loop():
            with self.dispatcher.blocking():
                if supervisor.wait_for_relief(self._mailbox_wait):
                    return
        message = (
            f"{cell} cannot take more: too much is unsaved ({supervisor.statistics().last_error})"
        )
        raise MailboxFull(message)

    def _wait_for_room(self, cell: AgentCell) -> None:
        if _in_event_loop() or under_way() is not None:
            raise _full(cell)
        with self.dispatcher.blocking():
            if not cell.mailbox.wait_for_space(self._mailbox_wait):
                raise _full(cell)

    def _sweep(self) -> None:
        """Put to rest what has been idle for long."""
        if self.closing:
            return
        self.tick = self.clock.monotonic()
        idle = self._passivation.idle
        horizon = self.tick - idle if idle is not None else None
        for cell in list(self.cells.values()):
            if cell.activation is None:
                if not cell.mailbox.busy():
                    cell.retire()
            elif horizon is not None and cell.used < horizon:
                self._put_to_rest(cell)
        self.clock.call_later(SWEEP_SECONDS, self._sweep)

    def _make_room(self) -> None:
        """Put the longest idle activations to rest, as many as come until the next round."""
        limit = self._passivation.limit
        assert limit is not None
        # A round costs a look at every cell, so there is one for each eighth of the limit.
        step = max(1, limit // 8)
        self._crowded_at = max(limit, len(self.cells)) + step
        idle: list[RunningCell] = []
        for cell in list(self.cells.values()):
            if cell.mailbox.at_rest():
                if cell.activation is None:
                    cell.retire()  # or it waits for its mail, and has no place among the idle
                elif not cell.volatile:
                    idle.append(cell)
        for cell in heapq.nsmallest(step, idle, key=lambda cell: cell.used):
            self._put_to_rest(cell)
            if not cell.blueprint.passivates:
                # At once, by the one who needs the room: it may be faster than all workers. Not
                # if the agent has a say in it: what it does there may wait for the caller's turn.
                cell.mailbox.steal()

    def _put_to_rest(self, cell: RunningCell) -> None:
        if not cell.volatile and not cell.mailbox.busy():
            cell.mailbox.put_urgent(Control(Verb.PASSIVATE, edge=False))

    def _strained(self) -> None:
        """Have every agent look before it takes a message; tell those whose asks would wait."""
        supervisor = self.supervisor
        self.guarded = True
        if supervisor.refusal() is None:
            return
        for cell in list(self.cells.values()):
            policy = cell.blueprint.agent_class.when_unsaved
            if cell.holds and len(cell.mailbox):
                cell.mailbox.put_urgent(Control(Verb.REFUSE, edge=False))
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
                cell.unhold("unsaved")

    def _refuse(self, cell: RunningCell) -> None:
        turn = cell.turn
        if turn is not None and turn.letter.reply_to is not None:
            # It did not end in time, and nothing it could do now would be kept.
            turn.letter.reply_to.fail(_closed())
        for envelope in cell.mailbox.close():
            if isinstance(envelope, Letter) and envelope.reply_to is not None:
                envelope.reply_to.fail(_closed())

    def _when_settled(self, callback: Any) -> None:
        committer = self.supervisor.committer
        if not committer.when_durable(committer.appended, callback):
            callback()


def _detached(message: object) -> object:
    if message.__class__ is not ProxyCall:
        return detach(message)
    path, args, kwargs = message
    for value in args:
        if value.__class__ not in PLAIN:
            return ProxyCall(path, detach(args), detach(kwargs))  # type: ignore[arg-type]
    return ProxyCall(path, args, detach(kwargs)) if kwargs else message  # type: ignore[arg-type]


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _full(cell: AgentCell) -> MailboxFull:
    return MailboxFull(
        f"{cell} has {len(cell.mailbox):,} messages waiting, its limit; send more slowly or raise"
        f" {cell.blueprint.agent_class.__name__}.mailbox_limit"
    )


def _closed() -> SystemClosed:
    return SystemClosed("the agent system is closed; open it again to send messages")
