"""What stands on one page: the cells of a tree, and the values of a row."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from .image import Image

LEAF: Final = 13
INTERIOR: Final = 5
"""Pages of a table whose rows have numbers."""
KEY_LEAF: Final = 10
KEY_INTERIOR: Final = 2
"""Pages of an index, or of a table that is kept by its key; both kinds hold rows."""
_INTERIORS: Final = (INTERIOR, KEY_INTERIOR)
_KEYED: Final = (KEY_LEAF, KEY_INTERIOR)
_LEAST: Final = 4
"""Bytes that a cell takes at least."""
_MOST_COLUMNS: Final = 64
"""More than any table of ours has."""
_REAL: Final = 7
_CONSTANTS: Final = {0: None, 8: 0, 9: 1}
"""The serial types that are a value by themselves."""
_FIRST_TEXT: Final = 12
_MORE: Final = 0x80
"""The bit of a byte which says that a number goes on."""
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""The serial types of whole numbers, and their bytes."""


class Damaged(Exception):
    """Say that bytes make no sense."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a page."""

    number: int
    """The number of the row; 0 where rows are kept by their key."""
    values: tuple[Any, ...]
    """Numbers, bytes of texts as ``str``, bytes, None; as they are stored."""
    overflow: tuple[int, ...] = ()
    """The pages on which its values go on."""
    bytes: int = 0
    """What it takes on its own page."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a tree."""

    number: int
    kind: int
    cells: tuple[Cell, ...]
    children: tuple[int, ...]
    faults: tuple[str, ...]
    """What of it makes no sense."""

    @property
    def keyed(self) -> bool:
        """Whether its rows are kept by their key."""
        return self.kind in _KEYED


def read_page(
    image: Image, number: int, kind: int = 0, *, taken: AbstractSet[int] = frozenset()
) -> Page | None:
    """Return a page as one of a tree; None if it is none, or not of the ``kind`` it should be.

    No row goes on on a page that is ``taken`` by another, nor two of this page on the same: so what
    is read for one page of nonsense is never more than the file. Only cells that the page itself
    lists are looked at: between them old copies may be left of what was replaced or erased.
    """
    data = image.page(number)
    start = 100 if number == 1 else 0
    kind = kind or data[start]
    wide = 12 if kind in _INTERIORS else 8
    if kind not in (LEAF, INTERIOR, KEY_LEAF, KEY_INTERIOR):
        return None
    (count,) = struct.unpack_from(">H", data, start + 3)
    if start + wide + 2 * count > len(data):
        return None
    cells: list[Cell] = []
    children: list[int] = []
    faults: list[str] = []
    used: set[int] = set()
    filled = 0
    first = start + wide
    source = _Overflow(image, taken, used)
    for at in struct.unpack_from(f">{count}H", data, first):
        try:
            if not first + 2 * count <= at < len(data) - 3:
                raise Damaged("it is not on the page")  # noqa: TRY301 - a fault as any other
            children += struct.unpack_from(">I", data, at) if kind in _INTERIORS else ()
            if kind != INTERIOR:
                cells.append(_cell(source, data, at, kind))
                filled += max(cells[-1].bytes, _LEAST)
        except (Damaged, struct.error, IndexError) as error:
            faults.append(f"cell at {at}: {error}")
    if kind in _INTERIORS:
        children += struct.unpack_from(">I", data, start + 8)
    if not faults and kind != INTERIOR and filled != _room(data, start):
        faults.append("its cells are not all that is on it")
    return Page(number, kind, tuple(cells), tuple(children), tuple(faults))


def _room(data: bytes, start: int) -> int:
    """Return the bytes of a page that its cells should fill: less than that, and some are missing.

    -1 where its list of free places makes no sense.
    """
    free, _, first, fragments = struct.unpack_from(">HHHB", data, start + 1)
    room = int(len(data) - (first or 65536) - fragments)
    while free:
        if free + 4 > len(data):
            return -1
        following, size = struct.unpack_from(">HH", data, free)
        room -= size
        if following and following <= free:
            return -1
        free = following
    return room


def _cell(overflow: _Overflow, data: bytes, at: int, kind: int) -> Cell:
    begin = at
    if kind == KEY_INTERIOR:
        at += 4
    size, at = _varint(data, at)
    number = 0
    if kind == LEAF:
        number, at = _varint(data, at)
        number -= (number >> 63) << 64
    payload, pages, local = _payload(overflow, data, at, size, kind)
    return Cell(number, tuple(_values(payload)), pages, at + local - begin)


def _payload(
    overflow: _Overflow, data: bytes, at: int, size: int, kind: int
) -> tuple[bytes, tuple[int, ...], int]:
    """Return the bytes of a row, the pages on which it goes on, and what it takes on its own."""
    usable = overflow.image.page_size
    most = usable - 35 if kind == LEAF else (usable - 12) * 64 // 255 - 23
    if size <= most:
        if at + size > len(data):
            raise Damaged("it is longer than its page")
        return data[at : at + size], (), size
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    local = local if local <= most else least
    (following,) = struct.unpack_from(">I", data, at + local)
    rest, pages = overflow.read(following, size - local)
    return data[at : at + local] + rest, pages, local + 4


@dataclass(frozen=True, slots=True)
class _Overflow:
    """Read the rest of rows that are longer than their place on a page."""

    image: Image
    taken: AbstractSet[int]
    used: set[int]

    def read(self, following: int, size: int) -> tuple[bytes, tuple[int, ...]]:
        """Return so many bytes, and the pages on which they are."""
        room = self.image.page_size - 4
        if size > self.image.pages * room:
            raise Damaged("it is longer than the file")
        parts: list[bytes] = []
        pages: list[int] = []
        while size > 0:
            there = 1 < following <= self.image.pages
            if not there or following in self.used or following in self.taken:
                raise Damaged(f"it goes on on page {following:,}, which is not its own")
            self.used.add(following)
            pages.append(following)
            page = self.image.page(following)
            parts.append(page[4 : 4 + size])
            size -= room
            (following,) = struct.unpack_from(">I", page)
        return b"".join(parts), tuple(pages)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for used in range(8):
        byte = data[at + used]
        value = value << 7 | byte & 0x7F
        if byte < _MORE:
            return value, at + used + 1
    return value << 8 | data[at + 8], at + 9


def _values(payload: bytes) -> Iterator[Any]:
    """Iterate over the values of a row; Damaged if it is none."""
    end, at = _varint(payload, 0)
    types: list[int] = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    if at != end or len(types) > _MOST_COLUMNS:
        raise Damaged("it is no row")
    for kind in types:
        value, at = _value(payload, at, kind)
        yield value
    if at != len(payload):
        raise Damaged("its values are shorter than it is")


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        end = at + _INTEGERS[kind]
        value: Any = int.from_bytes(payload[at:end], signed=True)
    elif kind == _REAL:
        end = at + 8
        (value,) = struct.unpack_from(">d", payload, at)
    elif kind >= _FIRST_TEXT:
        end = at + (kind - _FIRST_TEXT) // 2
        raw = payload[at:end]
        value = raw.decode(errors="replace") if kind % 2 else raw
    elif kind in _CONSTANTS:
        return _CONSTANTS[kind], at
    else:
        raise Damaged("a value has a type that is none")
    if end > len(payload):
        raise Damaged("a value is longer than its row")
    return value, end
