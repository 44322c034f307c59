"""Go back to an agent's last good version, from what the journal still knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from ..errors import CorruptState
from ..records.journal import shape_text
from ..records.records import Delta, StoredAgent
from ..secrets.place import in_state
from ..state.state import Layout, PlainField
from ..store.store import StoreReader
from .past import Past


def rewind(
    reader: StoreReader, stored: StoredAgent, layout: Layout, good: Mapping[str, str]
) -> tuple[int, Delta]:
    """Return the newest good version before the latest, and the delta that goes back to it.

    Good is a version at which every plain field is known and decodes; ``good`` are the fields
    whose current value does. Logs are cut to their length at that version and map entries put
    back. CorruptState when the journal no longer knows enough for that.
    """
    way = Rewinding(reader, stored, layout)
    version = way.newest_good(good)
    agent = stored.head.agent
    # All fields and lengths, changed or not: later readers of the history need not look beyond.
    delta = Delta(agent)
    delta.fields = dict(way.fields)
    fresh = layout.state_class()
    for plain in layout.plain:
        if plain.name not in delta.fields:
            default = getattr(fresh, plain.name)
            codec = plain.codec.at(*in_state(stored.head.kind, stored.head.key, plain.name))
            delta.fields[plain.name] = codec.encode(default, f"state.{plain.name}")
    for name, length in stored.log_lengths.items():
        way.cut(delta, name, length, version)
    for field in layout.maps:
        way.put_back(delta, field.name, version)
    shape = {**stored.shape, **dict.fromkeys(delta.fields), **way.cut_to}
    delta.shape = shape_text(shape, stored.schema)
    return version, delta


def undecodable(field: PlainField, text: str) -> str | None:
    """Return why ``text`` is no value of ``field``, or None if it is one."""
    try:
        field.codec.decode(text)
    except (ValueError, RecursionError) as error:
        return f"it does not decode: {error}"
    return None


class Rewinding:
    """The way back from an agent's latest version to its last good one."""

    def __init__(self, reader: StoreReader, stored: StoredAgent, layout: Layout) -> None:
        """Read what the journal knows."""
        self._past = Past(reader, stored)
        self._agent = stored.head.agent
        self._where = f"{stored.head.kind}/{stored.head.key}"
        self._layout = layout
        self.fields: dict[str, str] = {}
        """The plain fields at the version found; those missing had their defaults."""
        self.cut_to: dict[str, int] = {}
        """The lengths that ``cut`` gives to logs."""

    def newest_good(self, good: Mapping[str, str]) -> int:
        """Find the version to go back to and fill ``fields``."""
        past = self._past
        touched: set[str] = set()
        for version in range(past.latest - 1, max(past.oldest - 1, 1) - 1, -1):
            undone = past.delta(version + 1)
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
        past = self._past
        lost = past.lost(version) is not None
        then = past.length_at(field, version)
        shortest = past.shortest(field, length, version)
        if then is None:
            if lost or any(field in undone.truncate for _, undone in past.between(version)):
                self._unknown(f"the length of {field} at version {version} is not known any more")
            then = shortest
        if lost:
            shortest = min(shortest, then)
        delta.truncated[field] = shortest
        self.cut_to[field] = then
        texts: list[str] = []
        for position in range(shortest, then):
            text = past.item_at(field, position, version)
            if text is None:
                self._unknown(f"item {position} of {field} is not known any more")
            texts.append(text)
        delta.append(field, shortest, texts)

    def put_back(self, delta: Delta, field: str, version: int) -> None:
        """Let ``delta`` give a map the entries it had at ``version``."""
        past = self._past
        changed = past.changed_entries(field, version)
        if past.lost(version) is not None:
            # Any entry may have been changed by the lost journal row.
            changed.update(past.current_keys(field))
            for _, earlier in past.known(version):
                changed.update(key for key, _ in earlier.put.get(field, []))
        for key in changed:
            known, text = past.entry_at(field, key, version)
            if not known:
                self._unknown(f"{field}[{key!r}] at version {version} is not known any more")
            delta.put(field, key, text)

    def _collect(self, version: int, unchanged: Mapping[str, str]) -> bool:
        fields: dict[str, str] = {}
        for field in self._layout.plain:
            name = field.name
            known, text = (
                (True, unchanged[name]) if name in unchanged else self._past.field_at(name, version)
            )
            if not known or (text is not None and undecodable(field, text)):
                return False
            if text is not None:
                fields[name] = text
        self.fields = fields
        return True

    def _unknown(self, what: str) -> NoReturn:
        raise CorruptState(self._where, f"it cannot be rewound: {what}; restore a backup")
