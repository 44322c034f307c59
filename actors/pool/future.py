"""A future that never strands a waiter, never blocks an event loop and lets its waiter help."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import pykka
from pykka import Timeout

from ...persistence.errors import StoreUnavailable
from .cell import Asker, Cell
from .mailbox import MOST_STRIKES

logger = logging.getLogger("perdure.actors")

T = TypeVar("T")

_answering: Final = threading.Lock()

ExcInfo = tuple[type[BaseException] | None, BaseException | None, Any]


class Helper(Protocol):
    """Bring a result nearer from the waiting thread."""

    def may_block(self) -> None:
        """Raise Deadlock if this thread must not wait for replies."""
        ...

    def help(self, future: Future[Any]) -> None:
        """Do what can be done at once on this thread; called before it blocks."""
        ...

    def waiting(self, future: Future[Any]) -> AbstractContextManager[object]:
        """Surround the wait; raises Deadlock if the reply could never come."""
        ...

    def wake(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        """Finish a loop's waiter soon; called by the thread that answers."""
        ...


class Future(pykka.Future[T], Generic[T]):
    """Hold the reply to an ask; the first answer wins, every later one is refused.

    ``get()`` may run the asked actor's turn on the calling thread, so a lone ask needs no thread
    switch. ``await`` never blocks the event loop. A worker that has to wait lends its place in
    the pool, so chains of asks cannot starve it.
    """

    # Class-level defaults keep creation to one allocation: futures are made by the hundred
    # thousand a second, and every further object of each is a burden for the garbage collector.
    _done: bool = False
    _value: Any = None
    _exc_info: ExcInfo | None = None
    _get_hook: Callable[[float | None], Any] | None = None
    _hook_value: tuple[Any] | None = None
    _callbacks: list[Callable[[], None]] | None = None
    helper: Helper | None = None
    target: Cell | None = None
    """The cell that will answer, for its helper."""
    asker: Asker | None = None
    """The turn that asked, for its helper; None for an asker outside."""
    work: tuple[str, str, str] | None = None
    """The work beside the turns of an agent that asked: whose, and its name."""
    settled: bool = False
    """The answer is there, given or held back."""
    path: tuple[str, ...] = ()
    """The method that was asked, for people; empty for ``on_receive``."""
    _unseen: _Unseen | None = None
    passes: bool = False
    """The reply may leave although it is not durable, once an outage is known as one."""
    unsaved: bool = False
    """The reply was given although the turn is not durable (policy "continue" in an outage)."""

    def __init__(self) -> None:
        """Make an unanswered future."""

    def done(self) -> bool:
        """Tell whether ``get()`` would return at once."""
        return self._done

    def get(self, *, timeout: float | None = None) -> T:
        """Return the reply, waiting for it up to ``timeout`` seconds.

        Raises pykka.Timeout, or what the handler raised.
        """
        if not self._done:
            if self._get_hook is not None:
                return cast("T", self._from_hook(timeout))
            self._wait(timeout)
        if self._exc_info is None:
            return cast("T", self._value)
        if self._unseen is not None:
            self._unseen.seen()
            self._unseen = None
        kind, error, traceback = self._exc_info
        if error is None:
            assert kind is not None
            error = kind()
        raise error.with_traceback(traceback)

    def set(self, value: T | None = None) -> None:
        """Answer with a value; queue.Full if there is an answer already."""
        if not self.answer(value, None):
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Answer with an exception, by default the one being handled."""
        if not self.answer(None, cast("ExcInfo", exc_info or sys.exc_info())):
            raise queue.Full

    def answer(self, value: object, exc_info: ExcInfo | None = None) -> bool:
        """Answer unless somebody did already; tell whether this answer counts."""
        # One lock for all futures: held for a few loads and stores, and cheaper than one each.
        unseen = None if exc_info is None else self._watch(exc_info)
        with _answering:
            refused = self._done or self._get_hook is not None
            if not refused:
                self._value = value
                self._exc_info = exc_info
                if unseen is not None:
                    self._unseen = unseen
                self._done = self.settled = True
        if refused:
            if unseen is not None:
                unseen.seen()
            if self._done and self._callbacks:  # who answered may have been struck behind that
                self._call_back()
            return False
        if self._callbacks:
            self._call_back()
        return True

    def fail(self, error: BaseException) -> bool:
        """Answer with an error unless somebody answered already."""
        return self.answer(None, (type(error), error, error.__traceback__))

    def prepare(self, value: object, error: BaseException | None = None) -> None:
        """Hold an answer back until this is called as a reply, unless somebody answered already."""
        if error is None:
            # No lock: an error that was given meanwhile counts, whatever value stands beside it.
            self._value = value
            self.settled = True
            return
        with _answering:
            if not self._done:
                self.settled = True
                self._exc_info = (type(error), error, error.__traceback__)

    def __call__(self, unsaved: Exception | None) -> None:
        """Give the answer that was held back, or ``unsaved`` instead of it.

        A future is a ``records.Reply`` itself: one object less for each reply under way.
        """
        if unsaved is not None:
            if not (self.passes and isinstance(unsaved, StoreUnavailable)):
                self.fail(unsaved)
                return
            self.unsaved = True
        prepared = self._exc_info
        unseen = None if prepared is None else self._watch(prepared)
        with _answering:
            late = self._done
            if not late:
                if unseen is not None:
                    self._unseen = unseen
                self._done = True
        if late and unseen is not None:
            unseen.seen()
        # Also if it is late: who answered may have been struck behind that.
        if self._callbacks:
            self._call_back()

    def _watch(self, exc_info: ExcInfo) -> _Unseen | None:
        """Return what logs an error if nobody ever asks for it.

        It is there before the future is done, as somebody may see the error at once. It is made
        without a lock, as an object that is made may have the collector run others' ``__del__``.
        """
        return None if self.target is None else _Unseen(self._asked(), exc_info[1] or exc_info[0])

    def __repr__(self) -> str:
        if self.target is None:
            return super().__repr__()
        if not self._done:
            state = (
                "done, and being saved" if self.settled else "waiting for the reply"
            ) + "; get() waits for it, in asyncio await it (ensure_future() makes a task of it)"
        elif self._exc_info is not None:
            state = f"failed with {self._exc_info[1]!r}; get() or await raises it"
        else:
            state = "answered; get() or await returns the reply"
        return f"<Future of {self._asked()}: {state}>"

    def _asked(self) -> str:
        return f"{self.target}.{'.'.join(self.path) or 'on_receive'}"

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have ``get()`` compute the value; queue.Full if there is an answer already."""
        if self._done:
            raise queue.Full
        self._get_hook = func

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Call once when answered, on the answering thread; at once if it is answered.

        It runs in the context in which it was added, not in that of the turn that answers. What it
        raises is logged, and harms neither the one who answers nor others who wait.
        """
        self._on_answer(_Callback(callback))

    def _on_answer(self, callback: Callable[[], None]) -> None:
        # Invariant: whoever pops a callback runs it, and pop is atomic, so each runs once; again
        # only if the thread that ran it was struck meanwhile.
        with _answering:
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append(callback)
        if self._done:
            self._call_back()

    def _forget(self, callback: Callable[[], None]) -> None:
        """Forget who waits no longer: a reply that is polled for would keep a note of each look."""
        with suppress(ValueError):  # it is being told just now
            cast("list[Callable[[], None]]", self._callbacks).remove(callback)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait without blocking the event loop."""
        if not self._done:
            loop = asyncio.get_running_loop()
            if self._get_hook is not None:
                return (yield from loop.run_in_executor(None, self.get).__await__())
            waiter = loop.create_future()
            helper = self.helper
            call = wake if helper is None else helper.wake
            tell = functools.partial(call, loop, waiter)
            self._on_answer(tell)
            guard = nullcontext() if helper is None else helper.waiting(self)
            try:
                with guard:
                    yield from waiter.__await__()
            except BaseException:
                self._forget(tell)
                raise
        return self.get()

    def __iter__(self) -> Generator[Any, None, T]:
        """Refuse: what is iterated over is the reply, once it is there."""
        if self.target is None:  # as pykka: for ``yield from``
            return self.__await__()
        message = f"{self!r} is not the reply itself; iterate over what get() or await returns"
        raise TypeError(message)

    def _call_back(self) -> None:
        while callbacks := self._callbacks:
            try:
                # Taken by the iterator: what a call returns that is written out is lost if an
                # asynchronous exception strikes before it is assigned.
                for callback in iter(callbacks.pop, None):  # noqa: B007 - used behind the loop
                    break
                else:
                    return
            except IndexError:
                return
            try:
                callback()
            except BaseException as error:
                if not isinstance(error, Exception):
                    callbacks.append(callback)  # whoever answers again runs it
                raise

    def _wait(self, timeout: float | None) -> None:
        started = time.monotonic()
        helper = self.helper
        if helper is not None:
            helper.may_block()
        if helper is not None and timeout is None:
            # Helping may take longer than a timeout allows, so it is for those who have time.
            helper.help(self)
            if self._done:
                return
        arrived = threading.Lock()
        arrived.acquire()
        tell = functools.partial(_release, arrived)
        self._on_answer(tell)
        with helper.waiting(self) if helper is not None else nullcontext():
            if timeout is None:
                arrived.acquire()
            else:
                left = max(0.0, timeout - (time.monotonic() - started))
                arrived.acquire(timeout=left)
        if not self._done:
            self._forget(tell)
            message = f"{timeout} seconds"
            raise Timeout(message)

    def _from_hook(self, timeout: float | None) -> object:
        if self._hook_value is None:
            assert self._get_hook is not None
            self._hook_value = (self._get_hook(timeout),)
        return self._hook_value[0]


