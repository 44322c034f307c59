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
from .record import HookRecord, as_json

POINT: Final = "turn"
"""Under which a recorded turn stands in the history, beside the executions of hooks."""


UNAWAITED: Final = "it was not waited for"
"""The error of an ask, or an awaited call, that had not ended when the turn did or it was left."""


class OutsideCall(msgspec.Struct, frozen=True, array_like=True):
    """A call of something outside of the turn, and what came of it."""

    name: str
    result: str
    """JSON."""
    error: str
    """Empty if there was none, else the class and the text of what was raised."""
    cause: str = ""
    """The class of that as ``module:name``."""
    args: str = "[]"
    """What it was made with: JSON."""
    awaited: bool = False
    """It was awaited."""
    nth: int = 0
    """Which call of that name it was, from 1, as they began; attempts of one call share it."""


class HookAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a hook of the system has answered in the turn, or that it failed closed."""

    point: str
    nth: int
    """At which of the times hooks were asked there, from 1: for that name, in that call."""
    hook: str
    priority: int
    verb: str
    """``replace``, ``skip``, ``cancel``, ``retry``, ``redirect``, ``fork``, or ``failed``."""
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
    message: int
    cause: int = 0
    correlation: int = 0
    attempt: int = 1
    asked: bool = False
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
    result: str = "null"
    """JSON; of an error the class and the text."""
    failed: bool = False
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


_decode: Final = msgspec.json.Decoder(Recording).decode


def recording_in(record: HookRecord) -> Recording:
    """Return the turn that a record of the history holds; CorruptState if it holds none."""
    try:
        return _decode(record.context)
    except msgspec.MsgspecError as error:
        raise CorruptState(f"recorded turn {record.id}", str(error)) from error


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
        "_chains", "_clock", "_counts", "_random", "answers", "asks", "calls", "exact", "message",
        "moments", "numbers", "reads", "seed", "started", "unsaved", "_uses",
    )  # fmt: skip

    last = False

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        """Begin a turn."""
        self._clock = clock
        self._random: random.Random | None = None
        self.seed = seed
        self.started = clock()
        self.moments: list[float] = []
        self.calls: list[CallPlace] = []
        """Calls outside, as they began."""
        self._counts: dict[str, int] = {}
        self.asks: list[tuple[str, Any]] = []
        self.reads: dict[tuple[str, tuple[Any, ...]], list[Any] | None] = {}
        self.numbers: list[int] = []
        self.message: tuple[str, str] = ("", "")
        """The method that was called, and the message as it is stored."""
        self.exact = True
        self.unsaved = False
        self._chains: dict[tuple[str, str, int], int] = {}
        """How often hooks were asked, by point, name and call."""
        self.answers: list[HookAnswer] = []
        self._uses: dict[tuple[int, tuple[str, str, str], str | None, bool], None] = {}

    def now(self) -> float:
        """Return the clock's time, and keep it."""
        self.moments.append(self._clock())
        return self.moments[-1]

    def randomness(self) -> random.Random:
        """Return randomness from a seed that is kept."""
        if self._random is None:
            self._random = random.Random(self.seed)  # noqa: S311 - to be repeated
        return self._random

    def number(self, draw: Callable[[], int]) -> int:
        """Return a number, and keep it."""
        self.numbers.append(draw())
        return self.numbers[-1]

    def begin(self, name: str) -> CallPlace:
        """Begin a call outside: those of one name are told apart by the order of that.

        They end in any order where a handler awaits several at once.
        """
        nth = self._counts[name] = self._counts.get(name, 0) + 1
        place = CallPlace(name, nth)
        self.calls.append(place)
        return place

    def outside(self, name: str, call: Callable[[], Any], place: CallPlace | None = None) -> Any:  # noqa: ANN401
        """Make a call, and keep what it gives or raises; ``place``: if it has begun before."""
        place = place or self.begin(name)
        try:
            result = call()
        except Exception as error:
            place.made.append(raised(name, error, nth=place.nth))
            raise
        if hasattr(result, "__await__"):
            place.made.append(OutsideCall(name, "", UNAWAITED, awaited=True, nth=place.nth))
            return self._awaited(place, len(place.made) - 1, result)
        place.made.append(self._given(place, result))
        return result

    def _given(self, place: CallPlace, result: object, *, awaited: bool = False) -> OutsideCall:
        text = as_json(result)
        self.exact = self.exact and _is_same(text, result)
        return OutsideCall(place.name, text, "", awaited=awaited, nth=place.nth)

    async def _awaited(self, place: CallPlace, at: int, awaitable: Any) -> object:  # noqa: ANN401
        try:
            result = await awaitable
        except Exception as error:
            place.made[at] = raised(place.name, error, awaited=True, nth=place.nth)
            raise
        place.made[at] = self._given(place, result, awaited=True)
        return result

    def made(self) -> list[OutsideCall]:
        """Return what calls outside gave so far, as they began."""
        return [each for place in self.calls for each in place.made]

    def asking(self, point: str, name: str, call: int) -> HookPlace:
        """Return the place of hooks that are asked now."""
        here = point, name, call
        nth = self._chains[here] = self._chains.get(here, 0) + 1
        return HookPlace(*here, nth)

    def asked(self, name: str, future: Any, method: object) -> bool:  # noqa: ANN401, ARG002
        """Keep a future, to look at when the turn has ended."""
        self.asks.append((name, future))
        return False

    def saw(self, table: Table, key: tuple[Any, ...], row: Row | None) -> None:
        """Keep a row as it was seen first."""
        place = (table.name, key)
        if place not in self.reads:
            self.reads[place] = None if row is None else written(row)

    def judged(self, right: int, scope: tuple[str, str, str], key: str | None, ok: bool) -> None:  # noqa: FBT001 - as the guard says it
        """Keep a decision."""
        self._uses[right, scope, key, ok] = None

    @property
    def uses(self) -> list[tuple[int, list[str], str | None, bool]]:
        """The decisions, in the order in which each was first made."""
        return [(right, list(scope), key, ok) for right, scope, key, ok in self._uses]

    def replies(self) -> list[OutsideCall]:
        """Return what the asked have answered so far."""
        return [_answer(name, future) for name, future in self.asks]


def _is_same(text: str, result: object) -> bool:
    """Tell whether JSON gives back what a call gave; not for what compares in a way of its own."""
    try:
        return bool(msgspec.json.decode(text) == result)
    except Exception:  # noqa: BLE001 - anybody's __eq__
        return False


def raised(name: str, error: BaseException, *, awaited: bool = False, nth: int = 0) -> OutsideCall:
    """Return a call that raised, with what it takes to raise the same again."""
    cause = f"{type(error).__module__}:{type(error).__qualname__}"
    text = f"{type(error).__name__}: {error}"
    return OutsideCall(name, "", text, cause, as_json(error.args), awaited, nth)


def _answer(name: str, future: Any) -> OutsideCall:  # noqa: ANN401
    try:
        if not future.done():
            return OutsideCall(name, "", UNAWAITED)
        told: str = getattr(future, "told", "")
        return OutsideCall(name, told or as_json(future.get(timeout=0)), "")
    except Exception as error:  # noqa: BLE001 - what the other agent raised
        return raised(name, error)
