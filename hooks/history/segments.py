"""Executions of hooks in compressed blocks: one by one they would grow."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec

from ...persistence.errors import CorruptState
from ...persistence.records.tables import Row
from .record import HookRecord

LEVEL: Final = 6
_decode: Final = msgspec.json.Decoder(list[HookRecord]).decode


def pack(records: Sequence[HookRecord]) -> Row:
    """Return executions, in the order of their commits, as the row of a segment."""
    text = msgspec.json.encode(list(records))
    words = array("I", sorted({word for record in records for word in _words_of(record)}))
    return (
        records[0].sequence, records[-1].sequence, min(record.time for record in records),
        max(record.time for record in records), len(records), len(text),
        max(record.weight for record in records), words.tobytes(), zlib.compress(text, LEVEL),
    )  # fmt: skip


def unpack(row: Row) -> list[HookRecord]:
    """Return a segment's executions; CorruptState if they cannot be read."""
    try:
        return _decode(zlib.decompress(_bytes(row[8])))
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise CorruptState(f"hook segment {row[0]!r}", str(error)) from error


def may_hold(row: Row, *words: str) -> bool:
    """Tell whether a segment may have executions with all of some words."""
    held = set(array("I", _bytes(row[7])))
    return all(_hashed(word) in held for word in words)


def words_of(
    *, hook: str | None = None, kind: str | None = None, key: str | None = None,
    correlation: int | None = None, outcome: str | None = None,
) -> list[str]:  # fmt: skip
    """Return the words by which segments are found that may have what is looked for."""
    words = []
    if hook is not None:
        words.append(f"h{hook}")
    if kind is not None:
        words.append(f"k{kind}" if key is None else f"a{kind}/{key}")
    if correlation is not None:
        words.append(f"c{correlation}")
    if outcome is not None:
        words.append(f"o{outcome}")
    return words


def _words_of(record: HookRecord) -> list[int]:
    words = words_of(
        hook=record.hook, kind=record.kind, correlation=record.correlation, outcome=record.outcome
    )
    return [_hashed(word) for word in (*words, f"a{record.kind}/{record.key}")]


def _hashed(word: str) -> int:
    return zlib.crc32(word.encode())


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
