"""Checksums over every stored row: its primary key, and all that it says.

CRC-32. A record goes in as a JSON array of its values. Values of states, of which there are most,
take a cheaper way, chained: the value goes over a start that stands for its place. A row found in
another place than it was written to fails like one whose value was changed. For one changed number
or name that is certain, as CRC-32 maps different starts to different sums; the multipliers are
odd, so no two numbers below 2**32 share a start.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

_MASK: Final = 0xFFFFFFFF
_AGENT: Final = 0x9E3779B1
_POSITION: Final = 0x85EBCA6B
_BASE: Final = 0xC2B2AE35
"""Base fields have the columns of fields: a row of one is none of the other."""
_crc32: Final = zlib.crc32
_encode: Final = msgspec.json.Encoder().encode


@functools.lru_cache(maxsize=4096)
def _seed(name: str) -> int:
    # The length, too: else a character could change from the name's end to the value's begin.
    text = name.encode()
    return _crc32(text) ^ (len(text) * _POSITION & _MASK)


def of_field(agent: int, field: str, value: str) -> int:
    """Return the checksum of a plain field's row, also of an agent's shape (field "")."""
    return _crc32(value.encode(), _seed(field) ^ (agent * _AGENT & _MASK))


def of_base(agent: int, field: str, value: str) -> int:
    """Return the checksum of a base field's row."""
    return of_field(agent, field, value) ^ _BASE


def of_item(agent: int, field: str, position: int, value: str) -> int:
    """Return the checksum of a log item's row."""
    place = _seed(field) ^ (agent * _AGENT & _MASK) ^ (position * _POSITION & _MASK)
    return _crc32(value.encode(), place)


def of_entry(agent: int, field: str, entry: str | int, value: str) -> int:
    """Return the checksum of a map entry's row; an integer is another entry than its digits."""
    place = _seed(field) ^ (agent * _AGENT & _MASK)
    if isinstance(entry, str):
        key = entry.encode()
    else:
        key, place = b"%d" % entry, place ^ _MASK
    return _crc32(value.encode(), _crc32(key, place) ^ len(key))


def of_record(record: Sequence[object]) -> int:
    """Return the checksum of a row that is a record: of the journal, a head, mail, a timer.

    Its values as JSON, in the order of its columns: exact, and no value can pass for another.
    """
    return _crc32(_encode(record))


_NUMBERS: Final[dict[Callable[..., int], tuple[int, ...]]] = {
    of_field: (0,), of_base: (0,), of_item: (0, 2), of_entry: (0,),
}  # fmt: skip
"""Where the numbers stand that a checksum is multiplied with."""


def intact(checksum: Callable[..., int], *row_and_crc: object) -> bool:
    """Tell whether a row, given with its checksum last, is as it was written.

    Damage may have changed the types of its values, too; those no checksum can be made of. A text
    in the place of a number least of all: it would be repeated that often, in gigabytes.
    """
    *row, crc = row_and_crc
    for at in _NUMBERS.get(checksum, ()):  # a plain loop: each row that is read goes through here
        if not isinstance(row[at], int):
            return False
    try:
        return checksum(*row) == crc
    except (TypeError, AttributeError, ValueError):
        return False


def intact_record(row: Sequence[object]) -> bool:
    """Tell the same of a row that is a record, its checksum last."""
    return intact(of_record, row[:-1], row[-1])
