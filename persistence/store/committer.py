"""Group commit: many turns in one transaction, in the order in which they were taken.

The committer is the only one who writes to the store. Agents append commits and go on; a thread
writes whatever has gathered since the last transaction, then releases the replies that waited
for it (output gates, as in Cloudflare's Durable Objects). A caller who has nothing else to do
may write in that thread's place, which spares two thread switches.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final, Protocol

from ..errors import Deadlock, PerdureError, StoreError, StoreUnavailable, SystemClosed
from ..records.chain import START, Chain
from ..records.records import Commit, Reply
from ..records.tables import Change
from .batch import Batch, Bind, nothing_to_bind
from .store import Store

logger = logging.getLogger("perdure.persistence")

LARGEST_BATCH: Final = 8192
"""Commits per transaction."""
_AT_ONCE: Final = (False,)
"""What a lock is asked with by who would not wait for it."""


class CommitObserver(Protocol):
    """Be told what became of each batch; called by the thread that writes, outside all locks."""

    def saved(self, commits: int, seconds: float) -> None:
        """Take note that a batch is durable."""

    def released(self, commits: int) -> None:
        """Do what can wait until the replies of a batch have left."""

    def failed(self, error: StoreError, commits: int) -> None:
        """Take note that a batch failed; the committer holds until ``resume()``."""


class _Gate:
    """A reply that changes nothing but must not overtake what it may have seen."""

    __slots__ = ("reply", "sequence")

    def __init__(self, reply: Reply, sequence: int) -> None:
        self.reply: Reply | None = reply
        self.sequence = sequence


class Committer:
    """Write commits in order, in groups, and release what waits for them.

    Invariant: the durable commits are always a prefix of the appended ones. A failed batch stays
    at the head until it is written; nothing overtakes it.

    A thread that appends or helps may be struck by an asynchronous exception (Ctrl-C) at any call.
    So each step is whole or can be taken again: no call stands inside what must be one, and who
    is struck wakes the writing thread.
    """

    def __init__(
        self,
        store: Store,
        observer: CommitObserver,
        *,
        first: int,
        clock: Callable[[], float],
        chain: Chain = START,
    ) -> None:
        """Write to ``store``; the first commit gets the sequence ``first``.

        ``chain`` is the newest link of the store's audit.
        """
        self._store = store
        self._observer = observer
        self._clock = clock
        self._lock = threading.Lock()
        self._bells: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.wake: Callable[[], None] = functools.partial(self._bells.put, None)
        """Have the writing thread look for work. One call in C, so that it is made or not made
        when an asynchronous exception strikes."""
        self._settled = threading.Condition(self._lock)
        # Appended under the lock, and moved as a whole to _taken, which only the baton's holder
        # changes and reads without the lock: nobody who appends waits while a batch is folded.
        self._queue: deque[Commit | _Gate] = deque()
        self._taken: deque[Commit | _Gate] = deque()
        self._next = first
        self._baton = threading.Lock()  # held by whoever writes
        self._stuck: Batch | None = None  # failed, to be written before anything else
        self._stuck_gates: list[Reply] = []
        self._answers: deque[Reply] = deque()  # due; touched by whoever holds the baton
        self._held = False
        self._arranged = True  # the observer was told why
        self.refusing: Exception | None = None
        """Why nobody may wait for a commit now, since ``fail_waiting`` and until ``resume``."""
        self._closing = False
        self.dead: Exception | None = None
        """Why nothing is taken any more; None as long as it is."""
        self._chain = chain
        self.on_durable: Callable[[Batch], None] | None = None
        """Told of a batch with shared rows once it is durable, before its replies leave; must not
        raise. Called with the baton held and no lock."""
        self.bind: Bind = nothing_to_bind
        """Makes rows of what the commits of a batch have for the history."""
        self.on_free: Callable[[], None] = _nothing
        """Called when a batch is done with and others may write: does what its replies have left
        to be done then. Called once more at any time; must not raise."""
        self.riders: deque[Change] = deque()
        """Rows of declared tables that go with the next batch, whose commits need them."""
        self._waits: deque[tuple[int, Callable[[], None]]] = deque()
        self._sleeping = False
        self._writer = 0  # the thread that holds the baton
        self._promises: set[int] = set()  # threads in a promise()
        self.durable = first - 1
        """The latest sequence that is on disk."""
        self._thread = threading.Thread(target=self._run, name="perdure-committer", daemon=True)

    def start(self) -> None:
        """Start the writing thread."""
        self._thread.start()

    @property
    def appended(self) -> int:
        """The latest sequence that was given."""
        return self._next - 1

    @property
    def audited(self) -> int:
        """The number of the newest durable decision of the audit."""
        return self._chain.number

    @property
    def held(self) -> bool:
        """Whether a batch failed, and nothing is written before ``resume()``; that is arranged."""
        return self._held and self._arranged

    def backlog(self) -> int:
        """Return how many commits are not durable yet."""
        return self._next - 1 - self.durable

    def oldest(self) -> float | None:
        """Return when the oldest commit that is not durable was made; None if there is none."""
        with self._lock:
            stuck = self._stuck.commits if self._stuck is not None else ()
            for item in (*stuck, *self._taken, *self._queue):
                if isinstance(item, Commit):
                    sends = item.effects.sends if item.effects is not None else ()
                    moment = item.time or (sends[0].sent if sends else 0.0)
                    if moment:
                        return moment
        return None

    def append(self, commit: Commit) -> int:
        """Take a commit and return its sequence; it is written after all before it.

        Raises the error that ended the committer if it was fenced off or closed, and PerdureError
        if the commit's writer has lost its right.
        """
        try:
            return self._append(commit)
        except BaseException:
            self.wake()
            raise

    def _append(self, commit: Commit) -> int:
        with self._lock:
            if self.dead is not None:
                raise self.dead
            writer = commit.writer
            if writer is not None:
                # Here and not before: whoever revokes a right and then appends knows that nothing
                # made by that right comes behind.
                if writer.revoked:
                    raise stale(commit)
                commit.writer = None
            promised = self._promises and threading.get_ident() in self._promises
            sequence = commit.sequence = self._next
            # No call from here to the append: a commit that has a sequence is taken.
            self._next = sequence + 1
            if writer is not None:
                writer.sequence, writer.version = sequence, commit.version
                promised = promised or writer.quiet
                writer.quiet = False
            self._queue.append(commit)
            if not promised:
                self._ring()
        return sequence

    def _ring(self) -> None:
        """Wake the writing thread if it sleeps; the caller holds the lock."""
        if self._sleeping:
            self._sleeping = False
            self._bells.put(None)

    def gate(self, reply: Reply) -> None:
        """Call ``reply`` once everything appended so far is durable; at once if it already is."""
        # In the queue: the batch that takes the commits before it takes the gate as well.
        with self._lock:
            if self.dead is None:
                last = self._next - 1
                if last > self.durable and self.refusing is None:
                    self._queue.append(_Gate(reply, last))
                    self._ring()
                    return
            error = self.dead or (self.refusing if self._next - 1 > self.durable else None)
        reply(error)

    def refuse(self, commit: Commit) -> None:
        """Answer who waits for a commit that came after ``fail_waiting``, as that did the others.

        Not part of the append: that may be made under a lock, and a reply calls back.
        """
        with self._lock:
            error, reply = self.refusing, commit.reply
            if error is None or reply is None or commit.sequence <= self.durable:
                return
            commit.reply = None
        self._tell(reply, error)

    def when_durable(self, sequence: int, callback: Callable[[], None]) -> bool:
        """Arrange for ``callback`` once ``sequence`` is durable; False if it already is."""
        with self._lock:
            if sequence <= self.durable or self.dead is not None:
                return False
            self._waits.append((sequence, callback))
            return True

    def once_durable(self, sequence: int, callback: Callable[[], None]) -> None:
        """Call back once ``sequence`` is durable; here and now if it already is."""
        if not self.when_durable(sequence, callback):
            callback()

    def flush(
        self,
        timeout: float | None = None,
        sequence: int | None = None,
        *,
        while_held: bool = True,
    ) -> bool:
        """Wait until everything appended so far (or ``sequence``) is durable; False on timeout.

        Without ``while_held`` also False if a batch failed and is not tried again yet. Raises the
        error that ended the committer, if one did.
        """
        if self.writes_here():
            message = "a receiver of a save signal runs where saving is done; do not wait there"
            raise Deadlock(message)
        wanted = self._next - 1 if sequence is None else sequence
        if timeout is None:  # helping may take longer than a timeout allows
            self.help()
        with self._settled:
            self._settled.wait_for(
                lambda: (
                    self.durable >= wanted
                    or self.dead is not None
                    or (self.held and not while_held)
                ),
                timeout,
            )
            if self.durable >= wanted:
                return True
            if self.dead is not None:
                raise self.dead
            return False

    def answered(self, timeout: float | None = None) -> bool:
        """Wait until who waits for what is durable has been called back; False on timeout.

        ``flush`` returns before that: when it is durable.
        """
        if self.writes_here():
            return True
        if not self._baton.acquire(timeout=-1 if timeout is None else timeout):
            return False
        self._baton.release()
        return True

    @contextmanager
    def promise(self) -> Iterator[None]:
        """Write at the end of the block what it appends, which wakes nobody: that will be soon.

        Spares a lone caller two thread switches.
        """
        thread = threading.get_ident()
        try:
            self._promises.add(thread)
            yield
            self._promises.discard(thread)
            self.help()
        except BaseException:
            self._promises.discard(thread)
            self.wake()
            raise

    def due(self) -> bool:
        """Tell, without the lock, whether anything has gathered."""
        return bool(self._queue or self._taken)

    def help(self, *, free: bool = True) -> None:
        """Write what has gathered on the calling thread, unless somebody is writing already.

        What is left is the writing thread's. Without ``free`` the caller does ``on_free``.
        """
        try:
            if (self._queue or self._taken) and not self._held:
                # The iterator makes the call: of one that is written out nobody would know whether
                # it got the baton when an asynchronous exception strikes.
                for mine in map(self._baton.acquire, _AT_ONCE):
                    if mine:
                        try:
                            self._write_once()
                        finally:
                            self._baton.release()
            self.leave()
            if free:
                self.on_free()  # last: whoever is woken makes work for others
        except BaseException:
            self.wake()
            raise

    def leave(self) -> None:
        """Leave what has gathered to the writing thread."""
        if self._queue or self._taken or self._stuck or self._answers:
            with self._lock:
                self._ring()

    def resume(self) -> None:
        """Try again after a failure."""
        with self._lock:
            self._held = False
            self.refusing = None
            self._ring()

    def fail_waiting(self, error: Exception) -> None:
        """Answer every reply that waits for a commit with ``error``; the commits are kept.

        So are those that come before ``resume()``: nobody waits for a moment that is not known.
        """
        replies: list[Reply] = []
        with self._lock:
            self.refusing = error
            stuck = self._stuck.commits if self._stuck is not None else ()
            for item in (*stuck, *self._taken, *self._queue):
                if item.reply is not None:
                    replies.append(item.reply)
                    item.reply = None
            replies += self._stuck_gates
            self._stuck_gates = []
        for reply in replies:
            self._tell(reply, error)

    def close(self, timeout: float | None) -> bool:
        """Write what is left and end the thread; False if something could not be written in time.

        Whatever still waits is answered with an error, so no caller is left behind.
        """
        with self._lock:
            self._closing = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout)
        # Before ``abort``, which tells those who wait that they were not saved: the batch that is
        # being written may still become durable, and must not make this look complete.
        complete = self.backlog() == 0
        self.abort(_closed())
        if self._thread.is_alive():
            self._thread.join()
        return complete

    def _run(self) -> None:
        while True:
            try:
                self._serve()
            except BaseException:
                logger.exception("the writing thread was interrupted; it goes on")
            else:
                return

    def _serve(self) -> None:
        while True:
            self.on_free()  # also what another has left that was interrupted
            with self._lock:
                waiting = bool(self._queue or self._taken or self._stuck)
                if not self._answers:
                    if self.dead is not None:
                        return
                    if self._closing and not waiting:
                        # Decided under the lock of the append: what was taken is written, what
                        # comes from now on is refused.
                        self.dead = _closed()
                        return
                self._sleeping = not self._answers and (self._held or not waiting)
            if self._sleeping:
                self._bells.get()
                self._sleeping = False
            else:
                with self._baton:
                    self._write_once()

    def writes_here(self) -> bool:
        """Tell whether the calling thread is the one that writes: it must not wait for itself."""
        return self._writer == threading.get_ident()

    def _write_once(self) -> None:
        """Write one batch; the caller holds the baton."""
        self._writer = threading.get_ident()
        try:
            if self._answers:
                self._answer()
            self._write_batch()
        finally:
            self._writer = 0

    def _write_batch(self) -> None:
        with self._lock:
            if self._held or self.dead is not None:
                return
            # Exchanged rather than copied: whoever appends waits for this lock.
            if not self._taken:
                self._taken, self._queue = self._queue, self._taken
            elif len(self._taken) < LARGEST_BATCH:
                self._taken += self._queue
                self._queue.clear()
        if self._stuck is None and not self._stuck_gates and not self._fold():
            return
        batch = self._stuck
        written = batch is not None and bool(batch)
        if batch is not None and written:
            started = self._clock()
            try:
                self._store.commit(batch)
            except StoreError as error:
                self._failed(error, batch)
                return
            except Exception as error:
                logger.exception("the store failed in an unexpected way")
                message = f"{self._store.location}: {error!r}"
                self._failed(StoreUnavailable(message), batch)
                return
            if batch.tables and self.on_durable is not None:
                self.on_durable(batch)
            self._tell(self._observer.saved, len(batch.commits), self._clock() - started)
        self._release(batch)
        if batch is not None and written:
            self._tell(self._observer.released, len(batch.commits))

    def _fold(self) -> bool:
        """Make the next commits the batch to be written; False if nothing waits."""
        commits: list[Commit] = []
        gates: list[Reply] = []
        places = 0
        last = self.durable
        for item in self._taken:
            if len(commits) >= LARGEST_BATCH:
                break
            places += 1
            if isinstance(item, Commit):
                if item.sequence > last:
                    commits.append(item)
                    last = item.sequence
            elif (reply := item.reply) is not None:  # fail_waiting() may take it meanwhile
                gates.append(reply)
        if commits and self.riders:
            effects = commits[0].with_effects()
            while self.riders:
                effects.rows = [*effects.rows, self.riders[0]]
                self.riders.popleft()  # behind that: what is struck in between rides twice
        batch = Batch(commits, self._chain, self.bind) if commits else None
        left = deque(islice(self._taken, places, None))
        with self._lock:
            self._stuck, self._stuck_gates = batch, gates
            # Last, so that an interrupt loses nothing; what was taken twice is seen through.
            self._taken = left
        return places > 0

    def _release(self, batch: Batch | None) -> None:
        answers = self._answers
        if batch is not None:
            for commit in batch.commits:
                reply = commit.reply  # read once: fail_waiting() may take it meanwhile
                if reply is not None:
                    answers.append(reply)
        with self._lock:
            answers += self._stuck_gates
            if batch is not None:
                self.durable = batch.last
                self._chain = batch.chain
                self.refusing = None
            self._stuck, self._stuck_gates = None, []
            if self._waits:
                still = deque(wait for wait in self._waits if wait[0] > self.durable)
                answers += [
                    _waiter(callback)
                    for sequence, callback in self._waits
                    if sequence <= self.durable
                ]
                self._waits = still
            self._settled.notify_all()
        self._answer()

    def _answer(self) -> None:
        """Release what waits for durable commits, in order; the caller holds the baton."""
        answers = self._answers
        while answers:
            # Taken off only afterwards: an interrupt in between must not leave a caller behind.
            answer = answers[0]
            try:
                answer(None)
            except Exception:
                logger.exception("%r raised when it was told about a commit", answer)
            answers.popleft()

    def _tell(self, listener: Callable[..., None], *args: object) -> None:
        """Call somebody whose failure is none of the store's: it is logged and goes no further."""
        try:
            listener(*args)
        except Exception:
            logger.exception("%r raised when it was told about a commit", listener)

    def _failed(self, error: StoreError, batch: Batch) -> None:
        try:
            if isinstance(error, StoreUnavailable):
                error.location = error.location or self._store.location
            # Before anybody is told: the observer arranges ``resume()``, which must come after.
            self._arranged, self._held = False, True
            if not isinstance(error, StoreUnavailable):
                self.abort(error)
            self._tell(self._observer.failed, error, len(batch.commits))
            # And then: who waits for a failure, to move a clock, finds the next attempt in there.
            self._arranged = True
            with self._lock:
                self._settled.notify_all()
        except BaseException:
            self._held = False  # nobody may have arranged another attempt
            self.wake()
            raise

    def abort(self, error: Exception) -> None:
        """End for good: nothing more is taken, everybody who waits is told why."""
        with self._lock:
            if self.dead is None:
                self.dead = error
            waits, self._waits = self._waits, deque()
            self._settled.notify_all()
        self.wake()
        self.fail_waiting(error)
        for _, callback in waits:
            self._tell(callback)


def stale(commit: Commit) -> PerdureError:
    """Return the error for a commit of an activation that may not commit any more."""
    return PerdureError(f"{commit.kind}/{commit.key}: a stale activation tried to commit")


def _waiter(callback: Callable[[], None]) -> Reply:
    return lambda _error: callback()


def _nothing() -> None:
    """Have nothing to do."""


def _closed() -> SystemClosed:
    return SystemClosed("the agent system is closed")
