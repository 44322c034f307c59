"""Live state to deltas and back: what changed in a turn, and how to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, cast

import msgspec

from ..codec.codec import IMMUTABLE, Codec
from ..errors import CorruptState, StateError
from ..records.checksums import of_entry, of_item
from ..records.records import Delta, EntryRow, ItemRow, Shape
from ..secrets.detector import SHORTEST, Watch, sensitive
from ..secrets.masking import masked_value
from .log import Log, LogReader
from .map import Map, MapReader
from .state import Layout, State

HEAVIEST: Final = 200_000_000
"""Characters one turn may change. Its journal row holds them all, and a row of more than a
billion bytes could never be saved: everything behind it would wait for ever."""
LIGHT: Final = 65_536
"""Characters below which a plain field does not count towards that."""


class StateReader(Protocol):
    """Give the readers of one agent's collections."""

    def log(self, field: str) -> LogReader:
        """Return the reader of a log field."""
        ...

    def map(self, field: str) -> MapReader:
        """Return the reader of a map field."""
        ...


class _Tracked:
    """One plain field: its codec and its last committed value."""

    __slots__ = ("codec", "encode", "name", "object", "path", "place", "sensitive", "stale", "text")

    def __init__(self, state: str, name: str, codec: Codec[object]) -> None:
        self.name = name
        self.place = f"{state}.{name}"
        self.codec = codec
        self.encode = codec.encode
        self.path = f"state.{name}"
        self.sensitive = sensitive(name)
        self.object: object = None
        # The committed text; None while it was never needed (a default, or an immutable value).
        self.text: str | None = None
        # Committed by defer() and not given out by collect() yet.
        self.stale = False


