"""Go back to an agent's last good version, from what the journal still knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from ..errors import CorruptState
from ..records.checksums import of_entry, of_item
from ..records.journal import JournalDelta, read_delta
from ..records.records import BaseFields, Delta, EntryRow, ItemRow, StoredAgent
from ..secrets.place import in_state
from ..state.state import Layout, PlainField
from ..state.tracker import shape_text
from ..store.store import StoreReader

_PAGE: Final = 512


def rewind(
    reader: StoreReader, stored: StoredAgent, layout: Layout, good: Mapping[str, str]
) -> tuple[int, Delta]:
    """Return the newest good version before the latest, and the delta that goes back to it.

    Good is a version at which every plain field is known and decodes; ``good`` are the fields
    whose current value does. Logs are cut to their length at that version and map entries put
    back. CorruptState when the journal no longer knows enough for that.
    """
    past = Past(reader, stored, layout)
    version = past.newest_good(good)
    agent = stored.head.agent
    # All fields and lengths, changed or not: later readers of the history need not look beyond.
    delta = Delta(agent)
    delta.fields = dict(past.fields)
    fresh = layout.state_class()
    for plain in layout.plain:
        if plain.name not in delta.fields:
            default = getattr(fresh, plain.name)
            codec = plain.codec.at(*in_state(stored.head.kind, stored.head.key, plain.name))
            delta.fields[plain.name] = codec.encode(default, f"state.{plain.name}")
    for name, length in stored.log_lengths.items():
        past.cut(delta, name, length, version)
    for field in layout.maps:
        past.put_back(delta, field.name, version)
    delta.shape = shape_text({**stored.shape, **dict.fromkeys(delta.fields), **past.cut_to})
    return version, delta


def undecodable(field: PlainField, text: str) -> str | None:
    """Return why ``text`` is no value of ``field``, or None if it is one."""
    try:
        field.codec.decode(text)
    except (ValueError, RecursionError) as error:
        return f"it does not decode: {error}"
    return None


class Past:
    """An agent's history, asked for what was at some version."""

    def __init__(self, reader: StoreReader, stored: StoredAgent, layout: Layout) -> None:
        """Read the whole history that is kept; rare, so simple rather than fast."""
        head = stored.head
        self._reader = reader
        self._agent = head.agent
        self._latest = head.version
        self._where = f"{head.kind}/{head.key}"
        self._layout = layout
        rows = list(reader.history(head.agent, head.version + 1))
        self._deltas = {version: read_delta(text) for version, text in rows if text is not None}
        self._oldest = rows[-1][0] if rows else head.version + 1
        self._base: BaseFields = reader.base_fields(head.agent)
        self.fields: dict[str, str] = {}
        self.cut_to: dict[str, int] = {}
        """The lengths that ``cut`` gives to logs."""
        """The plain fields at the version found; those missing had their defaults."""

    def newest_good(self, good: Mapping[str, str]) -> int:
        """Find the version to go back to and fill ``fields``."""
        touched: set[str] = set()
        for version in range(self._latest - 1, max(self._oldest - 1, 1) - 1, -1):
            undone = self._deltas.get(version + 1)
            if undone is None:
                good = {}  # whatever that entry set, the current values may be of it
            else:
                touched.update(undone.set)
            unchanged = {name: text for name, text in good.items() if name not in touched}
            if self._collect(version, unchanged):
                return version
        return self._unknown("the journal holds no version at which every field is good")

    def cut(self, delta: Delta, field: str, length: int, version: int) -> None:
        """Let ``delta`` give a log of now ``length`` items what it had at ``version``."""
        lost = self._lost_since(version)
        then = self._length_at(field, version)
        shortest = length
        for _, undone in self._between(version):
            if field in undone.append:
                shortest = min(shortest, undone.append[field][0])
            shortest = min(shortest, undone.truncate.get(field, shortest))
        if then is None:
            if lost or any(field in undone.truncate for _, undone in self._between(version)):
                self._unknown(f"the length of {field} at version {version} is not known any more")
            then = shortest
        if lost:
            shortest = min(shortest, then)
        delta.truncated[field] = shortest
        self.cut_to[field] = then
        for position in range(shortest, then):
            text = self._item_at(field, position, version)
            if text is None:
                self._unknown(f"item {position} of {field} is not known any more")
            crc = of_item(self._agent, field, position, text)
            delta.items = [*delta.items, ItemRow(self._agent, field, position, text, crc)]

    def put_back(self, delta: Delta, field: str, version: int) -> None:
        """Let ``delta`` give a map the entries it had at ``version``."""
        changed: set[str | int] = set()
        for _, undone in self._between(version):
            changed.update(key for key, _ in undone.put.get(field, []))
            changed.update(undone.delete.get(field, []))
        if self._lost_since(version):
            # Any entry may have been changed by the lost journal row.
            changed.update(self._current(field))
            for _, past in self._known(version):
                changed.update(key for key, _ in past.put.get(field, []))
        for key in changed:
            text = self._entry_at(field, key, version)
            row = None
            if text is not None:
                crc = of_entry(self._agent, field, key, text)
                row = EntryRow(self._agent, field, key, text, crc)
            delta.entries[self._agent, field, key] = row

    def _collect(self, version: int, unchanged: Mapping[str, str]) -> bool:
        fields: dict[str, str] = {}
        for field in self._layout.plain:
            name = field.name
            known, text = (
                (True, unchanged[name]) if name in unchanged else self._field_at(name, version)
            )
            if not known or (text is not None and undecodable(field, text)):
                return False
            if text is not None:
                fields[name] = text
        self.fields = fields
        return True

    def _field_at(self, field: str, version: int) -> tuple[bool, str | None]:
        """Return whether a field's value at ``version`` is known, and its text (None: default)."""
        for _, delta in self._known(version):
            if field in delta.set:
                return True, bytes(delta.set[field]).decode()
        if not self._reaches_base(version):
            return False, None
        text = self._base.fields.get(field)
        return text is not None or self._base.complete, text

    def _length_at(self, field: str, version: int) -> int | None:
        for _, delta in self._known(version):
            if field in delta.append:
                start, items = delta.append[field]
                return start + len(items)
            if field in delta.truncate:
                return delta.truncate[field]
        return 0 if self._reaches_start(version) else None

    def _item_at(self, field: str, position: int, version: int) -> str | None:
        for _, delta in self._known(version):
            start, items = delta.append.get(field, (0, []))
            if start <= position < start + len(items):
                return bytes(items[position - start]).decode()
        return None

    def _entry_at(self, field: str, key: str | int, version: int) -> str | None:
        for _, delta in self._known(version):
            for put, value in reversed(delta.put.get(field, [])):
                if put == key:
                    return bytes(value).decode()
            if key in delta.delete.get(field, []):
                return None
        if not self._reaches_start(version):
            self._unknown(f"{field}[{key!r}] at version {version} is not known any more")
        return None

    def _current(self, field: str) -> Iterator[str | int]:
        after: str | int | None = None
        while page := self._reader.map_page(self._agent, field, after, _PAGE):
            yield from (key for key, _ in page)
            after = page[-1][0]

    def _known(self, version: int) -> Iterator[tuple[int, JournalDelta]]:
        """Iterate from ``version`` down to the first lost entry, or to the oldest."""
        while version in self._deltas:
            yield version, self._deltas[version]
            version -= 1

    def _between(self, version: int) -> list[tuple[int, JournalDelta]]:
        """Return the readable entries above ``version``."""
        return [(v, delta) for v, delta in self._deltas.items() if v > version]

    def _lost_since(self, version: int) -> bool:
        return any(v not in self._deltas for v in range(version + 1, self._latest + 1))

    def _reaches_base(self, version: int) -> bool:
        return all(v in self._deltas for v in range(self._oldest, version + 1))

    def _reaches_start(self, version: int) -> bool:
        return self._oldest == 1 and self._reaches_base(version)

    def _unknown(self, what: str) -> NoReturn:
        raise CorruptState(self._where, f"it cannot be rewound: {what}; restore a backup")
