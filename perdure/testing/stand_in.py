"""Stand-ins: agents whose messages a test receives, and answers, instead of their handlers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..actors.agent.agent import OWN_NAMES, Agent
from ..actors.cell.cell import AgentCell
from ..actors.talk.turn import current
from ..persistence.errors import ConfigurationError
from ..persistence.state.state import State
from .clock import SkippingClock

_NOTHING: Final = object()


class ProbeState(State):
    """Nothing: what a probe receives is the test's."""


class ProbeAgent(Agent[ProbeState]):
    """What others write to where a test listens; its key is the probe's name."""

    kind = "Probe"

    def on_receive(self, message: object) -> object:
        """Be replaced by the probe that listens."""
        raise ConfigurationError(f"{self} was sent {message!r}, and no probe of this test listens")


@dataclass(frozen=True, slots=True)
class Received:
    """A message that a stand-in has received."""

    kind: str
    key: str
    name: str
    """The method; ``on_receive`` for a message to that."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    asked: bool
    """Whether somebody waits for a reply."""
    reply: concurrent.futures.Future[object] | None = field(repr=False, compare=False)
    """What the test's reply goes to."""

    @property
    def message(self) -> Any:  # noqa: ANN401 - whatever was sent
        """What ``on_receive`` was given; of a method its first argument."""
        return self.args[0] if self.args else None

    def __str__(self) -> str:
        given = [repr(each) for each in self.args]
        given += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.kind}/{self.key}.{self.name}({', '.join(given)})"