class _Unseen:
    """Log an error that nobody has seen when nobody can see it any more.

    Apart from the future, so that those which are answered well cost nothing more.
    """

    __slots__ = ("_asked", "_error")

    def __init__(self, asked: str, error: object) -> None:
        self._asked = asked
        self._error = error

    def seen(self) -> None:
        """Take note that somebody has it."""
        self._error = None

    def __del__(self) -> None:
        error = self._error
        if isinstance(error, BaseException) and not sys.is_finalizing():
            logger.error(
                "%s failed with %r, and nobody asked for the reply: get() or await its future, or"
                " use cast() if no reply is wanted",
                self._asked, error, exc_info=error,
            )  # fmt: skip


class _Callback:
    """Call people's code in its context; what that raises goes no further than the log.

    But for a thread that is struck in it, which comes again: nobody can tell that from a callback
    that raises the like by itself, each time it is called, so it is called a few times at most.
    """

    __slots__ = ("_call", "_context", "_strikes")

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._context = contextvars.copy_context()
        self._strikes = 0

    def __call__(self) -> None:
        try:
            self._context.run(self._call)
        except Exception:
            logger.exception("%r raised when it was told of a reply", self._call)
        except BaseException:
            self._strikes += 1
            if self._strikes < MOST_STRIKES:
                raise
            logger.exception("%r is not told of a reply: it raised each time", self._call)


def _release(lock: threading.Lock) -> None:
    """Release a lock, unless that was done."""
    if lock.locked():
        lock.release()


def wake(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    """Finish a loop's waiter from another thread; a loop that is gone has nobody waiting."""

    def finish() -> None:
        if not waiter.done():
            waiter.set_result(None)

    with suppress(RuntimeError):
        loop.call_soon_threadsafe(finish)