class StateTracker:
    """Own one live state: find what each turn changed, commit it or roll it back.

    Used by one turn at a time. Invariant between turns: every plain field's ``object`` is the
    live value, and ``text`` its encoding unless the value is of an immutable type.
    """

    def __init__(
        self,
        layout: Layout,
        agent: int,
        stored: Mapping[str, str],
        shape: Shape,
        reader: StateReader,
        *,
        largest: int,
        watch: Watch | None = None,
    ) -> None:
        """Decode ``stored`` (verified texts by field name); CorruptState names a bad field.

        ``shape`` is the agent's whole shape, also of fields its class no longer has.
        """
        self.layout = layout
        self.state = layout.state_class()
        self._agent = agent
        self._largest = largest
        self._watch = watch
        self._redacts = watch is not None and watch.redacts
        self._shape = dict(shape)
        self._plain: list[_Tracked] = []
        for plain in layout.plain:
            tracked = _Tracked(layout.state_class.__name__, plain.name, plain.codec)
            if plain.name in stored:
                tracked.text = stored[plain.name]
                try:
                    value = plain.codec.decode(tracked.text)
                except ValueError as error:
                    where = f"{layout.state_class.__name__}.{plain.name}"
                    raise CorruptState(where, str(error)) from error
                setattr(self.state, plain.name, value)
            value = getattr(self.state, plain.name)
            tracked.object = value
            if value.__class__ not in IMMUTABLE and tracked.text is None:
                tracked.text = plain.codec.encode(value, tracked.path)
            self._plain.append(tracked)
        self._logs: list[tuple[str, Log[object]]] = []
        for log_field in layout.logs:
            length = self._shape.get(log_field.name) or 0
            path = f"state.{log_field.name}"
            log = Log.bound(log_field.codec, path, length, reader.log(log_field.name))
            setattr(self.state, log_field.name, log)
            self._logs.append((log_field.name, log))
        self._maps: list[tuple[str, Map[str, object]]] = []
        for map_field in layout.maps:
            path = f"state.{map_field.name}"
            mapping: Map[str, object] = Map.bound(
                map_field.codec, map_field.key_type, path, reader.map(map_field.name)
            )
            setattr(self.state, map_field.name, mapping)
            self._maps.append((map_field.name, mapping))
        self.collections = bool(self._logs or self._maps)
        """Whether there is anything that ``trim`` could forget."""
        self._numbers = not self.collections and all(p.codec.declared is int for p in layout.plain)
        self.stale = False
        """Whether ``defer`` has left anything to ``collect``."""

    def collect(self) -> Delta | None:  # noqa: C901 - one loop, once for every turn
        """Return what changed since the last collect and take it as committed; None if nothing did.

        StateError when a value cannot be stored; then nothing is taken, and the caller rolls back.
        """
        state = self.state
        watch = self._watch
        changed: list[tuple[_Tracked, object, str]] | None = None
        weight = 0
        for tracked in self._plain:
            value = getattr(state, tracked.name)
            if value is tracked.object and value.__class__ in IMMUTABLE and not tracked.stale:
                continue
            text = tracked.encode(value, tracked.path)
            if text == tracked.text and not tracked.stale:
                tracked.object = value
                continue
            if watch is not None and (len(text) >= SHORTEST or tracked.sensitive):
                text = watch.examine(text, tracked.place, tracked.sensitive)
            if len(text) > LIGHT or len(text) > self._largest:
                weight += self._check_sizes(tracked.name, [text])
            if changed is None:
                changed = [(tracked, value, text)]
            else:
                changed.append((tracked, value, text))
        if weight:
            _check_weight(weight)
        delta = self._collect_collections(weight) if self.collections else None
        if changed is not None:
            delta = delta or Delta(self._agent)
            fields = delta.fields
            for tracked, value, text in changed:
                tracked.object = value
                tracked.text = text
                tracked.stale = False
                fields[tracked.name] = text
                if tracked.name not in self._shape:
                    self._shape[tracked.name] = None
                    delta.shape = ""
                if value.__class__ is not tracked.codec.declared or self._redacts:
                    self._normalise(tracked, text)
        self.stale = False
        return self._shaped(delta)

    def _shaped(self, delta: Delta | None) -> Delta | None:
        """Give a delta the agent's shape if that is new."""
        if delta is not None and (delta.shape is not None or delta.items):
            delta.shape = shape_text(self._shape)
        return delta

    def defer(self) -> Delta | None:  # noqa: C901 - one loop, once for every turn
        """Take what changed as committed, and leave plain fields to the next ``collect()``.

        For agents that are saved now and then: a number that changes a thousand times between
        two saves is encoded once. Returns what changed in logs and maps, which cannot wait.
        StateError when a value cannot be stored; then nothing is taken, and the caller rolls back.
        """
        if self._numbers and self._defer_numbers():
            return None
        state = self.state
        changed: list[tuple[_Tracked, object, str | None]] | None = None
        for tracked in self._plain:
            value = getattr(state, tracked.name)
            if value is tracked.object and value.__class__ in IMMUTABLE:
                continue
            text = None
            if value.__class__ is not int or tracked.codec.declared is not int:
                text = tracked.codec.encode(value, tracked.path)
                if text == tracked.text:
                    continue
                if self._watch is not None:  # now: when it is saved, the turn is over
                    text = self._watch.examine(text, tracked.place, tracked.sensitive)
                self._check_sizes(tracked.name, [text])
            if changed is None:
                changed = [(tracked, value, text)]
            else:
                changed.append((tracked, value, text))
        delta = self._collect_collections(0) if self.collections else None
        if changed is not None:
            self.stale = True
            for tracked, value, text in changed:
                tracked.object = value
                tracked.stale = True
                if text is not None:
                    tracked.text = text
                    if value.__class__ is not tracked.codec.declared or self._redacts:
                        self._normalise(tracked, text)
        return self._shaped(delta)

    def _defer_numbers(self) -> bool:
        """Do it for a state of nothing but integers, which no store refuses; False if it is not."""
        state = self.state
        for tracked in self._plain:
            if getattr(state, tracked.name).__class__ is not int:
                return False
        for tracked in self._plain:
            value = getattr(state, tracked.name)
            if value is not tracked.object:
                tracked.object = value
                tracked.stale = self.stale = True
        return True

    def accept(self) -> None:
        """Take what changed as committed without storing it: for agents that are not stored."""
        state = self.state
        for tracked in self._plain:
            value = getattr(state, tracked.name)
            if value is tracked.object and value.__class__ in IMMUTABLE:
                continue
            if value.__class__ not in IMMUTABLE:
                tracked.text = tracked.codec.encode(value, tracked.path)
            tracked.object = value
        for _, log in self._logs:
            log.commit()
        for _, mapping in self._maps:
            if mapping.changed():
                mapping.commit(*mapping.pending())

    def rollback(self) -> None:
        """Make the state what it was after the last collect; costs the mutable fields' decoding."""
        for tracked in self._plain:
            if tracked.object.__class__ not in IMMUTABLE and tracked.text is not None:
                tracked.object = tracked.codec.decode(tracked.text)
            setattr(self.state, tracked.name, tracked.object)
        for name, log in self._logs:
            setattr(self.state, name, log)
            log.rollback()
        for name, mapping in self._maps:
            setattr(self.state, name, mapping)
            mapping.rollback()

    def trim(self, last: int, durable: int) -> None:
        """Let the collections forget what the store has; see ``Log.trim``."""
        for _, log in self._logs:
            log.trim(last, durable)
        for _, mapping in self._maps:
            mapping.trim(last, durable)

    def _normalise(self, tracked: _Tracked, text: str) -> None:
        """Give the field the value a load would give (an int in a float field becomes a float)."""
        if tracked.codec.declared in (float, int, str) or self._redacts:
            tracked.object = tracked.codec.decode(text)
            setattr(self.state, tracked.name, tracked.object)

    def _collect_collections(self, weight: int) -> Delta | None:
        """Two phases: encode everything first, so that a StateError leaves nothing half taken."""
        state = self.state
        for name, collection in (*self._logs, *self._maps):
            if getattr(state, name) is not collection:
                problem = "was replaced; change the collection in place (append, [key] = ...)"
                raise StateError(f"state.{name}", problem)
        map_changes = [
            (name, mapping, *mapping.pending()) for name, mapping in self._maps if mapping.changed()
        ]
        logs = [(name, log) for name, log in self._logs if log.changed()]
        self._examine(logs, map_changes)
        for name, log in logs:
            weight += self._check_sizes(name, log.pending()[1])
        for name, _, puts, _ in map_changes:
            weight += self._check_sizes(name, [text for _, text in puts])
        _check_weight(weight)
        if not logs and not map_changes:
            return None
        agent = self._agent
        delta = Delta(agent)
        new = tuple.__new__  # a named tuple's own constructor takes twice as long
        for name, log in logs:
            start, texts = log.pending()
            rows = [
                new(ItemRow, (agent, name, position, text, of_item(agent, name, position, text)))
                for position, text in enumerate(texts, start)
            ]
            delta.items = [*delta.items, *rows] if delta.items else rows
            log.commit()
            self._shape[name] = len(log)
        for name, mapping, puts, deletes in map_changes:
            for key, text in puts:
                crc = of_entry(agent, name, key, text)
                delta.entries[agent, name, key] = new(EntryRow, (agent, name, key, text, crc))
            for key in deletes:
                delta.entries[agent, name, key] = None
            mapping.commit(puts, deletes)
        return delta or None

    def _place(self, name: str) -> str:
        """Return how a warning names a field; equal for all agents of a class."""
        return f"{self.layout.state_class.__name__}.{name}"

    def _examine(
        self,
        logs: list[tuple[str, Log[object]]],
        maps: list[tuple[str, Map[str, object], list[tuple[str, str]], list[str]]],
    ) -> None:
        """Look for secrets in what was appended and put; replace them if the policy says so."""
        watch = self._watch
        if watch is None:
            return
        for name, log in logs:
            place, named = self._place(name), sensitive(name)
            start, texts = log.pending()
            for position, text in enumerate(texts, start):
                shown = watch.examine(text, place, named)
                if shown != text:
                    log.replace(position, shown)
        for name, _, puts, _ in maps:
            place, named = self._place(name), sensitive(name)
            for index, (key, text) in enumerate(puts):
                # Of a map the keys are names as well: tokens["slack"], headers["api_key"].
                found = watch.examine(text, place, sensitive(key) if type(key) is str else named)
                puts[index] = (key, watch.examine(found, place, named) if named else found)

    def _check_sizes(self, name: str, texts: list[str]) -> int:
        """Return the characters of ``texts`` together; StateError if one is too large."""
        weight = 0
        for text in texts:
            weight += len(text)
            if len(text) > self._largest:
                problem = (
                    f"takes {len(text):,} characters, more than the limit of {self._largest:,}"
                )
                raise StateError(f"state.{name}", problem)
        return weight


def _check_weight(weight: int) -> None:
    if weight > HEAVIEST:
        problem = f"{weight:,} characters change in one turn, more than the limit of {HEAVIEST:,}"
        raise StateError("state", problem)


def shape_text(shape: Shape) -> str:
    """Return a shape as the store keeps it."""
    return msgspec.json.encode(shape).decode()


def dump(state: State) -> dict[str, object]:
    """Return a state as plain values, with its collections read whole; for people and tests.

    Secrets are shown as ``***``.
    """
    result: dict[str, object] = {}
    for name in state.__struct_fields__:
        value = getattr(state, name)
        if isinstance(value, Log):
            value = list(value)
        elif isinstance(value, Map):
            value = dict(cast("Map[str, object]", value))
        result[name] = masked_value(value)
    return result
