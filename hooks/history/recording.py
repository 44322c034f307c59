"""A whole turn as it is recorded: what went in, what came out, so that it can run again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ...persistence.errors import CorruptState
from ...persistence.records.tables import Row, Table
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
    """Rows of shared tables that were looked at: the table, the key, the row."""
    sends: list[tuple[str, str, str, str]]
    """Messages it sent: kind, key, method, body."""
    timers: list[tuple[str, str, str, float | None]]
    """Timers it set: name, method, body, interval; an empty method for one that it cancelled."""
    result: str
    """JSON; of an error the class and the text."""
    failed: bool
    exact: bool = True
    """Whether everything could be recorded as it was."""


_decode: Final = msgspec.json.Decoder(Recording).decode


def recording_in(record: HookRecord) -> Recording:
    """Return the turn that a record of the history holds; CorruptState if it holds none."""
    try:
        return _decode(record.context)
    except msgspec.MsgspecError as error:
        raise CorruptState(f"recorded turn {record.id}", str(error)) from error


class Tape(Protocol):
    """What a turn takes from outside of its agent's state, live or as it was recorded."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def randomness(self) -> random.Random:
        """Return the turn's own source of randomness."""
        ...

    def outside(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what a call outside gives; an awaitable if that is one."""
        ...

    def asked(self, name: str, future: Any) -> None:  # noqa: ANN401 - a Future is above
        """Take note of an ask."""
        ...

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Take note of a shared row that was looked at."""
        ...


class Recorder:
    """Take down what a turn takes from outside (a Tape)."""

    __slots__ = (
        "_clock",
        "_random",
        "asks",
        "exact",
        "moments",
        "reads",
        "seed",
        "started",
        "what",
    )

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        """Begin a turn."""
        self._clock = clock
        self._random: random.Random | None = None
        self.seed = seed
        self.started = clock()
        self.moments: list[float] = []
        self.what: list[OutsideCall] = []
        self.asks: list[tuple[str, Any]] = []
        self.reads: dict[tuple[str, tuple[Any, ...]], list[Any] | None] = {}
        self.exact = True

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

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Keep a row as it was seen first."""
        self.reads.setdefault((table.name, key), None if row is None else list(row))

    def answers(self) -> list[OutsideCall]:
        """Return what the asked have answered so far."""
        return [_answer(name, future) for name, future in self.asks]


class Playback:
    """Give a turn what was recorded (a Tape); nothing is called."""

    def __init__(self, recording: Recording, live: Callable[[str, Callable[[], Any]], Any] | None):
        """Play a recording; ``live`` makes the calls outside instead, where that is allowed."""
        self._recording = recording
        self._live = live
        self._moments = iter(recording.moments)
        self._outside: dict[str, list[OutsideCall]] = {}
        for call in recording.outside:
            self._outside.setdefault(call.name, []).append(call)
        self._random = random.Random(recording.seed)  # noqa: S311 - to be repeated
        self.missing: list[str] = []
        """What was asked for and is not in the recording."""

    def now(self) -> float:
        """Return the next moment of the recording; behind its end, the moment the turn began."""
        moment = next(self._moments, None)
        if moment is None:
            self.missing.append("now()")
            return self._recording.started
        return moment

    def randomness(self) -> random.Random:
        """Return the same randomness."""
        return self._random

    def outside(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what the call has given; NotRecorded if there was none of that name."""
        calls = self._outside.get(name)
        if calls:
            return played(calls.pop(0))
        if self._live is not None:
            return self._live(name, call)
        self.missing.append(f"outside({name!r})")
        raise NotRecorded(f"the recorded turn made no call {name!r}, and a replay makes none")

    def asked(self, name: str, future: Any) -> None:  # noqa: ANN401
        """Nobody is asked in a replay."""

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Nothing is taken down in a replay."""


class NotRecorded(Exception):
    """Say that a replayed turn wanted what its recording does not have."""


class RecordedError(Exception):
    """Stand for an error that a recorded call outside has raised."""


def played(call: OutsideCall) -> object:
    """Return what a recorded call gave; RecordedError where it raised."""
    if call.error:
        raise RecordedError(call.error)
    return msgspec.json.decode(call.result)


def _answer(name: str, future: Any) -> OutsideCall:  # noqa: ANN401
    try:
        if not future.done():
            return OutsideCall(name, "", "it was not waited for")
        return OutsideCall(name, as_json(future.get(timeout=0)), "")
    except Exception as error:  # noqa: BLE001 - what the other agent raised
        return OutsideCall(name, "", _error(error))


def _error(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
