"""Why a stored value is what it is: the turn that set it last, and all that led to that turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from ...persistence.errors import ConfigurationError
from ...persistence.records.journal import JournalDelta, read_delta
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import ARTIFACT_USES, ARTIFACTS, SCOPED
from ...persistence.records.tables import Order
from ...persistence.secrets.masking import masked
from ...persistence.store.store import StoreReader
from ..history.history import History
from ..history.record import HookRecord
from ..history.recording import POINT, Recording, recording_in
from .event import Event
from .links import causes
from .rows import hook_event, turn_of
from .sources import unknown_up_to

Path: TypeAlias = tuple[str | int, ...]
FIRST_PAGE: Final = 256
_ARGUMENTS: Final = ("message.before", "message.after")
_GONE: Final = object()
"""Stands for what is not there."""
_UNSET: Final = object()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a value comes from. Secrets in it are ``***``."""

    kind: str
    key: str
    field: str
    path: Path
    """A map's entry, a log's position, members of the value: what was asked for."""
    value: str
    """JSON, as that turn left it; empty where it was deleted, or was never there."""
    event: Event | None
    """The turn that gave it this value; None where the journal does not go back so far."""
    causes: tuple[Event, ...] = ()
    """What led to that turn, from the edge on; the nearest is the last."""
    arguments: str = ""
    """JSON: what the message carried, where the turn was recorded or a hook has looked at it."""
    hooks: tuple[Event, ...] = ()
    """Hooks that ran in that turn."""
    reads: tuple[str, ...] = ()
    """Shared keys it looked at, as ``SCOPE KEY``, where the turn was recorded whole."""
    artifacts: tuple[str, ...] = ()
    """Artifacts the turn named as its sources (``artifacts.came_from``)."""

    @property
    def place(self) -> str:
        """Return what was asked for, as people write it."""
        parts = "".join(f"[{part!r}]" for part in self.path)
        return f"{self.kind}/{self.key}.{self.field}{parts}"


def why(store: StoreReader, kind: str, key: str, field: str, path: Path) -> Provenance:
    """Find out which commit set a field of an agent last, or what ``path`` leads to in it.

    Goes back through the agent's commits: the nearer the change, the faster.
    ConfigurationError where the agent has no such field and never had.
    """
    path = _from_the_end(store, kind, key, field, path)
    found, value, known = None, _UNSET, False
    for entry in back(store, kind, key):
        before = _at(read_delta(entry.delta), field, path)
        if before is _UNSET:
            continue
        known = True
        if value is not _UNSET and before != value:
            break
        # The same value again: a whole field was set, and this part of it stayed as it was.
        found, value = entry, before
        if not _may_repeat(read_delta(entry.delta), field, path):
            break
    else:
        found, value, known = _from_the_base(store, (kind, key), field, path, (found, value, known))
    if not known:
        message = f"{kind}/{key} has no stored field {field!r}, as far as the journal goes back"
        raise ConfigurationError(message)
    event = None if found is None else turn_of(found, unknown_up_to(store))
    shown = "" if value is _GONE or value is _UNSET else msgspec.json.encode(value).decode()
    return _explained(store, Provenance(kind, key, field, path, masked(shown), event))


def back(store: StoreReader, kind: str, key: str) -> Iterator[JournalEntry]:
    """Iterate over an agent's commits, newest first; each page is twice as long as the last.

    A page begins its walk at the newest commit, so this takes twice the time of one walk.
    """
    after, limit = None, FIRST_PAGE
    while True:
        entries = store.journal(kind, key, after=after, limit=limit, newest=True)
        yield from entries
        if len(entries) < limit:
            return
        after, limit = entries[-1].sequence, limit * 2


def _at(delta: JournalDelta, field: str, path: Path) -> object:
    """Return what a delta made of a value: ``_UNSET`` if nothing, ``_GONE`` if it took it away."""
    if field in delta.set:
        return _dig(delta.set[field], path)
    if not path:
        return _whole(delta, field)
    first, rest = path[0], path[1:]
    for entry, raw in reversed(delta.put.get(field, [])):
        if entry == first:
            return _dig(raw, rest)
    if first in delta.delete.get(field, []):
        return _GONE
    return _at_position(delta, field, first, rest) if isinstance(first, int) else _UNSET


def _at_position(delta: JournalDelta, field: str, position: int, rest: Path) -> object:
    start, items = delta.append.get(field, (0, []))
    if start <= position < start + len(items):
        return _dig(items[position - start], rest)
    return _GONE if delta.truncate.get(field, position + 1) <= position else _UNSET


