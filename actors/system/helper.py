"""Waiting for a reply: help first, refuse what can never come, lend the worker's place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from asyncio import _get_running_loop  # what get_running_loop() does, without an exception
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from ...lifecycle.clock import VirtualClock
from ...persistence.errors import Deadlock, PoolExhausted
from ...persistence.store.committer import Committer
from ..pool.cell import Cell
from ..pool.dispatcher import Dispatcher
from ..pool.future import Future
from ..pool.loop import HandlerLoop
from ..pool.wakes import Wakes

logger = logging.getLogger("perdure.actors")

DEEPEST: Final = 16
"""Turns that may run inside one another on one thread."""
_LOCK: Final = threading.Lock()
_NOTHING: Final = contextlib.nullcontext()


class AskHelper:
    """Help those who wait for replies; one per system."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        loop: HandlerLoop,
        committer: Committer,
        *,
        look: Callable[[], None],
        clock: VirtualClock | None,
    ) -> None:
        """Help with the turns of ``dispatcher`` and the commits of ``committer``.

        ``look`` is called when a turn begins to wait; ``clock`` may have a say in each wait.
        """
        self._look = look
        self._clock = clock if clock is not None and clock.steers else None
        self._loop = loop
        self._dispatcher = dispatcher
        self._committer = committer
        self._depth = threading.local()
        self._warned = False
        self._wakes = Wakes()
        loop.owes = self._wakes.owes
        committer.on_free = self._wakes.send

    def may_block(self) -> None:
        """Refuse to block the loop of all async handlers: the reply may depend on one of them."""
        if self._loop.runs_here():
            message = "get() in an async handler would stop every async handler; await the reply"
            raise Deadlock(message)
        if self._committer.writes_here():
            message = "a receiver of a save signal runs where the reply is saved; do not wait there"
            raise Deadlock(message)
        if not self._warned and _get_running_loop() is not None:
            self._warned = True
            logger.warning(
                "get() stops the event loop that runs on this thread until the reply is there;"
                " await the future instead, as in reply = await desk.call(Desk.assign, ...)"
            )

    def help(self, future: Future[Any]) -> None:
        """Run the asked agent's turn here if nobody else has begun, then write its commit."""
        if self._clock is not None:
            if future.asker is None and not self._dispatcher.works_here():
                self._clock.steer(future.done, patient=True)
            return
        cell = future.target
        assert cell is not None
        depth = getattr(self._depth, "value", 0)
        outermost = future.asker is None and depth == 0
        try:
            # A turn that runs here may never come back; a time limit can only free another thread.
            # Where nearly all threads wait, this one makes the reply itself all the same.
            if depth < DEEPEST and (cell.turn_limit is None or self._dispatcher.crowded()):
                self._run_here(future, cell, depth, outermost=outermost)
            if outermost:
                self._committer.help()
        except BaseException:
            self._committer.wake()  # what was committed here has woken nobody
            raise

    def _run_here(self, future: Future[Any], cell: Cell, depth: int, *, outermost: bool) -> None:
        self._depth.value = depth + 1
        try:
            # Whoever runs inside has to know that this turn waits, or a circle goes unseen.
            with _registered(future) if future.asker is not None else _NOTHING:
                while not future.settled and cell.mailbox.steal(helped=outermost):
                    if outermost and not future.settled:
                        # What others wait for must not wait for the next handler here.
                        self._committer.leave()
        finally:
            self._depth.value = depth

    def waiting(self, future: Future[Any]) -> AbstractContextManager[object]:
        """Surround the wait of a turn, or of somebody outside, for ``future``.

        The last thread of a full pool runs turns that the reply hangs on instead of waiting;
        PoolExhausted if there is none.
        """
        self._dispatcher.hurry()
        if future.asker is None and not self._dispatcher.works_here():
            if self._clock is not None and not future.done():
                self._clock.steer(future.done, patient=False)
            return _NOTHING  # as most: nobody waits for it in a circle, and it has no place to lend
        return self._lending(future)

    @contextlib.contextmanager
    def _lending(self, future: Future[Any]) -> Iterator[None]:
        with _registered(future), contextlib.ExitStack() as place:
            self._look()
            while not future.done():
                try:
                    place.enter_context(self._dispatcher.blocking(reply=True))
                except PoolExhausted:
                    if not self._run_further(future):
                        raise
                else:
                    break
            yield

    def wake(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        """Finish a loop's waiter: at once, or when the batch that answers is done with."""
        self._wakes.add(loop, waiter)
        if not self._committer.writes_here():
            self._wakes.send()

    def _run_further(self, future: Future[Any]) -> bool:
        """Run a turn here that somebody waits for whose reply this one hangs on; False if none."""
        depth = getattr(self._depth, "value", 0)
        if future.target is None or depth >= DEEPEST:
            return False
        self._depth.value = depth + 1
        try:
            return any(cell.mailbox.steal() for cell in hung_on(future.target))
        finally:
            self._depth.value = depth


@contextlib.contextmanager
def _registered(future: Future[Any]) -> Iterator[None]:
    """Have it known during the block that the asking turn waits; Deadlock if it would for ever."""
    asker, target = future.asker, future.target
    if asker is None or target is None:
        yield
        return
    with _LOCK:
        refuse_deadlock(future)
        asker.waits = [*asker.waits, target]
    try:
        yield
    finally:
        with _LOCK:
            waits = list(asker.waits)
            waits.remove(target)
            asker.waits = waits


def refuse_deadlock(future: Future[Any]) -> None:
    """Raise Deadlock if the one who is to answer waits, over whatever chain, for the asker."""
    asker, target = future.asker, future.target
    if asker is None or target is None or future.done():
        return
    for cell in hung_on(target):
        if cell is asker.cell:
            through = "itself" if target is cell else f"{target}, which waits for it"
            message = f"{cell} waits for a reply from {through}; use cast(), or do not wait for it"
            raise Deadlock(message)


def hung_on(target: Cell) -> Iterator[Cell]:
    """Give ``target``, the cells that its turn waits for, those that theirs wait for, and so on."""
    reached: list[Cell] = [target]
    path: set[int] = set()
    while reached:
        cell = reached.pop()
        if id(cell) not in path:
            path.add(id(cell))
            yield cell
            turn = cell.turn
            if turn is not None:
                reached += turn.waits
