"""Find good copies of stored values in the journal when the current ones are bad."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from .errors import CorruptState
from .records import QuarantineRow, StoredAgent, row_checksum
from .state import Layout
from .store import StoreReader


class JournalDelta(msgspec.Struct):
    """Decode a delta as the journal keeps it; values stay JSON."""

    set: dict[str, msgspec.Raw] = {}
    append: dict[str, tuple[int, list[msgspec.Raw]]] = {}
    put: dict[str, list[tuple[str | int, msgspec.Raw]]] = {}
    delete: dict[str, list[str | int]] = {}


read_delta: Final = msgspec.json.Decoder(JournalDelta).decode


@dataclass(frozen=True, slots=True)
class Restored:
    """The plain fields of an agent, verified, and what had to be set aside to get them."""

    fields: dict[str, str]
    quarantined: tuple[QuarantineRow, ...]


def restore(reader: StoreReader, stored: StoredAgent, layout: Layout) -> Restored:
    """Verify and try the plain fields of a stored agent, replacing bad ones from the journal.

    The replacement is the value the journal recorded for the same version, so nothing is lost.
    CorruptState when the journal has no good copy either; nothing is changed then.
    """
    good: dict[str, str] = {}
    bad: list[QuarantineRow] = []
    agent = stored.head.agent
    for field in layout.plain:
        if field.name not in stored.fields:
            continue
        text, crc = stored.fields[field.name]
        reason = _problem(field.name, text, crc, field.codec.decode)
        if reason is not None:
            bad.append(QuarantineRow(agent, field.name, text, reason, time.time()))
            where = f"{stored.head.kind}/{stored.head.key}, state.{field.name}"
            text = _field_from_journal(reader, agent, field.name, where, reason)
            reason = _problem(field.name, text, None, field.codec.decode)
            if reason is not None:
                raise CorruptState(where, f"{reason}; the journal's copy is no better")
        good[field.name] = text
    return Restored(good, tuple(bad))


def _problem(name: str, text: str, crc: int | None, decode: object) -> str | None:
    if crc is not None and row_checksum(name, text) != crc:
        return "its checksum does not match"
    try:
        decode(text)  # type: ignore[operator]
    except ValueError as error:
        return f"it does not decode: {error}"
    return None


def _field_from_journal(
    reader: StoreReader, agent: int, field: str, where: str, reason: str
) -> str:
    for _, delta in reader.history(agent, 2**62):
        value = read_delta(delta).set.get(field)
        if value is not None:
            return bytes(value).decode()
    base = reader.base_fields(agent).get(field)
    if base is None:
        raise CorruptState(where, f"{reason}, and the journal holds no copy of it any more")
    return base


def find_item(history: Iterable[tuple[int, str]], field: str, position: int) -> str | None:
    """Return the journal's copy of a log item, or None."""
    for _, text in history:
        start, items = read_delta(text).append.get(field, (0, []))
        if start <= position < start + len(items):
            return bytes(items[position - start]).decode()
        if items and position >= start + len(items):
            return None
    return None


def find_entry(history: Iterable[tuple[int, str]], field: str, entry: str | int) -> str | None:
    """Return the journal's latest copy of a map entry, or None."""
    for _, text in history:
        delta = read_delta(text)
        for key, value in reversed(delta.put.get(field, [])):
            if key == entry:
                return bytes(value).decode()
        if entry in delta.delete.get(field, []):
            return None
    return None