def _whole(delta: JournalDelta, field: str) -> object:
    """Return the last thing that was done to a log or a map."""
    if field in delta.append:
        return msgspec.json.decode(delta.append[field][1][-1])
    if field in delta.put:
        entry, raw = delta.put[field][-1]
        return {str(entry): msgspec.json.decode(raw)}
    touched = field in delta.delete or field in delta.truncate
    return _GONE if touched else _UNSET


def _may_repeat(delta: JournalDelta, field: str, path: Path) -> bool:
    """Tell whether an earlier commit may have set the same: only where a part is looked at."""
    return bool(path) if field in delta.set else len(path) > 1


def _dig(raw: msgspec.Raw, path: Path) -> object:
    value: Any = msgspec.json.decode(raw)
    for part in path:
        try:
            value = value[int(part)] if isinstance(value, list) else value[str(part)]
        except (KeyError, IndexError, TypeError, ValueError):
            return _GONE
    return value


def _from_the_end(store: StoreReader, kind: str, key: str, field: str, path: Path) -> Path:
    """Return a path with a position that is counted from the end of a log counted from its start.

    Of a map with numbers for keys, an entry that is given as text is one of those.
    """
    stored = store.load(kind, key) if path else None
    mark = None if stored is None else stored.shape.get(field)
    if mark is None:
        return path
    first = path[0]
    try:
        number = int(first)
    except ValueError:
        return path
    if mark >= 0:
        return (number + mark if number < 0 else number, *path[1:])
    return (number if mark == -2 else str(first), *path[1:])  # noqa: PLR2004 - records.map_mark


def _from_the_base(
    store: StoreReader, name: tuple[str, str], field: str, path: Path,
    found: tuple[JournalEntry | None, object, bool],
) -> tuple[JournalEntry | None, object, bool]:  # fmt: skip
    """Look at what stood there before the oldest commit that the journal keeps."""
    stored = store.load(*name)
    if stored is None:
        return found
    base = store.base_fields(stored.head.agent).fields.get(field)
    if base is not None:
        before = _dig(msgspec.Raw(base.encode()), path)
        if found[1] is _UNSET or found[1] == before:
            return None, before, True
    elif found[1] is _UNSET and field in stored.shape:
        return None, _UNSET, True
    return found


def _explained(store: StoreReader, found: Provenance) -> Provenance:
    event = found.event
    if event is None:
        return found
    runs = [
        record
        for record in _runs(store, found.kind, found.key, event.sequence)
        if record.sequence == event.sequence
    ]
    recording = next((recording_in(run) for run in runs if run.point == POINT), None)
    return dataclasses.replace(
        found, causes=tuple(causes(store, event)), arguments=_arguments(runs, recording),
        hooks=tuple(hook_event(run) for run in runs if run.point != POINT),
        reads=() if recording is None else tuple(dict.fromkeys(map(_read, recording.reads))),
        artifacts=_artifacts(store, event.sequence),
    )  # fmt: skip


def _runs(store: StoreReader, kind: str, key: str, sequence: int) -> Iterator[HookRecord]:
    for record in History(store).each(after=f"{sequence}.-1", kind=kind, key=key):
        if record.sequence > sequence:
            return
        yield record


def _arguments(runs: list[HookRecord], recording: Recording | None) -> str:
    if recording is not None:
        return masked(recording.body)
    for run in runs:
        told = msgspec.json.decode(run.context)
        if run.point in _ARGUMENTS and isinstance(told, dict):
            return msgspec.json.encode([told.get("args"), told.get("kwargs")]).decode()
    return ""


def _read(row: tuple[str, list[Any], list[Any] | None]) -> str:
    """Return a shared row that was looked at: its scope and key, or its table and place."""
    table, place, _ = row
    if table == SCOPED.name:
        *scope, name = map(str, place)
        return f"{':'.join(part for part in scope if part)} {name}"
    return f"{table} {'/'.join(map(str, place))}"


def _artifacts(store: StoreReader, sequence: int) -> tuple[str, ...]:
    rows = store.page(ARTIFACT_USES, Order(("sequence",), (sequence,)), None, 1000)
    found = []
    for _, number in rows:
        row = store.row(ARTIFACTS, (number,))
        if row is None:
            found.append(f"artifact {number!s}, deleted since")
            continue
        *scope, name, version = map(str, row[1:6])
        found.append(f"{':'.join(part for part in scope if part)} {name} version {version}")
    return tuple(found)
