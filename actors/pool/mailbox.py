"""A mailbox that is its own task: whoever puts into an idle one has it run.

Invariants:
 * At most one thread is RUNNING a mailbox, so its actor handles one message at a time.
 * A mailbox with work is SCHEDULED, RUNNING or SUSPENDED; IDLE means there is nothing to do.
 * The phase changes only under the lock. ``put`` appends without it and then looks at the phase:
   a runner that goes IDLE looks at the queue after it has changed the phase, so one of the two
   sees the other. A message put into a CLOSED mailbox is either still in the queue, then it is
   taken back and refused, or the one who closed has taken it and answers for it.
 * An asynchronous exception (Ctrl-C on the main thread, ``PyThreadState_SetAsyncExc`` on any)
   strikes behind a call, never between plain loads and stores, nor inside a call in C. So what
   must be one is written without a call in it, or is one call in C: what is taken from the queue
   is in the hand, what has left the hand is done with. Whoever is struck leaves a mailbox it runs
   as a *stray*, with what it has in hand, and a worker goes on with both.
"""

from __future__ import annotations

import enum
import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from pykka import ActorDeadError
from pykka._envelope import Envelope

from .dispatcher import Dispatcher
from .writing import Writing

BUDGET: Final = 64
"""Messages per run, then the mailbox goes to the tail of the queue."""
MOST_STRIKES: Final = 10
"""How often going on with a message is struck before it is left to the next start of the system,
and the call of who waits for a reply before it is left out."""


class MailHold(enum.StrEnum):
    """Why an agent's mail waits."""

    PAUSED = "paused"
    QUARANTINED = "quarantined"
    BACKOFF = "backoff"
    """Before a restart."""
    UNSAVED = "unsaved"
    """Nothing can be saved, and the agent may not go on without."""
    PROVING = "proving"
    """Until the turn of a message of an earlier process is durable."""
    ISOLATED = "isolated"
    ENDED = "ended"
    """The store was lost: nothing begins any more."""


class Outcome(enum.Enum):
    """What a receiver made of an envelope, where it matters to the mailbox."""

    SUSPENDED = "suspended"
    """The turn goes on elsewhere; nothing more until ``resume()``."""
    RETRY = "retry"
    """The envelope was not handled: it is put back, and nothing more until ``resume()``."""
    GONE = "gone"
    """The turn was taken from its runner: whoever took it closes the mailbox, and answers for what
    is left."""


class Receiver(Protocol):
    """Handle a mailbox's envelopes, one at a time, inside the mailbox's context."""

    def receive(self, envelope: Envelope[Any]) -> Outcome | None:
        """Handle one envelope."""
        ...

    def recover(self, envelope: Envelope[Any]) -> Outcome | None:
        """Go on with an envelope whose runner was struck by an asynchronous exception.

        What was done for good stays done, and anything else is done again.
        """
        ...

    def broke(self, envelope: Envelope[Any], error: BaseException) -> None:
        """Answer for an envelope at which ``receive`` raised; must not raise."""
        ...

    def launch(self) -> None:
        """Begin what the mailbox is suspended for; called outside the context and the lock.

        The mailbox may have been closed in between. Called again if it was interrupted.
        """
        ...

    def drained(self) -> None:
        """Be told that a run is over; called outside the context and the lock."""
        ...


class _Phase(enum.IntEnum):
    IDLE = 0
    SCHEDULED = 1
    RUNNING = 2
    SUSPENDED = 3
    CLOSED = 4


_IDLE, _SCHEDULED, _RUNNING, _SUSPENDED, _CLOSED = _Phase

NOTHING: Final[Any] = object()
"""What is in a hand that is empty; a message may be None."""


def _never() -> bool:
    return False


P = ParamSpec("P")
R = TypeVar("R")


