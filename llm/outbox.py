"""What the work on a run has to tell its agent: what comes together is one turn and one commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from .failures import contained
from .news import News, StepVerdict, read_verdicts, written

LINGER: Final = 0.01
"""Seconds that the end of a step waits for what begins behind it, before it goes by itself."""

_Item = tuple[News, asyncio.Future[StepVerdict] | None]
"""News, and who waits for what is said to it."""


class Outbox:
    """Hand news on in their order; an end goes with the next beginning.

    Invariant: one turn is asked for at a time. So nothing begins behind an end that could not be
    taken down. For one event loop.
    """

    def __init__(self, take_down: Callable[[str], Awaitable[str]]) -> None:
        """Hand on to ``take_down``, which answers when what it was given is durable."""
        self._take_down = take_down
        self._items: list[_Item] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = False
        self._sending: asyncio.Task[None] | None = None
        self.error: Exception | None = None
        """Why an end could not be taken down; whatever asks to begin gets it."""

    def tell(self, news: News) -> None:
        """Have an end taken down, with what begins behind it or soon by itself."""
        self._items.append((news, None))
        if self._timer is None and not self._due:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self._send)

    async def ask(self, news: News) -> StepVerdict:
        """Have news taken down, all before it first; return what is said to it, once it is durable.

        Those who ask at the same time, as tools do that are called together, share a turn.
        """
        answer: asyncio.Future[StepVerdict] = asyncio.get_running_loop().create_future()
        self._items.append((news, answer))
        self._send()
        return await answer

    async def settled(self) -> None:
        """Wait until all that was told is durable, or could not be."""
        self._send()
        while self._sending is not None:
            await asyncio.wait([self._sending])

    def leave(self) -> None:
        """Hand on what has ended, and wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            self._sending.cancel()
        # What would begin does not: taken down, it would be in doubt.
        items, self._items = [item for item in self._items if item[1] is None], []
        if items:
            with contextlib.suppress(Exception):  # as of an agent that was stopped
                self._take_down(_text(items))

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._items:
            self._due = True
            # It runs behind what is ready to run, and so may ask as well.
            self._sending = self._sending or asyncio.create_task(self._deliver())

    async def _deliver(self) -> None:
        try:
            while self._due:
                self._due, items, self._items = False, self._items, []
                await self._hand_on(items)
        finally:
            self._sending = None

    async def _hand_on(self, items: list[_Item]) -> None:
        if self.error is not None:
            for _, answer in items:
                _fail(answer, self.error)
            items = [item for item in items if item[1] is None]
        try:
            said = await contained(self._take_down(_text(items))) if items else "[]"
            verdicts = read_verdicts(said)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            if len(items) > 1:  # the turn is undone: each by itself, so that one harms no other
                for item in items:
                    await self._hand_on([item])
                return
            if items[0][1] is None:
                self.error = error
            _fail(items[0][1], error)
        else:
            for (_, answer), verdict in zip(items, verdicts, strict=True):
                if answer is not None and not answer.done():
                    answer.set_result(verdict)


def _text(items: list[_Item]) -> str:
    return written([news for news, _ in items])


def _fail(answer: asyncio.Future[StepVerdict] | None, error: Exception) -> None:
    if answer is not None and not answer.done():
        answer.set_exception(error)
