"""Checksums over every stored row: its primary key, and all that it says.

CRC-32, chained: the value goes over a start that stands for its place. A row found in another
place than it was written to fails like one whose value was changed. For one changed number or
name that is certain, as CRC-32 maps different starts to different sums; the multipliers are odd,
so no two numbers below 2**32 share a start.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from typing import Final, TypeVar

from .records import AgentRow, DeadLetter, Message, Timer

T = TypeVar("T")

_MASK: Final = 0xFFFFFFFF
_AGENT: Final = 0x9E3779B1
_POSITION: Final = 0x85EBCA6B
_BASE: Final = 0xC2B2AE35
"""Base fields have the columns of fields: a row of one is none of the other."""
_MAIL: Final = 0x27D4EB2F
_crc32: Final = zlib.crc32
_pack_journal: Final = struct.Struct("<qqqqdqqq").pack
_pack_head: Final = struct.Struct("<qqq").pack
_pack_mail: Final = struct.Struct("<qqqd").pack
_pack_timer: Final = struct.Struct("<d?d").pack
_pack_dead: Final = struct.Struct("<qqqdqd").pack


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


def of_commit(  # noqa: PLR0917 - a row has these columns
    sequence: int,
    agent: int,
    version: int,
    previous: int,
    time: float,
    name: str,
    message: int,
    cause: int,
    correlation: int,
    delta: str,
) -> int:
    """Return the checksum of a journal row."""
    numbers = _pack_journal(sequence, agent, version, previous, time, message, cause, correlation)
    return _crc32(delta.encode(), _crc32(numbers, _seed(name)))


def of_head(head: AgentRow) -> int:
    """Return the checksum of an agent's row, without its shape."""
    agent, kind, key, version, sequence, status, reason = head
    text = f"{kind}\0{key}\0{status}\0{reason}"
    return _crc32(text.encode(), _crc32(_pack_head(agent, version, sequence)))


def of_message(message: Message) -> int:
    """Return the checksum of a message's row."""
    number, kind, key, name, body, cause, correlation, sent = message
    text = f"{kind}\0{key}\0{name}\0{body}"
    return _crc32(text.encode(), _crc32(_pack_mail(number, cause, correlation, sent), _MAIL))


def of_timer(timer: Timer) -> int:
    """Return the checksum of a timer's row."""
    kind, key, name, method, body, due, interval, catch_up = timer
    text = f"{kind}\0{key}\0{name}\0{method}\0{catch_up}\0{body}"
    numbers = _pack_timer(due, interval is not None, interval or 0.0)
    return _crc32(text.encode(), _crc32(numbers))


def of_dead_letter(letter: DeadLetter) -> int:
    """Return the checksum of a dead letter's row."""
    number, kind, key, name, body, cause, correlation, sent, attempts, reason, died = letter
    text = f"{kind}\0{key}\0{name}\0{body}\0{reason}"
    numbers = _pack_dead(number, cause, correlation, sent, attempts, died)
    return _crc32(text.encode(), _crc32(numbers))


def intact(checksum: Callable[..., int], *row_and_crc: object) -> bool:
    """Tell whether a row, given with its checksum last, is as it was written.

    Damage may have changed the types of its values, too; those no checksum can be made of.
    """
    *row, crc = row_and_crc
    try:
        return checksum(*row) == crc
    except (TypeError, AttributeError, ValueError, struct.error):
        return False


def intact_record(checksum: Callable[[T], int], record: T, crc: object) -> bool:
    """Tell the same of a row that is a record."""
    return intact(checksum, record, crc)
