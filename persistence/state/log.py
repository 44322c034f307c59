"""An append-only sequence in an agent's state whose cost is what was appended, not its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, Protocol, Self, TypeVar, overload

import msgspec

from ..codec.codec import Codec, codec_of

T = TypeVar("T")

PAGE: Final = 512
"""Items read from the store at a time when a log is iterated."""
KEPT: Final = 256
"""Items kept in memory once the store has them."""


class LogReader(Protocol):
    """Read the durable items of one log."""

    def items(self, start: int, stop: int) -> list[str]:
        """Return the JSON texts of items ``start`` up to ``stop``, verified."""
        ...


class Log(Sequence[T], Generic[T]):
    """Hold items in the order they were appended; they are never changed or removed.

    Declared as ``transcript: Log[str] = Log.field()``. Appending encodes the item at once, so an
    item that cannot be stored is refused on that line. Reading returns a fresh value each time:
    to change one is to change a copy. Length, indexing, slices and iteration read only what they
    return; nothing is loaded to append.
    """

    __slots__ = ("_codec", "_committed", "_mark", "_path", "_reader", "_start", "_texts")

    def __init__(self, items: Iterable[T] = ()) -> None:
        """Make a log that lives in memory only, until a system gives it a place in a store."""
        self._codec: Codec[T] = codec_of(object)  # type: ignore[assignment]
        self._path = "log"
        self._reader: LogReader | None = None
        self._start = 0  # position of the first item in _texts; those before are in the store
        self._texts: list[str] = []
        self._committed = 0
        self._mark: tuple[int, int] | None = None
        self.extend(items)

    @classmethod
    def field(cls) -> Self:
        """Declare a state field that starts as an empty log."""
        field: Self = msgspec.field(default_factory=cls)
        return field

    @classmethod
    def bound(cls, codec: Codec[T], path: str, length: int, reader: LogReader) -> Self:
        """Return a log of ``length`` durable items that ``reader`` fetches on demand."""
        log = cls()
        log._codec = codec
        log._path = path
        log._reader = reader
        log._start = log._committed = length
        return log

    def append(self, item: T) -> None:
        """Add one item; StateError if it cannot be stored exactly."""
        position = self._start + len(self._texts)
        self._texts.append(self._codec.encode(item, self._path, position))

    def extend(self, items: Iterable[T]) -> None:
        """Add items in order; none is added if one cannot be stored (StateError)."""
        before = len(self._texts)
        try:
            for item in list(items) if items is self else items:
                self.append(item)
        except BaseException:
            del self._texts[before:]
            raise

    def __len__(self) -> int:
        return self._start + len(self._texts)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step > 0:
                return self._read(start, max(start, stop))[::step]
            low, high = stop + 1, start + 1
            return self._read(low, max(low, high))[::step]
        length = len(self)
        position = index + length if index < 0 else index
        if not 0 <= position < length:
            message = f"{self._path} has {length} items, there is no item {index}"
            raise IndexError(message)
        return self._read(position, position + 1)[0]

    def __iter__(self) -> Iterator[T]:
        position = 0
        while position < len(self):
            page = self._read(position, min(position + PAGE, len(self)))
            yield from page
            position += len(page)

    def __reversed__(self) -> Iterator[T]:
        position = len(self)
        while position > 0:
            low = max(0, position - PAGE)
            yield from reversed(self._read(low, position))
            position = low

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Log | list | tuple):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Log(<{len(self):,} items>)"

    def _read(self, start: int, stop: int) -> list[T]:
        texts: list[str] = []
        if start < self._start and start < stop:
            if self._reader is None:
                message = "a log without a store lost its items"
                raise RuntimeError(message)
            texts += self._reader.items(start, min(stop, self._start))
        if stop > self._start:
            texts += self._texts[max(0, start - self._start) : stop - self._start]
        load, path = self._codec.load, self._path
        return [load(text, path, position) for position, text in enumerate(texts, start)]

    # What the state tracker calls, at turn boundaries only.

    def pending(self) -> tuple[int, list[str]]:
        """Return the position of the first uncommitted item and the uncommitted texts."""
        return self._committed, self._texts[self._committed - self._start :]

    def replace(self, position: int, text: str) -> None:
        """Give an uncommitted item another text: what is stored of it in place of a secret."""
        self._texts[position - self._start] = text

    def changed(self) -> bool:
        """Tell whether anything was appended since the last committed turn."""
        return self._start + len(self._texts) != self._committed

    def commit(self) -> None:
        """Take what was appended as committed."""
        self._committed = self._start + len(self._texts)

    def rollback(self) -> None:
        """Drop what was appended since the last committed turn."""
        del self._texts[self._committed - self._start :]

    def trim(self, last: int, durable: int) -> None:
        """Forget old items that the store has.

        ``last`` is this agent's latest commit, ``durable`` the latest sequence on disk.
        """
        if len(self._texts) <= KEPT:
            return
        if self._mark is None:
            self._mark = (self._committed, last)
        elif self._mark[1] <= durable:
            # Invariant: every item before the mark was part of a commit up to the mark's sequence.
            keep_from = max(self._start, self._mark[0] - KEPT // 2)
            del self._texts[: keep_from - self._start]
            self._start = keep_from
            self._mark = None
