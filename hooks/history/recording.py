"""A whole turn as it is recorded: what went in, what came out, so that it can run again."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import msgspec

from ...persistence.errors import CorruptState
from ...persistence.records.tables import Row, Table
from .outside import UNAWAITED, OutsideCall, is_raised_again, is_same, raised
from .record import HookRecord, as_json

POINT: Final = "turn"
"""Under which a recorded turn stands in the history, beside the executions of hooks."""


class HookAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a hook of the system has answered in the turn, or that it failed closed."""

    point: str
    nth: int
    """At which of the times hooks were asked there, from 1: for that name, in that call."""
    hook: str
    priority: int
    verb: str
    """``replace``, ``skip``, ``cancel``, ``hold``, ``retry``, ``redirect``, ``fork`` or
    ``failed``."""
    value: str
    """The data, value, reason, agent (kind and key), delay and attempts, or text: JSON."""
    called: str = ""
    """The method that other data of a message are for."""
    name: str = ""
    """What was at work: a method, a tool, a shared key."""
    call: int = 0
    """Which call of a tool or a model of that name, from 1, as they began; else 0."""


class Recording(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a turn was given and what it has seen; what it made stands in its commit."""

    name: str
    """What was called: a method, or "" for ``on_receive``."""
    body: str
    """The message as it is stored."""
    version: int
    """The agent's, before the turn."""
    result: str = "null"
    """JSON; of an error the class and the text."""
    cause: int = 0
    attempt: int = 1
    asked: bool = False
    failed: bool = False
    message: int = 0
    """Its id. This, the correlation and the start are kept once, by the record of the history."""
    correlation: int = 0
    started: float = 0.0
    """Seconds since the epoch."""
    seed: int = 0
    """Of ``self.random``."""
    moments: list[float] = []
    """What ``self.now()`` gave, in order."""
    outside: list[OutsideCall] = []
    """What ``self.outside`` gave, in order."""
    asks: list[OutsideCall] = []
    """What other agents answered, in the order in which they were asked: ``kind/key.method``."""
    reads: list[tuple[str, list[Any], list[Any] | None]] = []
    """Rows of shared tables that were looked at, one by one or in lists, and those that changes
    were made from: the table, the key, the row; bytes stand in a list, as base64."""
    sends: list[tuple[str, str, str, str]] = []
    """Messages it sent: kind, key, method, body."""
    timers: list[tuple[str, str, str, float | None]] = []
    """Timers it set: name, method, body, interval; an empty method for one that it cancelled."""
    exact: bool = True
    """Whether the message and what calls outside gave could be recorded as they were."""
    numbers: list[int] = []
    """Those it took for what it made, such as names of timers, in order."""
    held: list[list[Any]] = []
    """The agent's timers before the turn."""
    alarm: list[Any] | None = None
    """The timer that fell due, where one did."""
    steps: list[str] = []
    """What it wanted done with its agent behind it: ``pause``, ``stop``, ``delete``."""
    changes: list[tuple[str, list[Any], list[Any] | None]] = []
    """Rows of shared tables it wrote: the table, the key, the row or None."""
    uses: list[tuple[int, list[str], str | None, bool]] = []
    """Rights it was asked for: which, on what scope and key, and whether it had them."""
    answers: list[HookAnswer] = []
    """What hooks of the system made of it."""
    unsaved: bool = False
    """Whether its agent's state before it is in no store."""
    passed: list[str] = []
    """Agents whose hooks have handed the message on."""
    agent: int = 0
    """The agent's number: another of its name has another. 0 where it has no state yet, or where an
    earlier release has recorded it."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Recording).decode


def recording_in(record: HookRecord) -> Recording:
    """Return the turn that a record of the history holds; CorruptState if it holds none."""
    try:
        recording = _decode(record.context)
    except msgspec.MsgspecError as error:
        raise CorruptState(f"recorded turn {record.id}", str(error)) from error
    return msgspec.structs.replace(
        recording, message=record.message, correlation=record.correlation, started=record.time
    )


def recorded(recording: Recording) -> str:
    """Return a turn as the text that its record has."""
    return _encode(recording).decode()


def written(row: Row) -> list[Any]:
    """Return a row as it is recorded: bytes in a list, as base64."""
    return [[value] if isinstance(value, bytes) else value for value in row]


def row_of(values: list[Any]) -> Row:
    """Return a row that was recorded."""
    return tuple(base64.b64decode(v[0]) if isinstance(v, list) else v for v in values)


class CallPlace:
    """A call outside that a turn makes; several times, where hooks have it made again."""

    __slots__ = ("made", "name", "nth")

    def __init__(self, name: str, nth: int) -> None:
        """Stand for the ``nth`` call of a name."""
        self.name = name
        self.nth = nth
        self.made: list[OutsideCall] = []
        """What came of each time."""


class HookPlace(NamedTuple):
    """One of the times in a turn at which hooks are asked."""

    point: str
    name: str
    call: int
    nth: int


ASKED: Final[ContextVar[HookPlace | None]] = ContextVar("perdure_hooks_asked", default=None)
"""Where hooks are asked in this context, in a turn that is recorded or played."""


class Recorder:
    """Take down what a turn takes from outside of its agent's state."""

    __slots__ = (
        "_asks", "_calls", "_chains", "_clock", "_counts", "_draw", "_random", "_uses", "message",
        "reads", "started", "taken",
    )  # fmt: skip

    last = False

    def __init__(self, clock: Callable[[], float], draw: Callable[[], int]) -> None:
        """Begin a turn; ``draw`` gives a seed."""
        self._clock = clock
        self._draw = draw
        self._random: random.Random | None = None
        self.started = clock()
        self.message: tuple[str, str] = ("", "")
        """The method that was called, and the message as it is stored."""
        self.taken: dict[str, Any] = {}
        """By the fields of a recording; what the turn does not take is not there."""
        self.reads: dict[tuple[str, tuple[Any, ...]], list[Any] | None] = {}
        self._chains: dict[tuple[str, str, int], int] = {}
        """How often hooks were asked, by point, name and call."""
        self._calls: list[CallPlace] | None = None
        """Calls outside, as they began."""
        self._counts: dict[str, int] | None = None
        self._asks: list[tuple[str, Any]] | None = None
        self._uses: dict[tuple[int, tuple[str, str, str], str | None, bool], None] | None = None

    def take(self, field: str, value: object) -> None:
        """Add to a list of the recording."""
        self.taken.setdefault(field, []).append(value)

    def now(self) -> float:
        """Return the clock's time, and keep it."""
        moment = self._clock()
        self.take("moments", moment)
        return moment

    def randomness(self) -> random.Random:
        """Return randomness from a seed that is kept."""
        if self._random is None:
            self.taken["seed"] = seed = self._draw()
            self._random = random.Random(seed)  # noqa: S311 - to be repeated
        return self._random

    def number(self, draw: Callable[[], int]) -> int:
        """Return a number, and keep it."""
        number = draw()
        self.take("numbers", number)
        return number

    def begin(self, name: str) -> CallPlace:
        """Begin a call outside: those of one name are told apart by the order of that.

        They end in any order where a handler awaits several at once.
        """
        if self._calls is None or self._counts is None:
            self._calls, self._counts = [], {}
        nth = self._counts[name] = self._counts.get(name, 0) + 1
        place = CallPlace(name, nth)
        self._calls.append(place)
        return place

    def outside(self, name: str, call: Callable[[], Any], place: CallPlace | None = None) -> Any:  # noqa: ANN401
        """Make a call, and keep what it gives or raises; ``place``: if it has begun before."""
        place = place or self.begin(name)
        try:
            result = call()
        except Exception as error:
            place.made.append(self._raised(raised(name, error, nth=place.nth), error))
            raise
        if hasattr(result, "__await__"):
            place.made.append(OutsideCall(name, "", UNAWAITED, awaited=True, nth=place.nth))
            return self._awaited(place, len(place.made) - 1, result)
        place.made.append(self._given(place, result))
        return result

    def _given(self, place: CallPlace, result: object, *, awaited: bool = False) -> OutsideCall:
        text = as_json(result)
        if not is_same(text, result):
            self.taken["exact"] = False
        return OutsideCall(place.name, text, "", awaited=awaited, nth=place.nth)

    def _raised(self, call: OutsideCall, error: BaseException) -> OutsideCall:
        if not is_raised_again(call, error):
            self.taken["exact"] = False
        return call

    async def _awaited(self, place: CallPlace, at: int, awaitable: Any) -> object:  # noqa: ANN401
        try:
            result = await awaitable
        except Exception as error:
            call = raised(place.name, error, awaited=True, nth=place.nth)
            place.made[at] = self._raised(call, error)
            raise
        place.made[at] = self._given(place, result, awaited=True)
        return result

    def made(self) -> list[OutsideCall]:
        """Return what calls outside gave so far, as they began."""
        return [each for place in self._calls or () for each in place.made]

    def asking(self, point: str, name: str, call: int) -> HookPlace:
        """Return the place of hooks that are asked now."""
        here = point, name, call
        nth = self._chains[here] = self._chains.get(here, 0) + 1
        return HookPlace(*here, nth)

    def asked(self, name: str, future: Any, method: object) -> bool:  # noqa: ANN401
        """Keep a future, to look at when the turn has ended."""
        future.method = method
        if self._asks is None:
            self._asks = []
        self._asks.append((name, future))
        return False

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Keep a row as it was seen first."""
        place = (table.name, key)
        if place not in self.reads:
            self.reads[place] = None if row is None else written(row)

    def judged(self, right: int, scope: tuple[str, str, str], key: str | None, ok: bool) -> None:  # noqa: FBT001 - as the guard says it
        """Keep a decision, once, in the order in which they were made."""
        if self._uses is None:
            self._uses = {}
        self._uses[right, scope, key, ok] = None

    def _answer(self, name: str, future: Any) -> OutsideCall:  # noqa: ANN401
        try:
            if not future.done():
                return OutsideCall(name, "", UNAWAITED)
            future.get(timeout=0)
        except Exception as error:  # noqa: BLE001 - what the other agent raised
            return self._raised(raised(name, error), error)
        if not future.exact:
            self.taken["exact"] = False
        return OutsideCall(name, future.told, "")

    def all_taken(self) -> dict[str, Any]:
        """Return what the turn took, by the fields of a recording, when it has ended."""
        taken = self.taken
        if self._calls is not None:
            taken["outside"] = self.made()
        if self._asks is not None:
            taken["asks"] = [self._answer(name, future) for name, future in self._asks]
        if self._uses is not None:
            taken["uses"] = [(right, list(scope), key, ok) for right, scope, key, ok in self._uses]
        return taken
