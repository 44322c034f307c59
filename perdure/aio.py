"""The rim for asyncio: what blocks a thread is awaited here, and the event loop goes on."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from .actors.talk.identity import Identified
from .actors.talk.reference import AgentRef
from .persistence.errors import MailboxFull

A = TypeVar("A", bound=Identified)
P = ParamSpec("P")
R = TypeVar("R")


class Closable(Protocol):
    """What an event loop waits for: an agent system."""

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is durable."""
        ...

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until nobody has anything to do."""
        ...

    def close(self, timeout: float) -> bool:
        """Finish, save and end."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


S = TypeVar("S", bound=Closable)


class Rim:
    """What of a system blocks, to be awaited: ``await system.aio.flush()``.

    Each runs in a thread of the event loop's executor. A task that is cancelled meanwhile gets
    CancelledError when that has ended: nothing goes on behind its back.
    """

    def __init__(self, system: Closable) -> None:
        """Wait for ``system``."""
        self._system = system

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as flush() has it
        """Wait until everything sent and changed so far is durable; False on timeout."""
        return await self.run(self._system.flush, timeout)

    async def idle(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as idle() has it
        """Wait until no agent has anything to do and everything is durable; False on timeout."""
        return await self.run(self._system.idle, timeout)

    async def close(self, timeout: float = 10.0) -> bool:  # noqa: ASYNC109 - as close() has it
        """Close the system, as ``AgentSystem.close`` does."""
        return await self.run(self._system.close, timeout)

    async def cast(
        self,
        agent: AgentRef[A],
        method: Callable[Concatenate[A, P], Any],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Tell by method, as ``agent.cast`` does, and wait while the agent's mailbox is full.

        MailboxFull when there was no room for as long as ``Limits`` lets a sender wait.
        """
        with suppress(MailboxFull):  # at once, in an event loop
            agent.cast(method, *args, **kwargs)
            return
        await self.run(functools.partial(agent.cast, method, *args, **kwargs))

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call anything that blocks: ``await system.aio.run(ref.pause)``."""
        return await _to_its_end(function, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<Rim of {self._system!r} for asyncio: flush, idle, close, cast, run>"


def in_event_loop(open_system: Callable[P, S]) -> Callable[P, AbstractAsyncContextManager[S]]:
    """Make of a function that opens a system one whose result is used in ``async with``."""

    @asynccontextmanager
    async def opened(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[S]:
        opening = asyncio.ensure_future(asyncio.to_thread(open_system, *args, **kwargs))
        try:
            system = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # It opens all the same: nobody else would close it.
            await _ended(opening)
            if not opening.cancelled() and opening.exception() is None:
                await _to_its_end(opening.result().__exit__, None, None, None)
            raise
        try:
            yield system
        except BaseException as error:
            await _to_its_end(system.__exit__, type(error), error, error.__traceback__)
            raise
        await _to_its_end(system.__exit__, None, None, None)

    # It is of the module that makes it, as people see it.
    return functools.update_wrapper(opened, open_system, assigned=("__module__", "__doc__"))


async def _to_its_end(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function in a thread, to its end also when the caller is cancelled meanwhile."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await _ended(work)
        raise


async def _ended(work: asyncio.Future[Any]) -> None:
    """Wait for what runs in a thread, however often the caller is cancelled meanwhile."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
