"""Read the journal's deltas, find good copies of stored values in them, take values out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from .checksums import of_entry, of_item
from .kinds import Name

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
    status: tuple[str, str] | None = None
    """The agent's status, and its reason, where that is not simply that it runs."""
    kinds: tuple[str, str] | None = None
    """The kind that the agent had, and the one that it has with this commit, if that is another."""
    schemas: tuple[int, int] | None = None
    """The number of the schema that it was written with, and of the one from this commit on."""


read_delta: Final = msgspec.json.Decoder(JournalDelta).decode
_shape: Final = msgspec.json.Decoder(dict[str, int | None]).decode
WRITTEN_WITH: Final = "@"
"""Where an agent's shape has the number of its schema: no field has such a name."""


def read_shape(text: str) -> tuple[dict[str, int | None], int]:
    """Return a stored shape (``records.Shape``), and the number of the schema it was written with.

    0 where that is not known: an earlier release has written it, or there is nothing to know.
    """
    shape = _shape(text)
    return shape, shape.pop(WRITTEN_WITH, 0) or 0


def shape_text(shape: Mapping[str, int | None], schema: int = 0) -> str:
    """Return a shape as the store keeps it, with the number of the schema where that is known."""
    whole = {**shape, WRITTEN_WITH: schema} if schema else shape
    return msgspec.json.encode(whole).decode()


_Parts: Final = dict[str, msgspec.Raw]
_Tables: Final = dict[str, list[msgspec.Raw]]


def mark_of(scope: tuple[str, str, str]) -> str:
    """Return the text that every delta holds which changed a key of a scope."""
    return msgspec.json.encode(scope).decode()[:-1] + ","


def without(delta: str, sequence: int, names: Sequence[Name], *, own: bool) -> str:
    """Return a delta without the keys of an agent's scope, and if it is its ``own`` its state.

    What the agent changed of what belongs to others stays: it is their history.
    """
    try:
        parts = msgspec.json.decode(delta, type=_Parts)
        kept = {name: raw for name, raw in parts.items() if not own}
        for verb in ("rows", "gone"):
            if verb not in parts:
                continue
            tables = msgspec.json.decode(parts[verb], type=_Tables)
            left = {
                name: [r for r in rows if name != "scoped" or not _is_in(r, sequence, names)]
                for name, rows in tables.items()
            }
            left = {name: rows for name, rows in left.items() if rows}
            kept.pop(verb, None)
            if left:
                kept[verb] = msgspec.Raw(msgspec.json.encode(left))
    except msgspec.DecodeError:
        return "{}"  # damaged
    return msgspec.json.encode(kept).decode()


def _is_in(row: msgspec.Raw, sequence: int, names: Sequence[Name]) -> bool:
    owner, kind, key = msgspec.json.decode(row)[:3]
    return owner == "agent" and any(each.has(kind, key, sequence) for each in names)


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
