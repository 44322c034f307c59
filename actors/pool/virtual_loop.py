"""An event loop whose time is a virtual clock's: what sleeps on it sleeps until that moves on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Final

from ...lifecycle.clock import DelayedCall, VirtualClock

_OWN_FILES: Final = 1
"""The one by which other threads wake a loop."""
_thread: Final = threading.local()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run coroutines at once, and what they have arranged for later when the clock says so.

    It is asleep while it waits for nothing but time: for no callback, no file or socket, no thread
    of an executor or of anyio. A wait that also has a time limit is over before the limit if it can
    be.
    """

    def __init__(
        self, clock: VirtualClock, *, look: Callable[[], None], name: Callable[[Context], str]
    ) -> None:
        """Go by ``clock``; ``look`` is called as it falls asleep, ``name`` says whose a wait is."""
        self._clock, self._name = clock, name
        self._sleepers: dict[int, tuple[asyncio.TimerHandle, DelayedCall]] = {}
        self._outside = 0
        self._limiter: Any = None
        """Of anyio, if that is used: it counts the threads that work for this loop."""
        self._asked = False
        self._ended = False
        self._files = _Files(look, self._may_wait)
        super().__init__(self._files)

    def asleep(self) -> bool:
        """Tell whether somebody sleeps, and nobody can go on before time passes."""
        return (
            self._files.waiting
            and not self._ready  # type: ignore[attr-defined]  # what has just come from a thread
            and not self._outside
            and (self._limiter is None or not self._limiter.borrowed_tokens)
            and len(self._files.get_map()) <= _OWN_FILES
            and bool(self._sleepers)
        )

    def _may_wait(self) -> bool:
        """Tell whether the loop may begin to wait: not before the threads of anyio are counted."""
        if self._asked or "anyio.to_thread" not in sys.modules:
            return True
        self._asked = True
        self.create_task(self._count_threads())
        return False

    async def _count_threads(self) -> None:
        self._limiter = sys.modules["anyio.to_thread"].current_default_thread_limiter()

    @property
    def naps(self) -> int:
        """How often it has begun to wait without a limit."""
        return self._files.waits

    def end(self) -> None:
        """Go by real time from now on: for the grace of those who are cancelled."""
        self._ended = True

    def time(self) -> float:
        """Return the clock's time."""
        return super().time() if self._ended else self._clock.monotonic()

    def call_at(  # type: ignore[override]  # as asyncio has it, without its variadic generics
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - the callback's
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back when the clock has come to a moment."""
        if self._ended or when <= self.time():
            return super().call_at(when, callback, *args, context=context)
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            # First the call, then out of the sleepers: in between it must not look asleep.
            with contextlib.suppress(RuntimeError):  # closed
                self.call_soon_threadsafe(_run, timer)
            self._sleepers.pop(id(timer), None)

        call = self._clock.call_at(when, due).named(f"{self._name(context)} goes on")
        self._sleepers[id(timer)] = timer, call
        if call.callback is None:  # made meanwhile, by who moves the clock and waits for nobody
            self._sleepers.pop(id(timer), None)
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Forget a call; asyncio tells of each that is cancelled."""
        _, call = self._sleepers.pop(id(handle), (handle, None))
        if call is not None:
            call.cancel()
        else:
            super()._timer_handle_cancelled(handle)  # type: ignore[misc]

    def run_in_executor(  # type: ignore[override]  # as above
        self,
        executor: Any,  # noqa: ANN401 - asyncio's
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401 - the function's
    ) -> asyncio.Future[Any]:
        """Count what threads do for this loop, until it has heard of their end."""
        # Of others nothing is known but their end; to a process no method of a loop can be sent.
        work: Callable[..., Any] = func
        if executor is None:
            work = functools.partial(self._do, func)
        made = super().run_in_executor(executor, work, *args)
        self._outside += 1
        made.add_done_callback(self._returned)
        return made

    def _do(self, func: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - the function's
        _thread.loop = self
        try:
            return func(*args)
        finally:
            _thread.loop = None

    def _returned(self, _future: object) -> None:
        self._outside -= 1

    def works_here(self) -> bool:
        """Tell whether the calling thread is one that does something for this loop."""
        return getattr(_thread, "loop", None) is self

    async def for_its_thread(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run what a thread waits for that does something for this loop: an async hook.

        So long it waits for no thread, but for itself.
        """
        self._outside -= 1
        try:
            return await coroutine
        finally:
            self._outside += 1


class _Files(selectors.DefaultSelector):
    """Know whether the loop waits."""

    def __init__(self, look: Callable[[], None], may_wait: Callable[[], bool]) -> None:
        super().__init__()
        self._look = look
        self._may_wait = may_wait
        self.waiting = False
        self.waits = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as asyncio says: without a limit where nothing is left to be called."""
        if timeout is not None:
            return super().select(timeout)
        if not self._may_wait():
            return super().select(0)
        self.waits += 1
        self.waiting = True
        try:
            self._look()
            return super().select(None)
        finally:
            self.waiting = False


def _run(timer: asyncio.TimerHandle) -> None:
    if not timer.cancelled():
        timer._run()  # noqa: SLF001 - as the loop does with its own
