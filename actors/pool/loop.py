"""One event loop on one thread for all ``async def`` handlers of a system."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

from ...lifecycle.clock import Clock, VirtualClock
from ...persistence.errors import SystemClosed
from .virtual_loop import VirtualLoop

Done = Callable[[object, BaseException | None], None]


class HandlerLoop:
    """Run coroutines on a loop of its own; started when the first one comes."""

    def __init__(
        self, clock: Clock, *, name: Callable[[Context], str] = lambda _context: "a coroutine"
    ) -> None:
        """Make a loop that is not running yet.

        ``name`` says whose a context is. On a clock that steers, coroutines sleep by that clock.
        """
        self._clock = clock if isinstance(clock, VirtualClock) and clock.steers else None
        self._name = name
        self.look: Callable[[], None] = _nothing
        """Called when nobody on the loop can go on before time passes."""
        self.owes: Callable[[asyncio.AbstractEventLoop], bool] = _never
        """Tell whether a reply is there for somebody on a loop who is still to be woken."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: dict[asyncio.Task[Any], Context] = {}
        self._nap: tuple[int, list[Context]] = (0, [])
        self._grace = 0.0
        self._complete = False
        self._closed = False
        self._ident: int | None = None

    @property
    def begun(self) -> bool:
        """Whether anything has ever run on it."""
        return self._thread is not None

    def start(
        self, coroutine: Coroutine[Any, Any, object], context: Context, done: Done
    ) -> Callable[[], None]:
        """Run ``coroutine`` in ``context``; ``done(result, error)`` is called on the loop's thread.

        Returns a function that cancels it.
        """
        holder: list[asyncio.Task[Any]] = []

        def begin() -> None:
            task = asyncio.get_running_loop().create_task(_caught(coroutine), context=context)
            holder.append(task)
            self._tasks[task] = context
            task.add_done_callback(finished)

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.pop(task, None)
            if task.cancelled():
                done(None, asyncio.CancelledError("the handler was cancelled"))
            else:
                done(*task.result())

        try:
            with self._lock:  # it is begun before the loop is told to stop, or refused
                loop = self._running()
                loop.call_soon_threadsafe(begin)
        except Exception as error:  # noqa: BLE001 - no thread, no descriptors: its asker gets it
            coroutine.close()
            done(None, error)
            return _nothing

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and it with it
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in holder])

        return cancel

    def runs_here(self) -> bool:
        """Tell whether the caller is on the loop's own thread."""
        return threading.get_ident() == self._ident

    def sleepers(self) -> list[Context]:
        """Return the contexts of what runs here, if all of it waits for a virtual clock."""
        loop = self._loop
        if not isinstance(loop, VirtualLoop):
            return []
        nap, found = self._nap
        if nap != loop.naps:  # each is asked for often: by whoever waits for one of many
            nap, found = self._nap = loop.naps, list(self._tasks.values())
        asleep = not self.owes(loop) and loop.asleep()
        return found if asleep and nap == loop.naps else []  # all the time, with the same tasks

    def run(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run ``coroutine`` in a copy of the caller's context and wait for its result."""
        arrived = threading.Event()
        outcome: list[tuple[object, BaseException | None]] = []

        def done(result: object, error: BaseException | None) -> None:
            outcome.append((result, error))
            arrived.set()

        loop = self._loop
        if isinstance(loop, VirtualLoop) and loop.works_here():
            coroutine = loop.for_its_thread(coroutine)
        self.start(coroutine, copy_context(), done)
        arrived.wait()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    def close(self, timeout: float) -> bool:
        """Cancel what runs and end the thread; False if a handler does not let that happen."""
        with self._lock:
            self._closed = True
            self._grace = timeout
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return True
        with contextlib.suppress(RuntimeError):  # it has ended already
            loop.call_soon_threadsafe(loop.stop)
        thread.join(2 * timeout)  # once for what blocks the loop, once for what ignores its end
        return self._complete and not thread.is_alive()

    def _serve(self, loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> None:
        """Be the loop's thread: the loop is ended here too, where no other loop can be running."""
        self._ident = threading.get_ident()
        while True:
            # Not run_forever(): the threads of anyio live as long as the task that a loop runs
            # for, and without one only as long as the handler that has begun them.
            life = loop.create_task(_live())
            with contextlib.suppress(RuntimeError, asyncio.CancelledError):
                loop.run_until_complete(life)
            if self._closed:
                break
            life.cancel()  # a handler has stopped the loop, or has cancelled all tasks
        if isinstance(loop, VirtualLoop):
            loop.end()
        self._complete = loop.run_until_complete(self._end_tasks(life, self._grace))
        loop.run_until_complete(loop.shutdown_asyncgens())
        executor.shutdown(wait=False, cancel_futures=True)
        if self._complete:
            loop.close()

    async def _end_tasks(self, life: asyncio.Task[None], within: float) -> bool:
        left = await _ended({life, *self._tasks}, within)
        # What handlers and libraries have begun beside them goes behind them, as asyncio.run() has
        # it: a task that is never cancelled leaves what it holds, as the process of an MCP server.
        # Where a handler is not to be ended the loop stays open, and all that it may wait for.
        if not left:
            await _ended(asyncio.all_tasks() - {asyncio.current_task()}, within)
        return not left

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the loop, begun; the lock is held."""
        if self._closed:
            raise SystemClosed("the agent system is closed; open it again to go on")
        return self._loop or self._begin()

    def _begin(self) -> asyncio.AbstractEventLoop:
        """Start a loop on its thread; nothing is left of it if that fails, so the next may try."""
        loop = self._made()
        executor = ThreadPoolExecutor(thread_name_prefix="perdure-executor")
        loop.set_default_executor(executor)
        thread = threading.Thread(
            target=self._serve, args=(loop, executor), name="perdure-loop", daemon=True
        )
        # Before the start: it may be interrupted when the thread runs already.
        self._loop, self._thread = loop, thread
        try:
            thread.start()
        except Exception:
            self._loop = self._thread = None
            loop.close()
            raise
        return loop

    def _made(self) -> asyncio.AbstractEventLoop:
        if self._clock is None:
            return asyncio.new_event_loop()
        return VirtualLoop(self._clock, look=self.look, name=self._name)


async def _caught(
    coroutine: Coroutine[Any, Any, object],
) -> tuple[object, BaseException | None]:
    """Return what a coroutine returns or raises; an error such as SystemExit would end the loop."""
    try:
        return await coroutine, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it
        return None, error


async def _ended(tasks: set[asyncio.Task[Any]], within: float) -> set[asyncio.Task[Any]]:
    """Cancel tasks; return those that did not end in time."""
    for task in tasks:
        task.cancel()
    return (await asyncio.wait(tasks, timeout=within))[1] if tasks else set()


async def _live() -> None:
    """Wait until the loop is to end."""
    await asyncio.get_running_loop().create_future()


def _nothing() -> None:
    """Cancel nothing."""


def _never(_loop: asyncio.AbstractEventLoop) -> bool:
    """Owe nobody anything."""
    return False