def _scheduling(
    method: Callable[Concatenate[Mailbox, P], R],
) -> Callable[Concatenate[Mailbox, P], R]:
    """Have a worker look at the mailbox if a method that may schedule it is interrupted."""

    @functools.wraps(method)
    def call(self: Mailbox, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except BaseException:
            self._requeue(self)
            raise

    return call


class Mailbox:
    """Queue envelopes for one receiver and run it on the dispatcher's threads."""

    __slots__ = (
        "_dispatcher", "_held", "_hurried", "_lock", "_phase", "_queue", "_receiver", "_requeue",
        "_space", "_stray", "_urgent", "context", "hand", "helped", "limit", "runner",
    )  # fmt: skip

    def __init__(self, dispatcher: Dispatcher | None = None, limit: int | None = None) -> None:
        """Make an open mailbox; ``limit`` is how many messages it holds."""
        self._dispatcher = dispatcher
        self._receiver: Receiver | None = None
        self._lock = threading.Lock()
        self._queue: deque[Envelope[Any]] = deque()
        self._urgent: list[Envelope[Any]] = []  # rarely used, and a deque takes 600 bytes
        self._phase = _IDLE
        self._held = False
        self._stray = False  # its runner was struck
        self._hurried = False  # what is in hand was urgent
        # Takes this mailbox in one call in C; before there is a dispatcher nothing is to be done.
        self._requeue: Callable[[Mailbox], object] = (
            id if dispatcher is None else dispatcher.requeue
        )
        self.hand: Any = NOTHING
        """What is being handled. The receiver empties it in the moment in which it is done with."""
        self.helped = False
        """Its runner waits for a reply and will write what is committed."""
        self.context = Context()
        self._space: threading.Condition | None = None
        self.limit = limit
        self.runner: threading.Thread | None = None

    @_scheduling
    def attach(self, receiver: Receiver, dispatcher: Dispatcher) -> None:
        """Give the mailbox its receiver and schedule what it holds."""
        with self._lock:
            self._receiver = receiver
            self._dispatcher = dispatcher
            self._requeue = dispatcher.requeue
            schedule = self._wants_run()
        if schedule:
            dispatcher.submit(self)

    def put(self, envelope: Any, /, *, offer: bool = False) -> bool:  # noqa: ANN401 - bare messages too
        """Append an envelope, or a bare message that is as good as one; False if closed.

        ``offer`` says that the sender is likely to wait for it, and may run it itself.
        """
        # Without the lock, which every sender of a busy mailbox would wait for. The race:
        # 1. The sender appends, then reads the phase.
        # 2. The runner finds the queue empty, goes IDLE under the lock, then looks once more.
        # Read before 2, the phase is RUNNING, so the append came first and the last look finds it;
        # read after 2, it is IDLE, and the sender schedules.
        try:
            self._queue.append(envelope)
            phase = self._phase
            if phase is _SCHEDULED or phase is _RUNNING or phase is _SUSPENDED:
                return True
            return self._appended(envelope, offer=offer)
        except BaseException:
            self._requeue(self)
            raise

    def put_first(self, leaving: list[tuple[Any, Envelope[Any]]]) -> bool:
        """Put the first of some envelopes that leave together; it leaves their list in that moment.

        So each is put once, whoever is interrupted. False, and it stays, if the mailbox is closed.
        """
        first = leaving[0]
        try:
            del leaving[0]
            self._queue.append(first[1])
            if self._appended(first[1], offer=False):
                return True
        except BaseException:
            self._requeue(self)
            raise
        leaving.insert(0, first)
        return False

    def _appended(self, envelope: Any, *, offer: bool) -> bool:  # noqa: ANN401 - as put
        with self._lock:
            if self._phase is _CLOSED:
                return not self._take_back(envelope)
            schedule = self._wants_run()
        if schedule:
            dispatcher: Dispatcher = self._dispatcher  # type: ignore[assignment]
            (dispatcher.offer if offer else dispatcher.submit)(self)
        return True

    @_scheduling
    def put_urgent(self, envelope: Envelope[Any]) -> bool:
        """Put an envelope before ordinary ones, also while held; False if the mailbox is closed."""
        with self._lock:
            if self._phase is _CLOSED:
                return False
            self._urgent.append(envelope)
            schedule = self._wants_run()
        if schedule:
            self._dispatcher.submit(self)  # type: ignore[union-attr]
        return True

    def put_back(self, *envelopes: Envelope[Any]) -> bool:
        """Put envelopes before all ordinary ones, in the order given; for the running receiver.

        One in hand leaves it. False, and nothing happens, if the mailbox was closed meanwhile.
        """
        hand = self.hand
        back = envelopes[::-1]
        left = NOTHING if any(envelope is hand for envelope in envelopes) else hand
        with self._lock:
            if self._phase is _CLOSED:
                return False
            self.hand = left
            self._queue.extendleft(back)
        return True

    @_scheduling
    def resume(self, envelope: Envelope[Any] | None = None) -> bool:
        """End a suspension; ``envelope`` is handled before everything else.

        False, and nothing happens, if the mailbox was closed in the meantime.
        """
        with self._lock:
            if self._phase is not _SUSPENDED:
                return False
            if envelope is not None:
                self._urgent.insert(0, envelope)
            self._phase = _SCHEDULED
        self._dispatcher.submit(self)  # type: ignore[union-attr]
        return True

    def full(self, more: int = 0) -> bool:
        """Tell whether the limit is reached, with ``more`` on their way."""
        return self.limit is not None and len(self._queue) + more >= self.limit

    def wait_for_space(self, timeout: float | None) -> bool:
        """Wait until there is room; False on timeout."""
        return self._wait(lambda: not self.full() or self._phase is _CLOSED, timeout)

    def wait_until_rest(
        self, timeout: float | None, *, unless: Callable[[], bool] = _never
    ) -> bool:
        """Wait until nothing is handled or could be at once; False on timeout.

        Or until ``unless`` says that this is not to be waited for: asked when a run ends, and at
        ``look_again()``, under the lock.
        """
        return not self.busy() or self._wait(lambda: not self._is_busy() or unless(), timeout)

    def look_again(self) -> None:
        """Have those who wait for something here look again."""
        if self._space is not None:  # who sets it looks behind that
            with self._lock:
                self._space.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        with self._lock:
            if self._space is None:
                # From now on every run that ends tells it; few mailboxes are ever waited for.
                self._space = threading.Condition(self._lock)
            return self._space.wait_for(condition, timeout)

    def hold(self) -> None:
        """Handle only urgent envelopes until ``release()``."""
        with self._lock:
            self._held = True

    @_scheduling
    def expedite(self, kind: type[Envelope[Any]]) -> None:
        """Move the waiting envelopes of class ``kind`` before all others, past the hold."""
        with self._lock:
            # Without a hold they come in their turn; and the runner may be taking from the queue,
            # so that what is taken out and put back here would change places with what it takes.
            if not self._held or not any(e.__class__ is kind for e in list(self._queue)):
                return
            waiting = self.take_all()
            self._urgent += [e for e in waiting if e.__class__ is kind]
            self._queue.extendleft(reversed([e for e in waiting if e.__class__ is not kind]))
            schedule = self._wants_run()
        if schedule:
            self._dispatcher.submit(self)  # type: ignore[union-attr]

    @_scheduling
    def release(self) -> None:
        """End a hold."""
        with self._lock:
            self._held = False
            schedule = self._wants_run()
        if schedule:
            self._dispatcher.submit(self)  # type: ignore[union-attr]

    def empty(self) -> bool:
        """Tell whether no envelope waits."""
        return not self._queue and not self._urgent

    def get(self) -> Envelope[Any]:
        """Take the oldest envelope; IndexError if there is none."""
        with self._lock:
            return self._queue.popleft()

    def take_all(self) -> list[Envelope[Any]]:
        """Take every ordinary envelope."""
        # One by one: others may append meanwhile, and a deque must not change under an iterator.
        taken: list[Envelope[Any]] = []
        while True:
            try:
                taken.append(self._queue.popleft())
            except IndexError:
                return taken

    def letters(self) -> list[Envelope[Any]]:
        """Return the ordinary envelopes that wait, as they are now."""
        with self._lock:
            return list(self._queue)

    def __len__(self) -> int:
        """Return how many ordinary envelopes wait."""
        return len(self._queue)

    def is_closed(self) -> bool:
        """Tell whether it refuses messages for good."""
        return self._phase is _CLOSED

    def at_rest(self) -> bool:
        """Tell, without the lock and so only about, whether nothing is being handled."""
        return self._phase is _IDLE and not self._urgent

    def busy(self) -> bool:
        """Tell whether anything is being handled or could be at once."""
        with self._lock:
            return self._is_busy()

    def _is_busy(self) -> bool:
        if self._phase in (_SCHEDULED, _RUNNING, _SUSPENDED):
            return True
        return bool(self._urgent) or (bool(self._queue) and not self._held)

    def close_if_idle(self, condition: Callable[[], bool]) -> bool:
        """Close unless something waits or runs; tell whether it is closed now.

        ``condition`` has a say as well, at a moment when nobody runs. Not one that has no receiver
        yet: who has made it to take over from another still puts into it what that has left.
        """
        with self._lock:
            idle = self._phase is _IDLE and not self._queue and not self._urgent
            if idle and self._receiver is not None and condition():
                self._phase = _CLOSED
                # Each holds the other; without this only the garbage collector would free them.
                self._receiver = None
            return self._phase is _CLOSED

    def close(self) -> list[Envelope[Any]]:
        """Close at once and return every envelope that was not handled."""
        with self._lock:
            # First the phase: who appends from now on takes it back, unless it is in ``left``.
            self._phase = _CLOSED
            left = [*self._urgent, *self.take_all()]
            self._urgent.clear()
            if self._space is not None:
                self._space.notify_all()
        return left

    def run(self) -> bool:
        """Handle some envelopes; called by a worker. False if another thread has begun.

        The worker writes what a lone envelope has committed, if no other work waits for it.
        """
        dispatcher = self._dispatcher
        if dispatcher is None or not dispatcher.spare() or len(self._queue) + len(self._urgent) > 1:
            return self._run(BUDGET, helped=False)
        writing: Writing = dispatcher.writing  # type: ignore[assignment]
        try:
            # One only: what others wait for must not wait for the next handler here.
            ran = self._run(1, helped=True)
            if writing.due():
                writing.write()
        except BaseException:
            writing.wake()  # what was committed here has woken nobody
            raise
        return ran

    def waits(self) -> bool:
        """Tell whether there is work that nobody has begun."""
        return self._phase is _SCHEDULED

    def steal(self, *, helped: bool = False) -> bool:
        """Run on the calling thread if the mailbox has work that nobody has begun.

        ``helped`` says that the thread will write what is committed.
        """
        # A look without the lock first: mostly somebody has begun, and then nothing is to be won.
        return self._phase is _SCHEDULED and self._run(1, helped=helped)

    def _run(self, budget: int, *, helped: bool) -> bool:
        thread = None
        try:
            thread = threading.current_thread()
            with self._lock:
                phase = self._phase
                if not self._stray and phase is not _SCHEDULED and not self._wants_run():
                    if self._space is not None:
                        self._space.notify_all()  # a run that was struck as it ended told nobody
                    return False
                if phase is not _CLOSED and phase is not _SUSPENDED:
                    self._phase = _RUNNING
                self.runner, self._stray, self.helped = thread, False, helped
            receiver = self._receiver  # the mailbox may be closed when this run is over
            if phase is _SUSPENDED:
                receiver.launch()  # type: ignore[union-attr]
                self.look_again()
            elif phase is _CLOSED:
                self._give_up_hand()
                self.look_again()
            else:
                self._leave(receiver, suspended=self.context.run(self._drain, budget))
            if self.runner is thread:
                self.runner = None
        except BaseException:
            # Struck, or a defect. Nothing here is a call but the last, so this cannot be
            # interrupted before a worker has it. If another thread runs it by now, no harm is done.
            if self.runner is thread:
                self.runner, self._stray = None, True
            self._requeue(self)
            raise
        return True

    def _leave(self, receiver: Receiver | None, *, suspended: bool) -> None:
        """End a run: let go of the mailbox, then see to what comes next."""
        schedule = False
        with self._lock:
            if self._phase is _CLOSED:
                self.hand = NOTHING
            elif suspended:
                # Its runner until the turn is launched, which must not be left out.
                self.hand, self._phase = NOTHING, _SUSPENDED
            else:
                self._phase, self.runner = _IDLE, None
                schedule = self._wants_run()
            if self._space is not None:
                self._space.notify_all()
        # Only now, outside the context: the next run may begin on another thread at once.
        if schedule:
            self._dispatcher.submit(self)  # type: ignore[union-attr]
        elif suspended:
            receiver.launch()  # type: ignore[union-attr]
            if self._space is not None:
                with self._lock:
                    self._space.notify_all()  # it may wait for its time now
        else:
            receiver.drained()  # type: ignore[union-attr]

    def _drain(self, budget: int) -> bool:  # noqa: C901, PLR0912 - one loop, for every message
        receiver: Receiver = self._receiver  # type: ignore[assignment]
        if self.hand is not NOTHING:
            outcome = self._recover(receiver)
            if outcome is not None:
                return outcome is not Outcome.GONE
        receive = receiver.receive
        queue, urgent = self._queue, self._urgent
        # An iterator makes the call, so that what is taken is in the hand in the same moment.
        takes = map(deque.popleft, itertools.repeat(queue))
        for _ in range(budget):
            from_urgent = bool(urgent)
            try:
                if from_urgent:
                    self.hand, self._hurried = urgent[0], True
                    del urgent[0]
                elif self._held or not queue:
                    return False
                else:
                    for self.hand in takes:
                        break
            except IndexError:  # closed in the meantime
                return False
            try:
                outcome = receive(self.hand)
            except Exception as error:  # noqa: BLE001 - the receiver deals with it
                # Invariant: a run always ends, whatever a receiver does, or nobody runs it again.
                # What is no Exception has struck: another goes on with what is in the hand.
                receiver.broke(self.hand, error)
                outcome = None
            if from_urgent:
                self._hurried = False
            if outcome is None:
                self.hand = NOTHING
            elif outcome is Outcome.GONE:
                # Now, the mailbox may be open still: a run before it is closed, of something
                # urgent, would go on with what another answers for.
                self.hand = NOTHING
                return False
            else:
                if outcome is Outcome.RETRY:
                    self._retry(urgent=from_urgent)
                return True
        return False

    def _recover(self, receiver: Receiver) -> Outcome | None:
        """Go on with what a runner that was struck has left in the hand."""
        outcome: Outcome | None = None
        for left in reversed(range(MOST_STRIKES)):
            try:
                outcome = receiver.recover(self.hand)
            except BaseException as error:  # noqa: BLE001 - same
                if not left or isinstance(error, Exception):
                    receiver.broke(self.hand, error)
                    break
                # else it was struck once more
            else:
                break
        urgent, self._hurried = self._hurried, False
        if outcome is None or outcome is Outcome.GONE:
            self.hand = NOTHING
        elif outcome is Outcome.RETRY:
            self._retry(urgent=urgent)
        return outcome

    def _give_up_hand(self) -> None:
        """Answer for what a runner had in hand that was struck, of a mailbox that was closed."""
        hand = self.hand
        if hand is not NOTHING:
            error = ActorDeadError("the actor stopped before handling the message")
            self._receiver.broke(hand, error)  # type: ignore[union-attr]
            self.hand = NOTHING

    def _retry(self, *, urgent: bool) -> None:
        hand = self.hand
        with self._lock:
            closed = self._phase is _CLOSED
            if not closed and urgent:
                self.hand = NOTHING
                self._urgent.insert(0, hand)
            elif not closed:
                self.hand = NOTHING
                self._queue.appendleft(hand)
        if closed:  # whoever closed it did not see this one
            error = ActorDeadError("the actor stopped before handling the message")
            self._receiver.broke(hand, error)  # type: ignore[union-attr]

    def _take_back(self, envelope: Envelope[Any]) -> bool:
        """Remove what was put into a closed mailbox; False if whoever closed it took it."""
        try:
            self._queue.remove(envelope)
        except ValueError:
            return False
        return True

    def _wants_run(self) -> bool:
        """Mark as SCHEDULED if there is work; the caller holds the lock and submits."""
        if self._phase is not _IDLE or self._receiver is None:
            return False
        if not self._urgent and (self._held or not self._queue):
            return False
        self._phase = _SCHEDULED
        return True
