"""An agent's earlier states as a whole, rebuilt from what the journal keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from ..errors import StateUnknown
from ..records.journal import JournalDelta, shape_text
from ..records.records import Delta, Shape, StoredAgent
from ..store.store import StoreReader
from .past import Past
from .versions import Versions


@dataclass(slots=True)
class StateCopy:
    """An agent's state at a version: texts are JSON."""

    version: int
    fields: dict[str, str] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    maps: dict[str, dict[str | int, str]] = field(default_factory=dict)
    shape: Shape = field(default_factory=dict)
    """The agent's newest: it has the marks of maps."""
    schema: int = 0
    """The number of what the agent is written with now; 0 where that is not known."""

    def apply(self, delta: JournalDelta) -> None:
        """Go on to the next version."""
        self.version += 1
        self.fields |= {name: bytes(raw).decode() for name, raw in delta.set.items()}
        for name, length in delta.truncate.items():
            del self.logs.setdefault(name, [])[length:]
        for name, (start, items) in delta.append.items():
            log = self.logs.setdefault(name, [])
            log[start:] = [bytes(raw).decode() for raw in items]
            self.fields.pop(name, None)
        for name, keys in delta.delete.items():
            for key in keys:
                self.maps.setdefault(name, {}).pop(key, None)
        for name, pairs in delta.put.items():
            self.maps.setdefault(name, {}).update((key, bytes(raw).decode()) for key, raw in pairs)
            self.fields.pop(name, None)

    def copy(self) -> StateCopy:
        """Return another that may be changed."""
        return StateCopy(
            self.version, dict(self.fields), {n: list(log) for n, log in self.logs.items()},
            {name: dict(entries) for name, entries in self.maps.items()}, self.shape, self.schema,
        )  # fmt: skip

    def delta(self, agent: int, schema: int) -> Delta:
        """Return what makes it of nothing, for a store that knows its schema by a number."""
        made = Delta(agent)
        made.fields = dict(self.fields)
        for name, log in self.logs.items():
            made.append(name, 0, log)
        for name, entries in self.maps.items():
            for key, text in entries.items():
                made.put(name, key, text)
        made.shape, made.schemas = shape_text(self.whole_shape(), schema), (0, schema)
        return made

    def whole_shape(self) -> dict[str, int | None]:
        """Return its shape, as that of an agent which has this state alone."""
        lengths: dict[str, int | None] = {name: len(log) for name, log in self.logs.items()}
        marks = {name: self.shape.get(name, -1) for name in self.maps}
        return {**dict.fromkeys(self.fields), **lengths, **marks}


class CopyReader:
    """Give the collections of a live state what a copy has."""

    def __init__(self, copy: StateCopy) -> None:
        """Read from ``copy``."""
        self._copy = copy

    def log(self, field: str) -> CopiedLog:
        """Return the reader of a log field."""
        return CopiedLog(self._copy.logs.get(field, []))

    def map(self, field: str) -> CopiedMap:
        """Return the reader of a map field."""
        return CopiedMap(self._copy.maps.get(field, {}))


class CopiedLog:
    """Read a copied log."""

    def __init__(self, log: list[str]) -> None:
        """Read from texts."""
        self._log = log

    def items(self, start: int, stop: int) -> list[str]:
        """Return the items of some places."""
        return self._log[start:stop]


class CopiedMap:
    """Read a copied map."""

    def __init__(self, entries: Mapping[str | int, str]) -> None:
        """Read from texts by key."""
        self._entries = entries

    def entry(self, key: str | int) -> str | None:
        """Return an entry, or None."""
        return self._entries.get(key)

    def page(self, after: str | int | None, limit: int) -> list[tuple[str | int, str]]:
        """Return entries behind a key, in the order of a store."""
        keys = sorted(self._entries, key=_place)
        behind = (key for key in keys if after is None or _place(key) > _place(after))
        return [(key, self._entries[key]) for key in islice(behind, limit)]

    def count(self) -> int:
        """Return how many entries there are."""
        return len(self._entries)


def _place(key: str | int) -> tuple[bool, int, bytes]:
    if isinstance(key, int):
        return False, key, b""
    return True, 0, key.encode()


class States:
    """The earlier states of one agent, as far as the journal reaches."""

    def __init__(self, store: StoreReader, stored: StoredAgent) -> None:
        """Read what the journal keeps of an agent."""
        self.agent = stored.head.agent
        """Its number."""
        self._shape = stored.shape
        self._schema = stored.schema
        self._who = f"{stored.head.kind}/{stored.head.key}"
        self._past = Past(store, stored)
        self._versions = Versions(store, stored)
        self._latest: StateCopy | None = None

    def at(self, version: int) -> StateCopy:
        """Return the state at a version; StateUnknown if the journal does not reach that far.

        Costs what changed since the version asked for last, if that was an earlier one.
        """
        known = self._latest
        if known is None or known.version > version or self._past.lost(known.version, version):
            known = self._whole(version)
        while known.version < version:
            delta = self._past.delta(known.version + 1)
            assert delta is not None
            known.apply(delta)
        self._latest = known
        copied = known.copy()
        copied.shape, copied.schema = self._shape, self._schema
        return copied

    def _whole(self, version: int) -> StateCopy:
        past = self._past
        if version == 0:
            return StateCopy(0)
        if past.reaches_start(version):
            return StateCopy(0)
        if not past.oldest - 1 <= version <= past.latest:
            raise StateUnknown(self._short(version))
        versions, found = self._versions, self._versions.at(version)
        if found.unknown:
            raise StateUnknown(f"{self._short(version)}: {', '.join(found.unknown[:3])} is lost")
        state = StateCopy(version, dict(found.fields))
        for name, length in found.logs.items():
            texts = [versions.item(name, at, version) for at in range(length)]
            state.logs[name] = [self._text(text, name) for _, text in texts]
        for name, keys in found.maps.items():
            entries = {key: versions.entry(name, key, version) for key in keys}
            state.maps[name] = {key: self._text(text, name) for key, (_, text) in entries.items()}
        return state

    def _text(self, text: str | None, name: str) -> str:
        if text is None:
            raise StateUnknown(f"a part of {name} of {self._who} is lost")
        return text

    def _short(self, version: int) -> str:
        return (
            f"the journal of {self._who} begins at version {self._past.oldest}, so its state at"
            f" version {version} is not known any more; keep more with retention=Retention(...)"
        )
