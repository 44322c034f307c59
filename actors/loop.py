"""One event loop on one thread for all ``async def`` handlers of a system."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

Done = Callable[[object, BaseException | None], None]


class HandlerLoop:
    """Run coroutines on a loop of its own; started when the first one comes."""

    def __init__(self) -> None:
        """Make a loop that is not running yet."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(
        self, coroutine: Coroutine[Any, Any, object], context: Context, done: Done
    ) -> Callable[[], None]:
        """Run ``coroutine`` in ``context``; ``done(result, error)`` is called on the loop's thread.

        Returns a function that cancels it.
        """
        loop = self._running()
        holder: list[asyncio.Task[Any]] = []

        def begin() -> None:
            task = loop.create_task(coroutine, context=context)
            holder.append(task)
            self._tasks.add(task)
            task.add_done_callback(finished)

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                done(None, asyncio.CancelledError("the handler was cancelled"))
            else:
                error = task.exception()
                done(None if error is not None else task.result(), error)

        def cancel() -> None:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in holder])

        loop.call_soon_threadsafe(begin)
        return cancel

    def run(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run ``coroutine`` in a copy of the caller's context and wait for its result."""
        arrived = threading.Event()
        outcome: list[tuple[object, BaseException | None]] = []

        def done(result: object, error: BaseException | None) -> None:
            outcome.append((result, error))
            arrived.set()

        self.start(coroutine, copy_context(), done)
        arrived.wait()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Cancel what runs and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="perdure-loop", daemon=True
                )
                self._thread.start()
            return self._loop
