"""An agent's state as it was at a version, and what changed from one version to another.

Rebuilt from what is stored now and from what the journal keeps; no class is needed for it, so
values are JSON. What the journal does not know any more is named, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..errors import CorruptState
from ..records.checksums import intact, of_field
from ..records.records import StoredAgent
from ..store.store import StoreReader
from .past import Known, Past

_NOTHING: Final[Known] = (True, None)

Part: TypeAlias = tuple[str] | tuple[str, str | int]
"""A plain field, or an item or entry of a log or a map."""


@dataclass(slots=True)
class Version:
    """An agent's state at a version; texts are JSON."""

    fields: dict[str, str] = field(default_factory=dict)
    """Those missing had their defaults."""
    logs: dict[str, int] = field(default_factory=dict)
    """Names to lengths; ``Versions.item`` has the items."""
    maps: dict[str, list[str | int]] = field(default_factory=dict)
    """Names to keys, those that are there; ``Versions.entry`` has the values."""
    unknown: list[str] = field(default_factory=list)
    """What is not known any more: paths such as ``owners['T-1']``; of ``owners`` some entries."""


@dataclass(frozen=True, slots=True)
class PartChange:
    """A part of the state that differs between two versions; None where it is not there."""

    part: Part
    before: str | None
    after: str | None


