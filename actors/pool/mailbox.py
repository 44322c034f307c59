"""A mailbox that is its own task: whoever puts into an idle one has it run.

Invariants:
 * At most one thread is RUNNING a mailbox, so its actor handles one message at a time.
 * A mailbox with work is SCHEDULED, RUNNING or SUSPENDED; IDLE means there is nothing to do.
 * The phase changes only under the lock. ``put`` appends without it and then looks at the phase:
   a runner that goes IDLE looks at the queue after it has changed the phase, so one of the two
   sees the other. A message put into a CLOSED mailbox is either still in the queue, then it is
   taken back and refused, or the one who closed has taken it and answers for it.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, Protocol

from pykka import ActorDeadError
from pykka._envelope import Envelope

from .dispatcher import Dispatcher

BUDGET: Final = 64
"""Messages per run, then the mailbox goes to the tail of the queue."""


class MailHold(enum.StrEnum):
    """Why an agent's mail waits."""

    PAUSED = "paused"
    QUARANTINED = "quarantined"
    BACKOFF = "backoff"
    """Before a restart."""
    UNSAVED = "unsaved"
    """Nothing can be saved, and the agent may not go on without."""
    ISOLATED = "isolated"
    ENDED = "ended"
    """The store was lost: nothing begins any more."""


class Outcome(enum.Enum):
    """What a receiver made of an envelope, where it matters to the mailbox."""

    SUSPENDED = "suspended"
    """The turn goes on elsewhere; nothing more until ``resume()``."""
    INTERRUPTED = "interrupted"
    """The thread that helped was interrupted (Ctrl-C): it goes back to whom it belongs."""
    RETRY = "retry"
    """The envelope was not handled: it is put back, and nothing more until ``resume()``."""
    GONE = "gone"
    """The mailbox was closed during the turn: whoever closed it answers for what is left."""


class Receiver(Protocol):
    """Handle a mailbox's envelopes, one at a time, inside the mailbox's context."""

    def receive(self, envelope: Envelope[Any]) -> Outcome | None:
        """Handle one envelope."""
        ...

    def broke(self, envelope: Envelope[Any], error: BaseException) -> None:
        """Answer for an envelope at which ``receive`` raised; must not raise."""
        ...

    def launch(self) -> None:
        """Begin what the mailbox is suspended for; called outside the context and the lock.

        The mailbox may have been closed in between.
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


class Mailbox:
    """Queue envelopes for one receiver and run it on the dispatcher's threads."""

    __slots__ = (
        "_dispatcher", "_held", "_interrupted", "_lock", "_phase", "_queue", "_receiver", "_space",
        "_urgent", "context", "limit", "runner",
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
        self._interrupted = False
        self.context = Context()
        self._space: threading.Condition | None = None
        self.limit = limit
        self.runner: threading.Thread | None = None

    def attach(self, receiver: Receiver, dispatcher: Dispatcher) -> None:
        """Give the mailbox its receiver and schedule what it holds."""
        with self._lock:
            self._receiver = receiver
            self._dispatcher = dispatcher
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
        self._queue.append(envelope)
        phase = self._phase
        if phase is _SCHEDULED or phase is _RUNNING or phase is _SUSPENDED:
            return True
        with self._lock:
            if self._phase is _CLOSED:
                return not self._take_back(envelope)
            schedule = self._wants_run()
        if schedule:
            dispatcher: Dispatcher = self._dispatcher  # type: ignore[assignment]
            (dispatcher.offer if offer else dispatcher.submit)(self)
        return True

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

        False, and nothing happens, if the mailbox was closed in the meantime.
        """
        with self._lock:
            if self._phase is _CLOSED:
                return False
            self._queue.extendleft(reversed(envelopes))
        return True

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

    def wait_until_rest(self, timeout: float | None) -> bool:
        """Wait until nothing is handled or could be at once; False on timeout."""
        return not self.busy() or self._wait(lambda: not self._is_busy(), timeout)

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

        ``condition`` has a say as well, at a moment when nobody runs.
        """
        with self._lock:
            idle = self._phase is _IDLE and not self._queue and not self._urgent
            if idle and condition():
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
        """Handle some envelopes; called by a worker. False if another thread has begun."""
        if not self._enter():
            return False
        self._run_entered(BUDGET)
        return True

    def waits(self) -> bool:
        """Tell whether there is work that nobody has begun."""
        return self._phase is _SCHEDULED

    def steal(self) -> bool:
        """Run on the calling thread if the mailbox has work that nobody has begun."""
        # A look without the lock first: mostly somebody has begun, and then nothing is to be won.
        if self._phase is not _SCHEDULED or not self._enter():
            return False
        self._run_entered(1)
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
        return True

    def _enter(self) -> bool:
        with self._lock:
            if self._phase is not _SCHEDULED:
                return False
            self._phase = _RUNNING
        self.runner = threading.current_thread()
        return True

    def _run_entered(self, budget: int) -> None:
        receiver = self._receiver  # the mailbox may be closed when this run is over
        suspended = self.context.run(self._drain, budget)
        # Before the phase: from then on another thread may run it and call itself the runner.
        self.runner = None
        with self._lock:
            if self._phase is _CLOSED:
                schedule = False
            elif suspended:
                self._phase, schedule = _SUSPENDED, False
            else:
                self._phase = _IDLE
                schedule = self._wants_run()
            if self._space is not None:
                self._space.notify_all()
        # Only now, outside the context: the next run may begin on another thread at once.
        if schedule:
            self._dispatcher.submit(self)  # type: ignore[union-attr]
        elif suspended:
            receiver.launch()  # type: ignore[union-attr]
        else:
            receiver.drained()  # type: ignore[union-attr]

    def _drain(self, budget: int) -> bool:
        receive = self._receiver.receive  # type: ignore[union-attr]
        queue, urgent = self._queue, self._urgent
        for _ in range(budget):
            try:
                if urgent:
                    from_urgent, envelope = True, urgent.pop(0)
                elif self._held or not queue:
                    return False
                else:
                    from_urgent, envelope = False, queue.popleft()
            except IndexError:  # closed in the meantime
                return False
            try:
                outcome = receive(envelope)
            except BaseException as error:  # noqa: BLE001 - the receiver deals with it
                # Invariant: a run always ends, whatever a receiver does, or nobody runs it again.
                self._receiver.broke(envelope, error)  # type: ignore[union-attr]
                continue
            if outcome is not None:
                if outcome is Outcome.RETRY or outcome is Outcome.INTERRUPTED:
                    self._retry(envelope, urgent=from_urgent)
                if outcome is Outcome.INTERRUPTED:
                    self._interrupted = True
                    return False
                return outcome is not Outcome.GONE
        return False

    def _retry(self, envelope: Envelope[Any], *, urgent: bool) -> None:
        with self._lock:
            closed = self._phase is _CLOSED
            if not closed and urgent:
                self._urgent.insert(0, envelope)
            elif not closed:
                self._queue.appendleft(envelope)
        if closed:  # whoever closed it did not see this one
            error = ActorDeadError("the actor stopped before handling the message")
            self._receiver.broke(envelope, error)  # type: ignore[union-attr]

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
