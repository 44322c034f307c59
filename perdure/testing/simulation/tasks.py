"""The threads of a simulated run, and what is raised in them to end them."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

MOST_STRIKES: Final = 1_000
"""How often a thread is struck before it is left where it is."""
_gate: Final = threading.Lock  # the real one, whatever stands there later


class Killed(BaseException):
    """End a thread of a life that is over; nobody may hold it up."""


class Task:
    """A thread of a run. Only the one that has the baton runs; the others wait at their gates."""

    __slots__ = (
        "deadline", "doing", "done", "gate", "ident", "joiners", "leave", "name", "number", "ready",
        "real", "steps", "strikes", "timed_out", "wait",
    )  # fmt: skip

    def __init__(self, number: int, name: str, leave: Callable[[], None]) -> None:
        """Make thread ``number`` of the run; ``leave`` gives the baton to the controller."""
        self.number = number
        self.name = name
        self.leave = leave
        self.gate = _gate()
        self.gate.acquire()
        self.ident = 0
        self.ready = True
        self.done = False
        self.timed_out = False
        self.real = 0
        """Above 0: it uses real locks, as the machinery of threads does."""
        self.wait = 0
        """The number of its wait: what was arranged for an earlier one no longer counts."""
        self.deadline: float | None = None
        self.doing = "begins"
        self.joiners: list[Task] = []
        self.steps = 0
        self.strikes = 0

    def __repr__(self) -> str:
        return f"{self.number}:{self.name}"

    def strike(self) -> NoReturn:
        """Raise Killed in the calling thread, now and again as soon as it goes on.

        Code of the library outlives an exception wherever it strikes (``except BaseException`` and
        on with the loop), as it must. So the next call of any function in this thread raises again.
        """
        self.strikes += 1
        if self.strikes > MOST_STRIKES:
            self.done = True
            self.leave()
            self.gate.acquire()  # for ever: it is a daemon, and has nothing to say any more
        sys.settrace(_refuse)
        raise Killed


def _refuse(frame: FrameType, _event: str, _argument: object) -> None:
    """Refuse a call, but what Python itself calls as things go; it traces no further ones then."""
    code = frame.f_code
    name = frame.f_globals.get("__name__", "")
    own = name in _PYTHONS or name.startswith(_HERE) or code.co_name == "__del__"
    if not own and not code.co_flags & _CLOSED:
        raise Killed


_HERE: Final = __name__.rpartition(".")[0]
_PYTHONS: Final = ("_weakrefset", "weakref")
_CLOSED: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""What is run once more when it is freed: to close it."""
