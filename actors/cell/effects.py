"""What a handler may ask for besides changing its state: timers and lifecycle steps."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from numbers import Real
from random import Random
from typing import Any, Final

from pykka.messages import ProxyCall

from ...hooks.history.recording import Recorder
from ...hooks.trace import TraceContext
from ...persistence.errors import ConfigurationError
from ...persistence.names.keys import check_name
from ...persistence.names.scope import Scope
from ...persistence.records.records import Timer
from ...shared.scopes.agent_scopes import AgentScopes
from ..talk.beside import Work, WorkAnswer
from ..talk.turn import Turn, TurnView, collecting_in, current
from .cell import AgentCell
from .chains import chain_of, identified, numbered
from .settlement import describe

_CHANCE: Final = Random()  # noqa: S311 - an agent's own dice, no secrets


class CellHome:
    """Be the home an agent sees; everything it does is an effect of the current turn."""

    __slots__ = ("_cell", "_scopes", "_thinking")

    def __init__(self, cell: AgentCell) -> None:
        """Speak for ``cell``."""
        self._cell = cell
        self._scopes: AgentScopes | None = None
        self._thinking: tuple[Turn | None, int] = (None, 0)

    def reference(self) -> Any:  # noqa: ANN401 - AgentRef is above
        """Return a reference to the agent."""
        return self._cell.home.reference(self._cell.kind, self._cell.key)

    def scopes(self) -> AgentScopes:
        """Return shared state as the agent sees it."""
        if self._scopes is None:
            cell = self._cell
            self._scopes = AgentScopes(cell.home.state, Scope.agent(cell.kind, cell.key))
        return self._scopes

    def step(self, step: str) -> None:
        """Take a lifecycle step after the current turn."""
        self._turn().take_step(step)

    def begin_beside(self, name: str, work: Work, *, again: bool = True) -> None:
        """Begin work beside the turns, once the turn under way is durable."""
        self._turn().wants().begins[name] = (work, copy_context(), again)

    def end_beside(self, name: str) -> None:
        """Cancel work beside the turns when the turn commits."""
        self._turn().wants().ends.append(name)

    def pause_beside(self, name: str, seconds: float, what: str) -> Awaitable[None]:
        """Wait in work beside the turns, on the system's clock; ``what`` comes then."""
        return self._cell.home.beside.pause(self._cell, name, seconds, what)

    def work_is_left(self, name: str) -> bool:
        """Tell whether the agent has stopped, and is to hear no more of a piece of its work."""
        return self._cell.home.beside.is_left(self._cell, name)

    def work_goes_on(self, name: str) -> bool:
        """Tell whether cancelled work is begun again: its agent stops, or the system closes."""
        return self._cell.home.beside.goes_on(self._cell, name)

    def work_closes(self) -> bool:
        """Tell whether work beside the turns is to begin nothing more: the system closes."""
        return self._cell.home.beside.closing

    def name_of_thought(self) -> str:
        """Return a name for what is asked of a mind: the same when the message comes again."""
        cell, turn = self._cell, self._turn()
        if self._thinking[0] is not turn:
            self._thinking = (turn, 0)
        number = self._thinking[1] + 1
        self._thinking = (turn, number)
        letter = numbered(cell.home, turn.letter).id
        return f"{cell.kind}/{cell.key}/{letter}/{number}"

    def asked_by_work(self, name: str) -> bool:
        """Tell whether a piece of the agent's work waits for the answer of the turn under way."""
        cell = self._cell
        askers = cell.home.beside.askers(self._turn().letter.reply_to)
        return (cell.kind, cell.key, name) in askers

    def answer_later(self, name: str) -> None:
        """Have the asker of the turn under way answered with a piece of work."""
        self._turn().wants().later = name

    def answer(self, name: str, value: object, error: Exception | None) -> None:
        """Answer those who wait for a piece of work when the turn commits."""
        self._turn().wants().answers.append(WorkAnswer(name, value, error))

    def set_timer(
        self,
        seconds: float,
        interval: float | None,
        method: str,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        *,
        name: str | None,
        catch_up: str,
        spread: float = 0.0,
    ) -> str:
        """Set a timer when the turn commits; an identical interval timer goes on undisturbed."""
        turn, cell = self._turn(), self._cell
        number = isinstance(seconds, Real)
        if not number or not 0 <= seconds < 10**10 or (interval is not None and interval <= 0):
            message = (
                f"{cell}: a timer in {seconds!r} seconds makes no sense; give a number of seconds"
            )
            raise ConfigurationError(message)
        if catch_up not in ("one", "all", "skip"):
            message = f'{cell}: catch_up={catch_up!r} is unknown; use "one", "all" or "skip"'
            raise ConfigurationError(message)
        number = isinstance(spread, Real)
        if not number or not 0 <= spread <= seconds:
            message = (
                f"{cell}: spread={spread!r} makes no sense; give seconds from 0 to the interval,"
                f" {seconds:g}"
            )
            raise ConfigurationError(message)
        path = tuple(method.split("."))
        calls = cell.blueprint.calls
        _, body, _ = calls.encode(ProxyCall(path, args, kwargs), cell.key)
        if name is not None:
            check_name("timer name", name)
        else:
            draw, tape = cell.home.next_letter, _tape()
            name = f"{method}#{draw() if tape is None else tape.number(draw)}"
        # Floats throughout, as the store gives them back: its checksums tell 5 from 5.0.
        due = self.now() + float(seconds) - _share(cell, name) * float(spread)
        interval = None if interval is None else float(interval)
        # What is set in a session goes on in it, and so does a single call in its chain. Ticks
        # would make a chain without an end: each begins its own, and knows its cause.
        chain = chain_of(cell.home, turn)
        chain = chain if interval is None else min(0, chain)
        timer = Timer(cell.kind, cell.key, name, method, body, due, interval, catch_up, chain)
        known = self._known(turn, name)
        same = (
            known is not None
            and known._replace(body=body, due=due, correlation=chain, cause=0) == timer
            and calls.alike(method, known.body, body, cell.key)
        )
        if not interval or not same:
            turn.set_timer(name, timer)
        return name

    def turn(self) -> TurnView:
        """Return what the agent may know of the turn under way, also in ``on_failure``."""
        turn = current.get()
        if turn is None or turn.cell is not self._cell:
            message = f"{self._cell}: self.turn is there in its own handlers only"
            raise ConfigurationError(message)
        letter = turn.letter
        # Who asks gets the error of the first attempt.
        limit = self._cell.blueprint.agent_class.restarts.attempts
        attempts = limit if letter.reply_to is None else 1
        home = self._cell.home
        chain = identified(home, letter).correlation

        def trace() -> TraceContext:
            return home.traces.span(numbered(home, letter))

        return TurnView(letter.attempts + 1, attempts, describe(letter), chain, trace)

    def now(self) -> float:
        """Return the time as the turn under way takes it."""
        tape = _tape()
        return self._cell.home.clock.now() if tape is None else tape.now()

    def random(self) -> Random:
        """Return the randomness of the turn under way."""
        tape = _tape()
        return _CHANCE if tape is None else tape.randomness()

    def outside(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what a call outside gives."""
        tape = _tape()
        return call() if tape is None else tape.outside(name, call)

    def cancel_timer(self, name: str) -> bool:
        """Cancel a timer when the turn commits."""
        turn = self._turn()
        if self._known(turn, name) is None:
            return False
        turn.set_timer(name, None)
        return True

    def _known(self, turn: Turn, name: str) -> Timer | None:
        if turn.timers and name in turn.timers:
            return turn.timers[name]
        assert self._cell.activation is not None
        return self._cell.activation.timers.get(name)

    def _turn(self) -> Turn:
        turn = collecting_in(self._cell.home)
        if turn is None or turn.cell is not self._cell:
            message = f"{self._cell}: timers and steps can be asked for only in its own handlers"
            raise ConfigurationError(message)
        return turn


def _tape() -> Recorder | None:
    turn = current.get()
    return None if turn is None or turn.notes is None else turn.notes.tape


def _share(cell: AgentCell, name: str) -> float:
    """Return a number from 0 up to 1 that is this timer's own, in every process."""
    return zlib.crc32(f"{cell.kind}/{cell.key}/{name}".encode()) / 2**32
