"""Work beside the turns of agents: begun by a turn, it goes on while the agent takes other mail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

from ...persistence.errors import SystemClosed
from ...persistence.store.committer import Committer
from ..cell.cell import AgentCell, Surroundings
from ..cell.settlement import hold_back
from ..pool.future import Future
from ..talk.beside import Work, WorkPlace, at_work
from ..talk.turn import Turn

logger = logging.getLogger("perdure.actors")


class _Task:
    """A piece of work that begins or has begun: may be cancelled before its start has returned."""

    def __init__(self) -> None:
        self._cancel: Callable[[], None] | None = None
        self._cancelled = False

    def started(self, cancel: Callable[[], None]) -> None:
        """Take note of what cancels it."""
        self._cancel = cancel  # first, then the look: cancel() does it the other way round
        if self._cancelled:
            cancel()

    def cancel(self) -> None:
        """Cancel it now, or as soon as it has started."""
        self._cancelled = True
        if self._cancel is not None:
            self._cancel()


class Beside:
    """Run what turns have begun, on the loop of the async handlers; keep who waits for it.

    A piece of work begins when the turn that wants it is durable, and when the one before it of the
    same name and agent has ended. It is in memory only: whoever needs it after a crash begins it
    again. Thread-safe.
    """

    def __init__(self, home: Surroundings) -> None:
        """Work for the agents of a system."""
        self._home = home
        self._changed = threading.Condition()
        self._running: dict[WorkPlace, _Task] = {}
        self._pausing: list[Callable[[], None]] = []
        """Wakes the work that waits for its time."""
        self._left: dict[WorkPlace, bool] = {}
        """Work that is cancelled, and has not noticed it yet; with whether its agent lives on."""
        self._next: dict[WorkPlace, tuple[Work, Context]] = {}
        self._waiting: dict[WorkPlace, list[tuple[Future[Any], bool]]] = {}
        self.closing = False
        """No step of any work is to begin any more."""

    def follow(self, cell: AgentCell, turn: Turn, sequence: int) -> None:
        """Do what a turn wants, behind the append of its commit."""
        wishes, letter = turn.beside, turn.letter
        assert wishes is not None
        place = partial(_place, cell)
        if wishes.later and letter.reply_to is not None:
            with self._changed:
                waiting = self._waiting.setdefault(place(wishes.later), [])
                waiting.append((letter.reply_to, letter.edge))
            letter.reply_to = None
        for name in wishes.ends:
            self._cancel(place(name))
        for name, (work, context, again) in wishes.begins.items():
            begin = partial(self._begin, place(name), work, context, again=again)
            self._home.supervisor.committer.once_durable(sequence, begin)
        for name, value, error in wishes.answers:
            with self._changed:
                futures = self._waiting.pop(place(name), [])
            for future, edge in futures:
                _answer(self._home.supervisor.committer, cell, future, value, error, edge=edge)
        turn.beside = None

    def runs(self, work: object) -> bool:
        """Tell whether ``work``, as the agenda knows it, is a piece of work that runs."""
        return work in self._running

    def is_left(self, cell: AgentCell, name: str) -> bool:
        """Tell whether the agent of a piece of work has stopped, and is to hear no more of it."""
        return _place(cell, name) in self._left

    def goes_on(self, cell: AgentCell, name: str) -> bool:
        """Tell whether a piece of work that is cancelled is to be begun again."""
        return self.closing or self._left.get(_place(cell, name), False)

    def askers(self, future: Future[Any] | None) -> set[WorkPlace]:
        """Return the work that waits, over whatever chain, for the answer to an ask.

        Pieces of work of one agent come one after the other: who waits for one that has not begun
        waits for the one under way as well.
        """
        found: set[WorkPlace] = set()
        left = [future]
        with self._changed:
            while left:
                ask = left.pop()
                if ask is None:
                    continue
                if isinstance(ask.asker, Turn):
                    left.append(ask.asker.letter.reply_to)
                if ask.work is not None and ask.work not in found:
                    found.add(ask.work)
                    mine = [at for at in self._waiting if at[:2] == ask.work[:2]]
                    left += [each for at in mine for each, _ in self._waiting[at]]
        return found

    def leave(self, cell: AgentCell, error: Exception | None) -> None:
        """Cancel the work of an agent that stops; with an error tell it to those who wait."""
        with self._changed:
            places = [place for place in self._running if place[:2] == (cell.kind, cell.key)]
            waiting = [place for place in self._waiting if place[:2] == (cell.kind, cell.key)]
            self._left |= dict.fromkeys(places, error is None)
            told = [each for place in waiting for each in self._waiting[place]] if error else []
            for place in waiting if error else ():
                del self._waiting[place]
        for place in places:
            self._cancel(place)
        for future, _ in told:
            assert error is not None
            future.fail(error)

    async def pause(self, cell: AgentCell, name: str, seconds: float, what: str) -> None:
        """Wait in the work ``name`` on the system's clock; ``what`` tells people what comes."""
        loop, over, place = asyncio.get_running_loop(), asyncio.Event(), _place(cell, name)
        agenda = self._home.agenda

        def wake() -> None:
            with self._changed:  # what has ended meanwhile is not to begin again on the agenda
                if wake in self._pausing and not loop.is_closed():
                    agenda.begin(place)
                    loop.call_soon_threadsafe(over.set)
                    self._pausing.remove(wake)  # last: who is struck before does it once more

        self._pausing.append(wake)
        call_off = agenda.later(0.0 if self.closing else seconds, wake, what)
        try:
            with self._changed:
                if wake in self._pausing:  # else its time has come already
                    agenda.end(place)  # until then it waits for its time, and nothing else
            await over.wait()
        finally:
            with self._changed:
                if wake in self._pausing:
                    self._pausing.remove(wake)
            call_off()

    async def nap(self, seconds: float) -> None:
        """Sleep as any coroutine does, on any loop, until the system closes at most."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # closed: it may be the program's own
                loop.call_soon_threadsafe(over.set)

        self._pausing.append(wake)
        timer = loop.call_later(0.0 if self.closing else seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            self._pausing.remove(wake)

    def drain(self, seconds: float) -> bool:
        """Let the steps end that have begun; what has more steps goes on in the next process."""
        with self._changed:  # what begins is waited for, or does not begin
            self.closing = True
        for wake in list(self._pausing):
            wake()
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def close(self) -> None:
        """Cancel what is left, and tell those who wait."""
        with self._changed:
            self.closing = True
            running, waiting = list(self._running), list(self._waiting.values())
            self._waiting.clear()
        for place in running:
            self._cancel(place)
        for future, _ in (each for futures in waiting for each in futures):
            future.fail(SystemClosed("the agent system was closed before the work was done"))

    def _begin(self, place: WorkPlace, work: Work, context: Context, *, again: bool) -> None:
        home, task = self._home, _Task()
        with self._changed:
            if self.closing or home.hooks.played is not None:  # in a replay nothing goes on
                return
            if place in self._running:
                # Of what is left or about to end, as the turn knows that began it again.
                if again or place in self._left:
                    self._next[place] = (work, context)
                return
            self._running[place] = task
        home.agenda.begin(place)
        context.run(at_work.set, place)
        task.started(home.loop.start(work(), context, partial(self._ended, place)))

    def _ended(self, place: WorkPlace, _result: object, error: BaseException | None) -> None:
        with self._changed:
            self._running.pop(place, None)
            self._left.pop(place, None)
            again = self._next.pop(place, None)
            self._changed.notify_all()
        if again is not None:
            self._begin(place, *again, again=True)
        else:
            self._home.agenda.end(place)
        if error is not None and not isinstance(error, asyncio.CancelledError):
            logger.error("%s/%s: work %s broke off: %r", *place, error, exc_info=error)

    def _cancel(self, place: WorkPlace) -> None:
        with self._changed:
            self._next.pop(place, None)
            task = self._running.get(place)
            if task is not None:
                self._home.agenda.begin(place)  # it may pause: now it waits for no time, but ends
        if task is not None:
            task.cancel()


def _place(cell: AgentCell, name: str) -> WorkPlace:
    return cell.kind, cell.key, name


def _answer(
    committer: Committer,
    cell: AgentCell,
    future: Future[Any],
    value: object,
    error: Exception | None,
    *,
    edge: bool,
) -> None:
    """Answer one who waits, and beyond the edge not before what is appended is durable."""
    if edge:
        hold_back(cell, future, value, error)
        committer.gate(future)
    elif error is None:
        future.answer(value)
    else:
        future.fail(error)
