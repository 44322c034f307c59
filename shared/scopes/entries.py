"""One key of a scope: its row, and the steps that change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from ...persistence.codec.codec import Codec
from ...persistence.codec.exact import LARGEST_INT, SMALLEST_INT
from ...persistence.errors import StateError
from ...persistence.records.tables import Key, Row
from ..ledger.unit import Step

T = TypeVar("T")

KEY: Final = 3
VALUE: Final = 4
VERSION: Final = 5
SEQUENCE: Final = 6
EXPIRES: Final = 7


class _Absent:
    """Stand for a key that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""What ``compare_and_set`` expects of a key that must not be there."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A value with its version, as it was when it was read."""

    value: T
    version: int
    """How often the key was written since it was created."""
    sequence: int
    """The place of its last write in the order of commits; 0 for one this turn has written."""
    expires: float | None
    """Seconds since the epoch."""


class Clerk:
    """Make steps for keys; knows what has expired."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Tell the time by ``now``, seconds since the epoch."""
        self._now = now

    def living(self, row: Row | None) -> Row | None:
        """Return a row unless it has expired."""
        if row is None or row[EXPIRES] is None or row[EXPIRES] > self._now():  # type: ignore[operator]
            return row
        return None

    def deadline(self, ttl: float | None) -> float | None:
        """Return when something expires that lives ``ttl`` seconds from now."""
        if ttl is None:
            return None
        number: object = ttl  # whatever a caller gives
        if not isinstance(number, int | float) or not 0 < number < 10**10:
            problem = (
                f"a time to live of {ttl!r} seconds makes no sense; give a number above 0 and"
                " below 10,000,000,000"
            )
            raise StateError("ttl", problem)
        return self._now() + float(ttl)

    def put(
        self, key: Key, text: str, expires: float | None, codec: Codec[object] | None = None
    ) -> Step:
        """Write a value, whatever was there; what ``codec`` does not know of that stays."""
        return partial(self._put, key, text, expires, codec)

    def _put(
        self,
        key: Key,
        text: str,
        expires: float | None,
        codec: Codec[object] | None,
        row: Row | None,
    ) -> Row:
        before = row if row is None or row[EXPIRES] is None else self.living(row)
        if before is None:
            return (*key, text, 1, 0, expires)
        new = text
        if codec is not None and codec.records:
            was = str(before[VALUE])
            new = codec.over(was, codec.seen(was), text)
        return (*key, new, before[VERSION] + 1, 0, expires)  # type: ignore[operator]

    def when(self, holds: Callable[[Row | None], bool], step: Step, told: list[bool]) -> Step:
        """Take ``step`` where a condition holds of the living row; ``told`` learns whether."""

        def conditional(row: Row | None) -> Row | None:
            told[:] = [holds(self.living(row))]
            return step(row) if told[0] else row

        return conditional

    def add(self, key: Key, by: int, expires: float | None, told: list[int], check: Check) -> Step:
        """Add to an integer; ``told`` learns the sum, ``check`` refuses one that does not fit.

        StateError if there is no integer to add to. Its time to live stays unless a new is given.
        """

        def step(row: Row | None) -> Row | None:
            before = self.living(row)
            value = 0 if before is None else _integer(str(before[VALUE]), check.path)
            if not SMALLEST_INT <= value + by <= LARGEST_INT:
                raise StateError(check.path, "the sum is beyond 64 bits")
            check(str(value + by))
            told[:] = [value + by]
            until = before[EXPIRES] if expires is None and before is not None else expires
            return self.put(key, str(value + by), until)(row)  # type: ignore[arg-type]

        return step


class Check(Protocol):
    """Refuse a text that does not fit its key."""

    path: str
    """How an error names the key."""

    def __call__(self, text: str) -> None:
        """Raise StateError if it does not fit."""
        ...


def gone(_row: Row | None) -> Row | None:
    """Delete a row."""
    return None


def entry_of(row: Row, codec: Codec[T], path: str) -> Entry[T]:
    """Return a row as an entry; CorruptState if its value is not of the type."""
    value = codec.load(str(row[VALUE]), path)
    return Entry(value, row[VERSION], row[SEQUENCE], row[EXPIRES])  # type: ignore[arg-type]


def addend(by: object, path: str) -> int:
    """Return what is to be added; StateError if it is no integer."""
    if not isinstance(by, int) or isinstance(by, bool):
        raise StateError(path, f"{by!r:.40} is no integer; only integers can be added")
    return by


def _integer(text: str, path: str) -> int:
    # By its form: 5.0 is no integer, although it equals one. The value is not shown: who may add
    # may not be who may read.
    if not text.removeprefix("-").isdecimal():
        raise StateError(path, "holds no integer; nothing can be added to it")
    return int(text)
