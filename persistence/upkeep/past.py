"""What the journal still knows of one agent's past: fields, logs and maps at an earlier version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ..records.journal import JournalDelta, read_delta
from ..records.records import BaseFields, StoredAgent
from ..store.store import StoreReader

Known: TypeAlias = tuple[bool, str | None]
"""Whether a value is known, and its text; None where there was none, or the default."""


class Past:
    """An agent's history, asked for what was at some version."""

    def __init__(self, reader: StoreReader, stored: StoredAgent) -> None:
        """Read the whole history that is kept; rare, so simple rather than fast."""
        head = stored.head
        self.agent = head.agent
        self.latest = head.version
        self._reader = reader
        rows = list(reader.history(head.agent, head.version + 1))
        self._deltas = {version: read_delta(text) for version, text in rows if text is not None}
        self.oldest = rows[-1][0] if rows else head.version + 1
        """The first version that has an entry; one above the latest if there is none."""
        self._base: BaseFields = reader.base_fields(head.agent)

    @property
    def base_names(self) -> set[str]:
        """The plain fields that are known from before the oldest entry."""
        return set(self._base.fields)

    def delta(self, version: int) -> JournalDelta | None:
        """Return what made a version of the one before; None if it is lost."""
        return self._deltas.get(version)

    def between(self, version: int, until: int | None = None) -> list[tuple[int, JournalDelta]]:
        """Return the readable entries above ``version``, newest first, up to ``until``."""
        last = self.latest if until is None else until
        return [(v, delta) for v, delta in self._deltas.items() if version < v <= last]

    def lost(self, version: int, until: int | None = None) -> int | None:
        """Return the first version above ``version`` whose entry is lost, up to ``until``."""
        last = self.latest if until is None else until
        return next((v for v in range(version + 1, last + 1) if v not in self._deltas), None)

    def field_at(self, field: str, version: int) -> Known:
        """Return the text of a plain field at ``version``."""
        for _, delta in self.known(version):
            if field in delta.set:
                return True, bytes(delta.set[field]).decode()
        if not self._reaches_base(version):
            return False, None
        text = self._base.fields.get(field)
        return text is not None or self._base.complete, text

    def length_at(self, field: str, version: int) -> int | None:
        """Return the length of a log at ``version``; None if it is not known."""
        for _, delta in self.known(version):
            if field in delta.append:
                start, items = delta.append[field]
                return start + len(items)
            if field in delta.truncate:
                return delta.truncate[field]
        return 0 if self.reaches_start(version) else None

    def shortest(self, field: str, length: int, version: int, until: int | None = None) -> int:
        """Return the least length that a log of ``length`` items had above ``version``."""
        for _, delta in self.between(version, until):
            if field in delta.append:
                length = min(length, delta.append[field][0])
            length = min(length, delta.truncate.get(field, length))
        return length

    def item_at(self, field: str, position: int, version: int) -> str | None:
        """Return the journal's copy of a log item at ``version``; None if there is none."""
        for _, delta in self.known(version):
            start, items = delta.append.get(field, (0, []))
            if start <= position < start + len(items):
                return bytes(items[position - start]).decode()
        return None

    def entry_at(self, field: str, key: str | int, version: int) -> Known:
        """Return the text of a map entry at ``version``, from the journal alone."""
        for _, delta in self.known(version):
            for put, value in reversed(delta.put.get(field, [])):
                if put == key:
                    return True, bytes(value).decode()
            if key in delta.delete.get(field, []):
                return True, None
        return self.reaches_start(version), None

    def changed_entries(self, field: str, version: int, until: int | None = None) -> set[str | int]:
        """Return the keys of a map that readable entries above ``version`` touch."""
        changed: set[str | int] = set()
        for _, delta in self.between(version, until):
            changed.update(key for key, _ in delta.put.get(field, []))
            changed.update(delta.delete.get(field, []))
        return changed

    def current_keys(self, field: str) -> Iterator[str | int]:
        """Iterate over the keys that a map has now."""
        return (key for key, _ in self._reader.map_texts(self.agent, field))

    def known(self, version: int) -> Iterator[tuple[int, JournalDelta]]:
        """Iterate from ``version`` down to the first lost entry, or to the oldest."""
        while version in self._deltas:
            yield version, self._deltas[version]
            version -= 1

    def _reaches_base(self, version: int) -> bool:
        return all(v in self._deltas for v in range(self.oldest, version + 1))

    def reaches_start(self, version: int) -> bool:
        """Tell whether every entry from the first one up to ``version`` is known."""
        return self.oldest == 1 and self._reaches_base(version)