class StandIn:
    """Take the place of the handlers of an agent class; ends with the kit that made it.

    Messages are decoded, turns committed and retried as ever; only what the handlers would do is
    the test's. ``on_start`` and other hooks are left as they are.
    """

    def __init__(
        self,
        agent_class: type[Agent[Any]],
        clock: SkippingClock,
        *,
        key: str | None = None,
        answers: dict[str, object] | None = None,
        patient: bool = False,
    ) -> None:
        """Stand in for all agents of a class, or the one of ``key``.

        ``answers`` by method: a value, an exception to be raised, or a callable that is called with
        the message's arguments. ``patient``: an ask without an answer waits for ``reply()``.
        """
        self._class, self._key, self._clock = agent_class, key, clock
        self._answers = dict(answers or {})
        self._patient = patient
        self._lock = threading.Lock()
        self._queue: deque[Received] = deque()
        self._asking: deque[Received] = deque()
        self._waits: dict[concurrent.futures.Future[object], Callable[[], None]] = {}
        self.received: list[Received] = []
        """All messages so far, also those that were expected already."""
        self._undo: list[Callable[[], None]] = []
        names = _handlers(agent_class) if patient else list(self._answers)
        unknown = [name for name in names if not callable(getattr(agent_class, name, None))]
        if unknown:
            message = f"{agent_class.__name__} has no method {unknown[0]!r} to stand in for"
            raise ConfigurationError(message)
        for name in names:
            self._replace(name)

    def __repr__(self) -> str:
        return f"<StandIn for {self._class.__name__}, {len(self.received)} messages>"

    def expect(
        self, what: object, *args: object, within: float = 0.0, **kwargs: object
    ) -> Received:
        """Return the next message, which must be this one; time passes for it, up to ``within``.

        ``what`` is a method of the class, with the arguments if any are given, or for
        ``on_receive`` a class, or a message that is equal. AssertionError for another, or none.
        """
        if not self._clock.within(within, lambda: bool(self._queue)):
            said = f"{_named(what)} was not received within {within:g} s"
            raise AssertionError(f"{said}; {self._so_far()}")
        found = self._queue.popleft()
        if not _fits(found, what, args, kwargs):
            given = f" with {args} {kwargs}" if args or kwargs else ""
            raise AssertionError(f"{found} was received, not {_named(what)}{given}")
        return found

    def expect_nothing(self, within: float = 0.0) -> None:
        """Let so many seconds pass; AssertionError if a message is received, or was before."""
        if self._clock.within(within, lambda: bool(self._queue)):
            raise AssertionError(f"nothing was expected, and {self._queue[0]} was received")

    def reply(self, value: object) -> None:
        """Answer the oldest ask that waits, and let that have its effects.

        An exception is raised for who asked. AssertionError if nobody has asked.
        """
        self._clock.settle()
        with self._lock:
            asking = self._asking.popleft() if self._asking else None
        if asking is None or asking.reply is None:
            raise AssertionError(f"nobody waits for a reply; {self._so_far()}")
        self._waits.pop(asking.reply)()  # before: or who settles would take it for waiting still
        if isinstance(value, BaseException):
            asking.reply.set_exception(value)
        else:
            asking.reply.set_result(value)
        self._clock.settle()

    def answer(self, **answers: object) -> None:
        """Answer from now on as these say, by method; what waits already is left alone."""
        for name, given in answers.items():
            if name not in self._answers and not self._patient:
                self._replace(name)
            self._answers[name] = given

    def end(self) -> None:
        """Give the class its handlers back; who waits for a reply is left without one."""
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()
        for reply in list(self._waits):
            reply.cancel()

    def _replace(self, name: str) -> None:
        agent_class, original = self._class, getattr(self._class, name)
        own = name in vars(agent_class)

        @functools.wraps(original)
        def stands_in(agent: Agent[Any], /, *args: object, **kwargs: object) -> object:
            if self._key is not None and agent.key != self._key:
                return original(agent, *args, **kwargs)
            return self._receive(agent, name, args, kwargs)

        def undo() -> None:
            if own:
                setattr(agent_class, name, original)
            else:
                delattr(agent_class, name)

        setattr(agent_class, name, stands_in)
        self._undo.append(undo)

    def _receive(
        self, agent: Agent[Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> object:
        turn = current.get()
        asked = turn is not None and turn.letter.reply_to is not None
        given = self._answers.get(name, _NOTHING)
        reply: concurrent.futures.Future[object] | None = None
        if asked and self._patient and given is _NOTHING:
            reply = concurrent.futures.Future()
        found = Received(agent.kind, agent.key, name, args, kwargs, asked, reply)
        with self._lock:
            self.received.append(found)
            self._queue.append(found)
            if reply is not None:
                self._asking.append(found)
        if reply is not None and turn is not None:
            assert isinstance(turn.cell, AgentCell)
            what = f"{found} waits for this test to call reply()"
            agenda = turn.cell.home.agenda
            self._waits[reply] = agenda.wait_for(what, turn.cell, reply.cancel)
            return self._wait(reply)
        return _answered(given, args, kwargs)

    async def _wait(self, reply: concurrent.futures.Future[object]) -> object:
        try:
            return await asyncio.wrap_future(reply)
        finally:
            waits = self._waits.pop(reply, None)
            if waits is not None:
                waits()

    def _so_far(self) -> str:
        got = [str(each) for each in self.received[-5:]]
        due = [f"in {each.seconds:g} s {each.what}" for each in self._clock.pending_work()[:3]]
        said = f"received so far: {', '.join(got)}" if got else "nothing was received"
        return f"{said}; due next: {', '.join(due)}" if due else said


def _handlers(agent_class: type[Agent[Any]]) -> list[str]:
    """Return the methods that messages may go to."""
    found = [
        name
        for name in dir(agent_class)
        if not name.startswith(("_", "on_"))
        and name not in OWN_NAMES
        and inspect.isfunction(inspect.getattr_static(agent_class, name))
    ]
    if agent_class.on_receive is not Agent.on_receive:
        found.append("on_receive")
    return found


def _answered(given: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    if given is _NOTHING:
        return None
    if isinstance(given, BaseException) or (
        isinstance(given, type) and issubclass(given, BaseException)
    ):
        raise given
    return given(*args, **kwargs) if callable(given) else given


def _named(what: object) -> str:
    return getattr(what, "__qualname__", None) or repr(what)


def _fits(
    found: Received, what: object, args: tuple[object, ...], kwargs: dict[str, object]
) -> bool:
    if isinstance(what, type):
        return found.name == "on_receive" and isinstance(found.message, what)
    if callable(what):
        same = getattr(what, "__name__", "") == found.name
        return same and (not (args or kwargs) or (found.args, found.kwargs) == (args, kwargs))
    return found.name == "on_receive" and bool(found.message == what)