class Versions:
    """The versions of one agent, as far as the journal reaches."""

    def __init__(self, reader: StoreReader, stored: StoredAgent) -> None:
        """Read what the journal keeps of an agent."""
        self._reader = reader
        self._stored = stored
        self._past = Past(reader, stored)
        self.latest = stored.head.version
        self.oldest = self._past.oldest - 1
        """The first version that can be asked for: 0 is before the first commit."""
        deltas = [delta for _, delta in self._past.between(0)]
        self._plain = {*stored.fields, *self._past.base_names}.union(*(d.set for d in deltas))
        self._logs = {*stored.log_lengths}.union(*(d.append for d in deltas))
        # By its shape also one of which no entry is left, here or in the journal.
        shaped = {name for name, of in stored.shape.items() if of is not None and of < 0}
        self._maps = {*reader.map_fields(stored.head.agent), *shaped}.union(
            *(d.put for d in deltas), *(d.delete for d in deltas)
        )
        # Each looks at the whole history, and is asked for again with every item and entry.
        self._kept_items: dict[tuple[str, int], int] = {}
        self._lengths: dict[tuple[str, int], int | None] = {}
        self._changed: dict[tuple[str, int], set[str | int]] = {}

    def at(self, version: int) -> Version:
        """Return the state at a version from ``oldest`` to ``latest``."""
        found = Version()
        for name in sorted(self._plain):
            known, text = self.field(name, version)
            if not known:
                found.unknown.append(name)
            elif text is not None:
                found.fields[name] = text
        for name in sorted(self._logs):
            length = self._length(name, version)
            if length is None:
                found.unknown.append(name)
            elif length or name not in found.fields:
                found.logs[name] = length
        for name in sorted(self._maps):
            keys, unknown = self._keys(name, version)
            found.unknown += [f"{name}[{key!r}]" for key in unknown]
            if not self._complete(version):
                found.unknown.append(name)
            if keys or name not in found.fields:
                found.maps[name] = keys
        return found

    def field(self, name: str, version: int) -> Known:
        """Return a plain field at a version."""
        past = self._past
        changes = past.between(version)
        if past.lost(version) is None and not any(name in delta.set for _, delta in changes):
            known, text = self._current_field(name)
        else:
            known, text = past.field_at(name, version)
        # Where a field became a log or a map, nothing is left of what it was.
        converted = text == "null" and self._stored.shape.get(name) is not None
        return _NOTHING if converted else (known, text)

    def item(self, name: str, position: int, version: int) -> Known:
        """Return an item of a log at a version: one that was there then."""
        agent = self._stored.head.agent
        if position < self._kept(name, version):
            with suppress(CorruptState):
                return True, self._reader.log_items(agent, name, position, position + 1)[0]
        text = self._past.item_at(name, position, version)
        return text is not None, text

    def entry(self, name: str, key: str | int, version: int) -> Known:
        """Return an entry of a map at a version."""
        if self._past.lost(version) is None and key not in self._changed_since(name, version):
            with suppress(CorruptState):
                return True, self._reader.map_entry(self._stored.head.agent, name, key)
        return self._past.entry_at(name, key, version)

    def changes(self, before: int, after: int) -> Iterator[tuple[PartChange, bool]]:
        """Iterate over the parts that differ, with "both are known"; costs what changed.

        CorruptState if an entry between them is lost.
        """
        low, high = sorted((before, after))
        lost = self._past.lost(low, high)
        if lost is not None:
            head = self._stored.head
            where = f"the journal entry of version {lost} of {head.kind}/{head.key}"
            raise CorruptState(where, "it is damaged, so what it changed is not known")
        for part in sorted(self._touched(low, high), key=_order):
            first, second = self._part(part, before), self._part(part, after)
            if first != second or not first[0]:
                yield PartChange(part, first[1], second[1]), first[0] and second[0]

    def _touched(self, low: int, high: int) -> set[Part]:
        parts: set[Part] = set()
        for _, delta in self._past.between(low, high):
            parts |= {(name,) for name in delta.set}
            for name, (start, items) in delta.append.items():
                parts |= {(name, position) for position in range(start, start + len(items))}
            for name, start in delta.truncate.items():
                length = self._length(name, low) or 0
                parts |= {(name, position) for position in range(start, length)}
        for name in self._maps:
            parts |= {(name, key) for key in self._past.changed_entries(name, low, high)}
        return parts

    def _part(self, part: Part, version: int) -> Known:
        if len(part) == 1:
            return self.field(part[0], version)
        name, key = part
        if name in self._maps:
            return self.entry(name, key, version)
        length = self._length(name, version)
        if not isinstance(key, int) or length is None:
            return False, None
        return self.item(name, key, version) if key < length else _NOTHING

    def _current_field(self, name: str) -> Known:
        text, crc = self._stored.fields.get(name, (None, 0))
        if text is None:
            # The row of a plain field that the shape names was lost.
            return name not in self._stored.shape, None
        return intact(of_field, self._stored.head.agent, name, text, crc), text

    def _kept(self, name: str, version: int) -> int:
        """Return how many items of a log are now what they were at a version."""
        if (name, version) not in self._kept_items:
            past, length = self._past, self._stored.log_lengths.get(name, 0)
            lost = past.lost(version) is not None  # it may have been a way back
            self._kept_items[name, version] = 0 if lost else past.shortest(name, length, version)
        return self._kept_items[name, version]

    def _changed_since(self, name: str, version: int) -> set[str | int]:
        if (name, version) not in self._changed:
            self._changed[name, version] = self._past.changed_entries(name, version)
        return self._changed[name, version]

    def _length(self, name: str, version: int) -> int | None:
        if (name, version) not in self._lengths:
            self._lengths[name, version] = self._find_length(name, version)
        return self._lengths[name, version]

    def _find_length(self, name: str, version: int) -> int | None:
        past = self._past
        length = past.length_at(name, version)
        if length is not None or past.lost(version) is not None:
            return length
        if any(name in delta.truncate for _, delta in past.between(version)):
            return None
        return self._kept(name, version)

    def _complete(self, version: int) -> bool:
        """Tell whether no entry of a map was there at a version without a trace of it."""
        return self._past.lost(version) is None or self._past.reaches_start(version)

    def _keys(self, name: str, version: int) -> tuple[list[str | int], list[str | int]]:
        """Return the keys of a map at a version, and those of which nothing is known."""
        past = self._past
        changed = past.changed_entries(name, version)
        if past.lost(version) is not None:
            changed.update(past.current_keys(name))
            for _, earlier in past.known(version):
                changed.update(key for key, _ in earlier.put.get(name, []))
        keys = [key for key in past.current_keys(name) if key not in changed]
        unknown = []
        for key in changed:
            known, text = past.entry_at(name, key, version)
            if not known:
                unknown.append(key)
            elif text is not None:
                keys.append(key)
        return sorted(keys, key=_key_order), sorted(unknown, key=_key_order)


def _key_order(key: str | int) -> tuple[str, str | int]:
    return type(key).__name__, key


def _order(part: Part) -> tuple[object, ...]:
    return part[0], *map(_key_order, part[1:])
