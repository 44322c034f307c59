"""A keyed collection in an agent's state whose cost is the entries touched, not its size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Final, Generic, Protocol, Self, TypeVar, cast

import msgspec

from ..codec.codec import IMMUTABLE, Codec, codec_of
from ..codec.exact import SMALLEST_INT
from ..errors import StateError

K = TypeVar("K", str, int)
V = TypeVar("V")

PAGE: Final = 512
"""Entries read from the store at a time when a map is iterated."""
KEPT: Final = 2048
"""Entries remembered in memory per generation once the store has them."""


_LARGEST_KEY: Final = 2**63 - 1
_LONE: Final = re.compile("[\ud800-\udfff]")


class _Deleted:
    """Mark an entry deleted in this turn."""


_DELETED: Final = _Deleted()


class MapReader(Protocol):
    """Read the durable entries of one map."""

    def entry(self, key: str | int) -> str | None:
        """Return the JSON text of an entry, verified, or None."""
        ...

    def page(self, after: str | int | None, limit: int) -> list[tuple[str | int, str]]:
        """Return up to ``limit`` entries with keys greater than ``after``, in key order."""
        ...

    def count(self) -> int:
        """Return the number of entries once everything this agent committed is durable."""
        ...


class Map(MutableMapping[K, V], Generic[K, V]):
    """Hold values by key (``str`` or 64-bit ``int``); a save writes the entries that changed.

    Declared as ``owners: Map[str, str] = Map.field()``. Entries are read on demand. A mutable value
    that was read may be changed in place: it is compared when the turn ends. Iteration goes in key
    order and reads the store page by page. Only the first ``len()`` counts in the store.
    """

    __slots__ = (
        "_codec", "_key_type", "_kept", "_length", "_length_committed", "_loose",
        "_mark", "_older", "_own", "_path", "_reader", "_turn", "_was",
    )  # fmt: skip

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        """Make a map that lives in memory only, until a system gives it a place in a store."""
        self._codec: Codec[V] = codec_of(object)  # type: ignore[assignment]
        self._key_type: type | None = None
        self._path = "map"
        self._reader: MapReader | None = None
        # What is known of committed entries: text, or None for "no such entry". Two generations:
        # the older one is dropped when the newer is full and everything in the older is durable.
        self._kept: dict[K, str | None] = {}
        self._older: dict[K, str | None] = {}
        self._mark = 0
        # Keys committed to this object that no commit on its way to the store holds yet.
        self._loose: set[K] = set()
        self._turn: dict[K, V | _Deleted] = {}
        # The stored texts of what this turn has read and may change.
        self._was: dict[K, str] = {}
        # Keys of which nothing is stored that the declared type does not know.
        self._own: set[K] = set()
        self._length: int | None = 0
        self._length_committed: int | None = 0
        if entries:
            self.update(entries)

    @classmethod
    def field(cls) -> Self:
        """Declare a state field that starts as an empty map."""
        field: Self = msgspec.field(default_factory=cls)
        return field

    @classmethod
    def bound(cls, codec: Codec[V], key_type: type, path: str, reader: MapReader) -> Self:
        """Return a map whose durable entries ``reader`` fetches on demand."""
        mapping = cls()
        mapping._codec = codec
        mapping._key_type = key_type
        mapping._path = path
        mapping._reader = reader
        mapping._length = mapping._length_committed = None
        return mapping

    def __getitem__(self, key: K) -> V:
        if not _storable(key):
            raise KeyError(key)
        value = self._turn.get(key, self)
        if value is self:
            text = self._committed(key)
            if text is None:
                raise KeyError(key)
            value = self._codec.load(text, self._path, key)
            if value.__class__ not in IMMUTABLE:
                self._turn[key] = value
                self._was[key] = text
        if value is _DELETED:
            raise KeyError(key)
        return cast("V", value)

    def __setitem__(self, key: K, value: V) -> None:
        self._check_key(key)
        if self._length is not None and key not in self:
            self._length += 1
        self._turn[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        if self._length is not None:
            self._length -= 1
        self._turn[key] = _DELETED

    def __contains__(self, key: object) -> bool:
        if not _storable(key):
            return False
        known = cast("K", key)
        value = self._turn.get(known, self)
        if value is self:
            return self._committed(known) is not None
        return value is not _DELETED

    def __len__(self) -> int:
        if self._length is None:
            # What is not on its way to the store cannot be counted there: count it apart.
            stored = 0
            if self._reader is not None:
                stored = self._reader.count()
                for key in self._loose:
                    there = self._reader.entry(key) is not None
                    stored += (self._kept[key] is not None) - there
            for key, value in self._turn.items():
                there = self._committed(key) is not None
                stored += (value is not _DELETED) - there
            self._length = stored
        return self._length

    def __iter__(self) -> Iterator[K]:
        overlay = {**self._older, **self._kept}
        present = {key for key, text in overlay.items() if text is not None}
        for key, value in self._turn.items():
            overlay[key] = None
            (present.discard if value is _DELETED else present.add)(key)
        waiting = sorted(present, key=_order, reverse=True)
        for key in self._stored_keys():
            while waiting and _order(waiting[-1]) <= _order(key):
                yield waiting.pop()
            if key not in overlay:
                yield key
        yield from reversed(waiting)

    def clear(self) -> None:
        """Delete every entry; costs one deletion per entry."""
        for key in list(self):
            del self[key]

    def __repr__(self) -> str:
        size = "?" if self._length is None else f"{self._length:,}"
        return f"Map(<{size} entries>)"

    def _stored_keys(self) -> Iterator[K]:
        after: str | int | None = None
        while self._reader is not None:
            page = self._reader.page(after, PAGE)
            if not page:
                return
            for stored, text in page:
                key = cast("K", stored)
                # A page read ahead saves the look-up of each value, but never replaces newer news.
                if len(self._kept) < KEPT and key not in self._older:
                    self._kept.setdefault(key, text)
                yield key
            after = page[-1][0]

    def _committed(self, key: K) -> str | None:
        try:
            return self._kept[key]
        except KeyError:
            pass
        if key in self._older:
            text = self._older[key]
        elif self._reader is None:
            return None
        else:
            text = self._reader.entry(key)
        self._kept[key] = text
        return text

    def _check_key(self, key: object) -> None:
        if self._key_type is not None and key.__class__ is not self._key_type:
            problem = f"the key {key!r} must be of type {self._key_type.__name__}"
            raise StateError(self._path, problem)
        if not _storable(key):
            raise StateError(self._path, _unstorable(key))

    # What the state tracker calls, at turn boundaries only.

    def changed(self) -> bool:
        """Tell whether any entry was written, deleted, or read in a form that can be changed."""
        return bool(self._turn)

    def pending(self) -> tuple[list[tuple[K, str]], list[K]]:
        """Return entries to write as ``(key, text)``, and keys to delete; may raise StateError."""
        puts: list[tuple[K, str]] = []
        deletes: list[K] = []
        for key, value in self._turn.items():
            if value is _DELETED:
                deletes.append(key)
                continue
            text = self._codec.encode(cast("V", value), self._path, key)
            if text == self._kept.get(key):
                continue
            was = self._was.get(key)
            if was is not None:
                text = self._over(key, was, text)
            if text != was:
                puts.append((key, text))
        return puts, deletes

    def _over(self, key: K, was: str, text: str) -> str:
        """Return what to store of an entry that was read as ``was``; see ``Codec.over``."""
        if key in self._own:
            return text
        seen = self._codec.seen(was, key)
        if seen == was:
            self._own.add(key)  # what this map writes from now on is of this type as well
        return self._codec.over(was, seen, text)

    def commit(self, puts: list[tuple[K, str]], deletes: list[K]) -> None:
        """Take ``puts`` and ``deletes``, as pending() gave them, as committed."""
        self._kept.update(puts)
        self._kept.update(dict.fromkeys(deletes))
        if self._reader is not None:
            self._loose.update(key for key, _ in puts)
            self._loose.update(deletes)
        self._length_committed = self._length
        self._turn.clear()
        self._was.clear()

    def rollback(self) -> None:
        """Forget every change since the last committed turn."""
        self._turn.clear()
        self._was.clear()
        self._length = self._length_committed

    def trim(self, last: int, durable: int) -> None:
        """Forget entries that the store has.

        ``last`` is this agent's latest commit, ``durable`` the latest sequence on disk.
        """
        self._loose.clear()
        if len(self._own) > KEPT:
            self._own.clear()
        if len(self._kept) > KEPT and self._mark <= durable and self._reader is not None:
            # Invariant: every entry in _older was committed up to _mark, so the store has it.
            self._older = self._kept
            self._kept = {}
            self._mark = last


def _storable(key: object) -> bool:
    """Tell whether a store can hold an entry of this key; only then is it looked for."""
    if type(key) is str:
        return key.isascii() or not _LONE.search(key)
    return type(key) is int and SMALLEST_INT <= key <= _LARGEST_KEY


def _unstorable(key: object) -> str:
    if type(key) is str:
        return f"the key {key!r} has a lone surrogate"
    if type(key) is int:
        return f"the key {key} is beyond 64 bits"
    return f"the key {key!r} must be a str or an int, and of no class made from them"


def _order(key: str | int) -> tuple[bool, str | int]:
    """Sort integers before text, as the store does."""
    return isinstance(key, str), key
