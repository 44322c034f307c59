"""Executions of hooks in compressed blocks: one by one they would grow."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ...persistence.errors import CorruptState
from ...persistence.records.tables import Row
from .record import HookRecord

SEGMENT: Final = 500
"""Executions a block takes, and those of one commit more."""
LEAST: Final = 100
"""Fewer are left as they are: small blocks do not shrink."""
LEVEL: Final = 1
_set: Final = msgspec.structs.force_setattr
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[HookRecord]).decode


def pack(records: Sequence[HookRecord], *, whole: bool = True) -> Row:
    """Return executions, in the order of their commits, as the row of a block.

    Without ``whole`` as they are, to be read and packed with others later.
    """
    text = _encode(records)
    times = [record.time for record in records]
    data = zlib.compress(text, LEVEL) if whole else text
    return (
        records[0].sequence, records[-1].sequence, min(times), max(times), len(records), len(text),
        max(record.weight for record in records), _words_of(records) if whole else b"", data,
    )  # fmt: skip


def is_whole(row: Row) -> bool:
    """Tell whether a block is packed as well as it can be."""
    return bool(row[7])


def unpack(row: Row) -> list[HookRecord]:
    """Return a block's executions; CorruptState if they cannot be read."""
    try:
        data = _bytes(row[8])
        records = _decode(data if data.startswith(b"[") else zlib.decompress(data))
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise CorruptState(f"hook segment {row[0]!r}", str(error)) from error
    if records and not records[0].sequence:  # of one commit, and written by an earlier release
        for position, record in enumerate(records):
            put_at(record, int(str(row[0])), position)
    return records


def cut(row: Row, behind: int, last: int) -> Row | None:
    """Return what a block has behind one commit and up to another; None if that is nothing."""
    if behind < int(str(row[0])) and int(str(row[1])) <= last:
        return row
    records = [record for record in unpack(row) if behind < record.sequence <= last]
    return pack(records, whole=is_whole(row)) if records else None


def put_at(record: HookRecord, sequence: int, position: int) -> None:
    """Give an execution its place; nobody else may know it yet."""
    _set(record, "sequence", sequence)
    if position:
        _set(record, "position", position)


def may_hold(row: Row, *words: str) -> bool:
    """Tell whether a block may have executions with all of some words."""
    held = set(array("I", _bytes(row[7])))
    return not held or all(_hashed(word) in held for word in words)


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


def _words_of(records: Iterable[HookRecord]) -> bytes:
    """Return the words by which executions are found, hashed."""
    places = {(record.hook, record.kind, record.key, record.outcome) for record in records}
    words = {f"c{correlation}" for correlation in {record.correlation for record in records}}
    for hook, kind, key, outcome in places:
        words |= {f"h{hook}", f"k{kind}", f"a{kind}/{key}", f"o{outcome}"}
    return array("I", map(_hashed, words)).tobytes()


def _hashed(word: str) -> int:
    return zlib.crc32(word.encode())


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
