"""Read the journal's deltas, and find good copies of stored values in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from .checksums import of_entry, of_item

History: TypeAlias = Iterable[tuple[int, str | None]]
"""``(version, delta)`` of one agent, newest first; None for a delta that fails its checksum."""


class JournalDelta(msgspec.Struct):
    """Decode a delta as the journal keeps it; values stay JSON."""

    set: dict[str, msgspec.Raw] = {}
    truncate: dict[str, int] = {}
    """Happens before ``append``."""
    append: dict[str, tuple[int, list[msgspec.Raw]]] = {}
    put: dict[str, list[tuple[str | int, msgspec.Raw]]] = {}
    delete: dict[str, list[str | int]] = {}


read_delta: Final = msgspec.json.Decoder(JournalDelta).decode
read_shape: Final = msgspec.json.Decoder(dict[str, int | None]).decode
"""See ``records.Shape``."""


class Walk:
    """Walk an agent's history from ``version`` down, and tell whether entries are missing."""

    def __init__(self, agent: int, history: History, version: int) -> None:
        """Begin at ``version``, the agent's latest."""
        self.agent = agent
        self._history = history
        self._next = version
        self.complete = True
        """No entry between the latest and the one just seen is missing."""

    def __iter__(self) -> Iterator[tuple[int, JournalDelta]]:
        for version, text in self._history:
            self.complete = self.complete and version == self._next and text is not None
            self._next = version - 1
            if text is not None:
                yield version, read_delta(text)


def find_item(history: Walk, field: str, position: int, crc: int | None) -> str | None:
    """Return the journal's copy of a log item, or None.

    With ``crc``, the stored checksum, a copy that matches it counts also where entries are missing.
    """
    for _, delta in history:
        start, items = delta.append.get(field, (0, []))
        if start <= position < start + len(items):
            text = bytes(items[position - start]).decode()
            sure = history.complete or of_item(history.agent, field, position, text) == crc
            return text if sure else None
    return None


def find_entry(history: Walk, field: str, entry: str | int, crc: int) -> str | None:
    """Return the journal's latest copy of a map entry, or None; ``crc`` as in ``find_item``."""
    for _, delta in history:
        for key, value in reversed(delta.put.get(field, [])):
            if key == entry:
                text = bytes(value).decode()
                sure = history.complete or of_entry(history.agent, field, entry, text) == crc
                return text if sure else None
        if entry in delta.delete.get(field, []):
            return None
    return None
