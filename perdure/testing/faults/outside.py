"""The world outside: calls that agents make by ``self.outside``, recorded and answered."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ...actors.agent.agent import Agent
from ...actors.talk.turn import current
from ...persistence.errors import ConfigurationError

REAL: Final = object()
"""For no answer: the call itself is made."""
_lock: Final = threading.RLock()
"""A real one in simulations, too: nobody comes between a deed and its record."""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that an agent has made outside."""

    agent: str
    """``Kind/key``."""
    turn: str
    """What names the turn, the same at each attempt: its message, and the number of the call."""
    args: tuple[Any, ...]
    """Where the call was given as ``functools.partial(function, ...)``."""
    kwargs: dict[str, Any]
    time: float
    """Seconds since the epoch."""
    done: bool
    """Whether it has had its effect outside, also if the agent has not heard of that."""
    error: str = ""
    """What the agent got instead of an answer."""

    def __str__(self) -> str:
        given = [repr(each) for each in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        said = f" -> {self.error}" if self.error else ""
        return f"({', '.join(given)}) by {self.agent}, {self.turn}{said}"


class Outside:
    """One name that agents call outside by: what it answers, and what was called."""

    def __init__(self, name: str, answer: object = REAL, *, crash: Callable[[], None]) -> None:
        """Answer with a value, or what a callable returns; by default the real call is made."""
        self.name = name
        self._answer = answer
        self._crash = crash
        self.calls: list[MadeCall] = []
        """The calls so far, failed ones as well."""
        self._failing: tuple[BaseException | type[BaseException], int] | None = None
        self._losing = 0
        self._crash_in = 0
        self._turns: dict[int, tuple[object, int]] = {}  # how many calls a turn has made

    def __repr__(self) -> str:
        return f"<Outside {self.name!r}, {len(self.calls)} calls>"

    def answer(self, answer: object) -> None:
        """Answer otherwise from now on."""
        self._answer = answer

    def fail(
        self,
        error: BaseException | type[BaseException] = ConnectionError,
        *,
        next: int | None = None,  # noqa: A002 - reads as it is meant
    ) -> None:
        """Refuse the ``next`` calls, or all until ``mend()``: they have no effect."""
        self._failing = (error, -1 if next is None else _counted("fail", next))

    def lose_answers(self, next: int = 1) -> None:  # noqa: A002 - as above
        """Have the ``next`` calls take effect, and the agent get a TimeoutError all the same."""
        self._losing = _counted("lose_answers", next)

    def crash_after(self, calls: int = 1) -> None:
        """Strike the system dead behind so many calls from now: done outside, and not committed."""
        self._crash_in = _counted("crash_after", calls)

    def mend(self) -> None:
        """Answer every call again."""
        self._failing, self._losing, self._crash_in = None, 0, 0

    def effects(self) -> list[MadeCall]:
        """Return the calls that have had an effect."""
        return [call for call in list(self.calls) if call.done]

    def twice(self, by: Callable[[MadeCall], Hashable] | None = None) -> dict[Hashable, int]:
        """Return what was done more than once, by its turn, or by what ``by`` says of a call."""
        key = by or (lambda call: f"{call.agent}, {call.turn}")
        counted = Counter(key(call) for call in self.effects())
        return {each: count for each, count in counted.items() if count > 1}

    def make(self, agent: Agent[Any], call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it gives
        """Make a call for an agent."""
        inner = call.func if isinstance(call, functools.partial) else call
        if inspect.iscoroutinefunction(inner):
            return self._awaited(agent, call)
        lost, crashes = self._begun(agent, call)
        with self._noting_failure(agent, call):
            answer = _answer_of(self._answer, call)
        return self._done(agent, call, answer, lost=lost, crashes=crashes)

    async def _awaited(self, agent: Agent[Any], call: Callable[[], Any]) -> object:
        lost, crashes = self._begun(agent, call)
        with self._noting_failure(agent, call):
            answer = _answer_of(self._answer, call)
            if inspect.isawaitable(answer):
                answer = await answer
        return self._done(agent, call, answer, lost=lost, crashes=crashes)

    def _begun(self, agent: Agent[Any], call: Callable[[], Any]) -> tuple[bool, bool]:
        """Refuse a call before it has an effect; return what becomes of one that is made."""
        with _lock:
            error, lost, crashes = self._fate()
        if error is not None:
            self._note(agent, call, done=False, error=repr(error))
            raise error
        return lost, crashes

    @contextlib.contextmanager
    def _noting_failure(self, agent: Agent[Any], call: Callable[[], Any]) -> Iterator[None]:
        try:
            yield
        except Exception as raised:
            self._note(agent, call, done=False, error=repr(raised))
            raise

    def _done(
        self,
        agent: Agent[Any],
        call: Callable[[], Any],
        answer: object,
        *,
        lost: bool,
        crashes: bool,
    ) -> object:
        self._note(agent, call, done=True, error="the answer was lost" if lost else "")
        if crashes:
            self._crash()
        if lost:
            raise TimeoutError(f"no answer from {self.name}, as the test says")
        return answer

    def _fate(self) -> tuple[BaseException | type[BaseException] | None, bool, bool]:
        """Return how this call goes: its error, whether its answer is lost, whether all ends."""
        if self._failing is not None:
            error, left = self._failing
            self._failing = (error, left - 1) if left != 1 else None
            return error, False, False
        lost, self._losing = self._losing > 0, max(0, self._losing - 1)
        crashes, self._crash_in = self._crash_in == 1, max(0, self._crash_in - 1)
        return None, lost, crashes

    def _note(self, agent: Agent[Any], call: Callable[[], Any], *, done: bool, error: str) -> None:
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if isinstance(call, functools.partial):
            args, kwargs = call.args, call.keywords
        turn = current.get()
        with _lock:
            said = _turn_of(turn)
            _, number = self._turns.get(id(turn), (turn, 0))
            self._turns[id(turn)] = (turn, number + 1)
            which = said if number == 0 else f"{said}, call {number + 1}"
            self.calls.append(MadeCall(str(agent), which, args, kwargs, agent.now(), done, error))


def _counted(method: str, calls: int) -> int:
    """Return a number of calls that a test has given."""
    if calls < 1:
        raise ConfigurationError(f"{method}({calls}): give a number of calls, 1 or more")
    return calls


def _turn_of(turn: Any) -> str:  # noqa: ANN401 - a Turn, or None behind it
    if turn is None:
        return "outside of a turn"
    letter = turn.letter
    if letter.timer is not None:
        return f"timer {letter.timer.name} of {letter.timer.due:.3f}"
    return f"message {letter.id}"


def _answer_of(answer: object, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it gives
    if answer is REAL:
        return call()
    if isinstance(answer, BaseException):
        raise answer
    if not callable(answer):
        return answer
    if isinstance(call, functools.partial):
        return answer(*call.args, **call.keywords)
    return answer()


class OutsideWorld:
    """Stand between agents and ``Agent.outside`` while a kit is in use."""

    def __init__(self, owns: Callable[[object], bool]) -> None:
        """Take the calls of agents whose system is owned."""
        self._owns = owns
        self._known: dict[str, Outside] = {}
        self._original = Agent.outside

    def enter(self) -> None:
        """Take the calls from now on."""
        world, original = self, Agent.outside
        self._original = original

        def outside(agent: Agent[Any], name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
            known = world._known.get(name)
            if known is None or not world._owns(agent.system):
                return original(agent, name, call)
            return original(agent, name, lambda: known.make(agent, call))

        setattr(Agent, "outside", functools.wraps(original)(outside))  # noqa: B010 - for the type checker

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Leave the calls alone."""
        setattr(Agent, "outside", self._original)  # noqa: B010 - as above

    def add(self, outside: Outside) -> None:
        """Have calls of a name go there."""
        self._known[outside.name] = outside
