"""A whole turn as it is recorded: what went in, what came out, so that it can run again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ...persistence.errors import CorruptState
from .record import HookRecord, as_json

POINT: Final = "turn"
"""Under which a recorded turn stands in the history, beside the executions of hooks."""


class OutsideCall(msgspec.Struct, frozen=True, array_like=True):
    """A call of something outside of the turn, and what came of it."""

    name: str
    result: str
    """JSON."""
    error: str
    """Empty if there was none, else the class and the text of what was raised."""


class Recording(msgspec.Struct, frozen=True):
    """What a turn was given and what it has seen; what it made stands in its commit."""

    name: str
    """What was called: a method, or "" for ``on_receive``."""
    body: str
    """The message as it is stored."""
    version: int
    """The agent's, before the turn."""
    message: int
    cause: int
    correlation: int
    attempt: int
    asked: bool
    started: float
    """Seconds since the epoch."""
    seed: int
    """Of ``self.random``."""
    moments: list[float]
    """What ``self.now()`` gave, in order."""
    outside: list[OutsideCall]
    """What ``self.outside`` gave, in order."""
    asks: list[OutsideCall]
    """What other agents answered, in the order in which they were asked: ``kind/key.method``."""
    reads: list[tuple[str, list[Any], list[Any] | None]]
    """Rows of shared tables that were read one by one: the table, the key, the row. What lists have
    shown is not among them."""
    sends: list[tuple[str, str, str, str]]
    """Messages it sent: kind, key, method, body."""
    timers: list[tuple[str, str, str, float | None]]
    """Timers it set: name, method, body, interval; an empty method for one that it cancelled."""
    result: str
    """JSON; of an error the class and the text."""
    failed: bool
    exact: bool = True
    """Whether the message could be recorded as it was."""


_decode: Final = msgspec.json.Decoder(Recording).decode


def recording_in(record: HookRecord) -> Recording:
    """Return the turn that a record of the history holds; CorruptState if it holds none."""
    try:
        return _decode(record.context)
    except msgspec.MsgspecError as error:
        raise CorruptState(f"recorded turn {record.id}", str(error)) from error


class Recorder:
    """Take down what a turn takes from outside of its agent's state."""

    __slots__ = ("_clock", "_random", "asks", "moments", "seed", "started", "what")

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        """Begin a turn."""
        self._clock = clock
        self._random: random.Random | None = None
        self.seed = seed
        self.started = clock()
        self.moments: list[float] = []
        self.what: list[OutsideCall] = []
        self.asks: list[tuple[str, Any]] = []

    def now(self) -> float:
        """Return the clock's time, and keep it."""
        self.moments.append(self._clock())
        return self.moments[-1]

    def randomness(self) -> random.Random:
        """Return randomness from a seed that is kept."""
        if self._random is None:
            self._random = random.Random(self.seed)  # noqa: S311 - to be repeated
        return self._random

    def outside(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Make a call, and keep what it gives or raises."""
        try:
            result = call()
        except Exception as error:
            self.what.append(OutsideCall(name, "", _error(error)))
            raise
        if hasattr(result, "__await__"):
            return self._awaited(name, result)
        self.what.append(OutsideCall(name, as_json(result), ""))
        return result

    async def _awaited(self, name: str, awaitable: Any) -> object:  # noqa: ANN401
        try:
            result = await awaitable
        except Exception as error:
            self.what.append(OutsideCall(name, "", _error(error)))
            raise
        self.what.append(OutsideCall(name, as_json(result), ""))
        return result

    def asked(self, name: str, future: Any) -> None:  # noqa: ANN401
        """Keep a future, to look at when the turn has ended."""
        self.asks.append((name, future))

    def answers(self) -> list[OutsideCall]:
        """Return what the asked have answered so far."""
        return [_answer(name, future) for name, future in self.asks]


class RecordedError(Exception):
    """Stand for an error that a recorded call outside has raised."""


def _answer(name: str, future: Any) -> OutsideCall:  # noqa: ANN401
    try:
        if not future.done():
            return OutsideCall(name, "", "it was not waited for")
        return OutsideCall(name, as_json(future.get(timeout=0)), "")
    except Exception as error:  # noqa: BLE001 - what the other agent raised
        return OutsideCall(name, "", _error(error))


def _error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
