"""Live state to deltas and back: what changed in a turn, and how to undo it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

from msgspec.structs import astuple

from ..codec.codec import IMMUTABLE, Codec
from ..codec.exact import fits
from ..errors import CorruptState, StateError
from ..records.checksums import of_entry, of_item
from ..records.journal import shape_text
from ..records.records import Delta, EntryRow, ItemRow, Shape, map_mark
from ..secrets.detector import SHORTEST, SecretWatch, sensitive
from ..secrets.masking import masked_value
from ..secrets.place import in_state
from .log import Log, LogReader
from .map import Map, MapReader
from .state import Layout, PlainField, State

HEAVIEST: Final = 200_000_000
"""Characters one turn may change. Its journal row holds them all, and a row of more than a
billion bytes could never be saved: everything behind it would wait for ever."""
_NOTHING: Final[frozenset[type]] = frozenset()
_INTEGERS: Final[frozenset[type]] = frozenset({int})


class StateReader(Protocol):
    """Give the readers of one agent's collections."""

    def log(self, field: str) -> LogReader:
        """Return the reader of a log field."""
        ...

    def map(self, field: str) -> MapReader:
        """Return the reader of a map field."""
        ...


class _Tracked:
    """One plain field of one agent: its last committed value, beside what its class says of it."""

    __slots__ = ("codec", "field", "name", "object", "position", "seen", "stale", "text")

    def __init__(self, field: PlainField, codec: Codec[object]) -> None:
        self.field = field
        # At hand, for the path of every turn.
        self.position = field.position
        self.name = field.name
        self.codec = codec
        self.object: object = None
        # The committed text; None while it was never needed (a default, or an immutable value).
        self.text: str | None = None
        # What the class makes of that text, which may hold more than it knows; None while no
        # turn needed it. Costs a decoding after a load, nothing after this class has written.
        self.seen: str | None = None
        # To be given out by collect() or saved() though it has not changed: committed by defer(),
        # computed.
        self.stale = False

    def over(self, text: str) -> str:
        """Return what to store of a value that encodes as ``text``; see ``Codec.over``."""
        if self.text is None:
            return text
        if self.text == text:
            return self.text  # itself: whoever compares again need not look at it
        if self.seen is None:
            self.seen = self.codec.seen(self.text)
        return self.codec.over(self.text, self.seen, text)


_Change: TypeAlias = tuple[_Tracked, object, str | None, str | None]
"""A field, its value, the text of that unless it may wait, and what the class sees in the text."""
_Maps: TypeAlias = Sequence[tuple[str, Map[str, object], list[tuple[str, str]], list[str]]]
"""Maps that changed: the name, the map, what was put and what was deleted."""


class _How(enum.Enum):
    """What is taken for committed when changes are given out."""

    COLLECT = "collect"
    DEFER = "defer"
    """Plain fields are not given out yet."""
    SAVE = "save"
    """What ``DEFER`` has left."""


class _Offer(NamedTuple):
    """Changes that are given out: of no use to anybody before they are taken for committed."""

    delta: Delta | None
    changed: Sequence[_Change]
    logs: Sequence[tuple[str, Log[object]]]
    maps: _Maps
    how: _How


class StateTracker:
    """Own one live state: find what each turn changed, commit it or roll it back.

    Used by one turn at a time. Invariant between turns: every plain field's ``object`` is the
    live value, and ``text`` its encoding unless the value is of an immutable type. In a turn both
    stay what they were at the end of the turn before, whatever the handler does to the state.
    """

    def __init__(
        self,
        layout: Layout,
        agent: int,
        stored: Mapping[str, str],
        shape: Shape,
        reader: StateReader,
        *,
        owner: tuple[str, str],
        largest: int,
        watch: SecretWatch | None = None,
        lasting: bool = False,
        schema: int = 0,
        written: int = 0,
    ) -> None:
        """Decode ``stored`` (verified texts by field name); CorruptState names a bad field.

        ``lasting``: what was given out is given out again until it is kept, see ``offer``.
        ``owner`` is the agent's kind and key, to which its secrets are bound.
        ``shape`` is the agent's whole shape, also of fields its class no longer has.
        ``schema`` is the number of its class's schema, ``written`` that of the stored one: where
        they differ, the first delta says so.
        """
        self.layout = layout
        self.state = layout.state_class()
        self._agent = agent
        self._largest = largest
        self._short = min(SHORTEST - 1, largest)  # characters that hold no secret and fit
        self._watch = watch
        self._redacts = watch is not None and watch.redacts
        self._lasting = lasting
        self.offer: _Offer | None = None
        """What is being given out, and is given out again until who keeps it sets this to None.

        Its thread may be struck at any call: each step of the taking may be done twice.
        """
        self._shape = dict(shape)
        self._schema = schema
        self._written = written
        self._plain: list[_Tracked] = []
        self.stale = False
        """Whether there is anything to save that no later turn need change."""
        for plain in layout.plain:
            codec = plain.codec.at(*in_state(*owner, plain.name))
            tracked = _Tracked(plain, codec)
            if plain.name in stored:
                tracked.text = stored[plain.name]
                try:
                    value = codec.decode(tracked.text)
                except ValueError as error:
                    raise CorruptState(plain.place, str(error)) from error
                setattr(self.state, plain.name, value)
            else:
                # What was computed must be the same after a load: its first turn stores it.
                if plain.computed:
                    tracked.stale = self.stale = True
                self._start(tracked)
            tracked.object = getattr(self.state, plain.name)
            self._plain.append(tracked)
        self._logs: Sequence[tuple[str, Log[object]]] = ()
        for log_field in layout.logs:
            length = self._shape.get(log_field.name) or 0
            path = f"state.{log_field.name}"
            codec = log_field.codec.at(*in_state(*owner, log_field.name))
            log = Log.bound(codec, path, length, reader.log(log_field.name))
            setattr(self.state, log_field.name, log)
            self._logs = [*self._logs, (log_field.name, log)]
        self._maps: Sequence[tuple[str, Map[str, object]]] = ()
        for map_field in layout.maps:
            path = f"state.{map_field.name}"
            codec = map_field.codec.at(*in_state(*owner, map_field.name))
            mapping: Map[str, object] = Map.bound(
                codec, map_field.key_type, path, reader.map(map_field.name)
            )
            setattr(self.state, map_field.name, mapping)
            self._maps = [*self._maps, (map_field.name, mapping)]
        self.collections = bool(self._logs or self._maps)
        """Whether there is anything that ``trim`` could forget."""

    def _start(self, tracked: _Tracked) -> None:
        """Begin with a field's default; one that can change is this agent's own object."""
        value = getattr(self.state, tracked.name)
        if value.__class__ in IMMUTABLE:
            return
        if not value and value.__class__ in (list, dict, set):  # msgspec has made it anew
            tracked.text = tracked.codec.encode(value, tracked.field.path)
        else:
            tracked.text, own = tracked.codec.encode_copy(value, tracked.field.path)
            setattr(self.state, tracked.name, own)
        tracked.seen = tracked.text

    def collect(self) -> Delta | None:
        """Return what changed since the last collect and take it as committed; None if nothing did.

        At the end of a turn only: it looks at the live state. StateError when a value cannot be
        stored; then nothing is taken, and the caller rolls back.
        """
        if self.offer is not None:
            return self._take(self.offer)
        return self._give(self._changes(_NOTHING), _How.COLLECT)

    def defer(self) -> Delta | None:
        """Take what changed as committed, and leave plain fields to the next ``collect()``.

        For agents that are saved now and then: a number that changes a thousand times between
        two saves is encoded once. Returns what changed in logs and maps, which cannot wait.
        StateError when a value cannot be stored; then nothing is taken, and the caller rolls back.
        """
        if self.offer is not None:
            return self._take(self.offer)
        changed = self._changes(_INTEGERS)
        if self.collections or len(changed) > 1:
            return self._give(changed, _How.DEFER)
        for tracked, value, text, _ in changed:
            if text is not None:
                return self._give(changed, _How.DEFER)
            # One number, as in most turns. No call from here to the end: it is taken in one moment,
            # and needs no offer.
            tracked.object = value
            tracked.text = tracked.seen = None
            tracked.stale = self.stale = True
        return None

    def saved(self) -> Delta | None:
        """Return what ``defer`` has left, as it was at the end of the last turn; None if nothing.

        May be called in the middle of a turn: what the handler has done to the state so far is
        not looked at. Not while a turn is being collected or deferred.
        """
        if self.offer is not None:
            return self._take(self.offer)
        changed: list[_Change] = []
        for tracked in self._plain:
            if not tracked.stale:
                continue
            text = tracked.text
            if text is None:
                text = tracked.codec.encode(tracked.object, tracked.field.path)
            if len(text) > self._short or tracked.field.sensitive:
                text = self._examined(tracked, text)  # a computed value was not yet
            seen = tracked.seen if text == tracked.text else None
            changed.append((tracked, tracked.object, text, seen))
        return self._give(changed, _How.SAVE)

    def _give(self, changed: Sequence[_Change], how: _How) -> Delta | None:
        """Give out what changed. Up to the offer nothing is taken, from there on all of it is."""
        delta: Delta | None = None
        logs: Sequence[tuple[str, Log[object]]] = ()
        maps: _Maps = ()
        if self.collections and how is not _How.SAVE:
            delta, logs, maps = self._pending(changed)
        if changed and delta is None and how is not _How.DEFER:
            delta = Delta(self._agent)
        offer = tuple.__new__(_Offer, (delta, changed, logs, maps, how))
        if self._lasting and (changed or logs or maps):
            self.offer = offer
        return self._take(offer)

    def _take(self, offer: _Offer) -> Delta | None:
        """Take what is given out as committed; may be done again where it was interrupted."""
        delta, changed, logs, maps, how = offer
        if logs or maps:
            self._take_collections(offer)
        if how is _How.DEFER:
            for tracked, value, text, seen in changed:
                tracked.object = value
                tracked.text = text
                tracked.seen = seen
                tracked.stale = self.stale = True
                if text is not None and (tracked.codec.widens or self._redacts):
                    tracked.object = self._loaded(tracked, value, text)
            return self._shaped(delta)
        if changed:
            assert delta is not None
            for tracked, value, text, seen in changed:
                assert text is not None
                tracked.object = value
                tracked.seen = seen
                tracked.text = delta.fields[tracked.name] = text
                tracked.stale = False
                if tracked.name not in self._shape:
                    self._shape[tracked.name] = None
                    delta.shape = ""
                if how is _How.COLLECT and (tracked.codec.widens or self._redacts):
                    tracked.object = self._loaded(tracked, value, text)
        self.stale = False
        return self._shaped(delta)

    def accept(self) -> None:
        """Take what changed as committed without storing it: for agents that are not stored.

        StateError when a value could not be rolled back; then nothing is taken.
        """
        for tracked, value, text, seen in self._changes(IMMUTABLE):
            tracked.object = value
            if text is not None:
                tracked.text = text
                tracked.seen = seen
        if self.stale:  # computed defaults
            self.stale = False
            for tracked in self._plain:
                tracked.stale = False
        if self.collections:
            for _, log in self._logs:
                log.commit()
            for _, mapping in self._maps:
                if mapping.changed():
                    mapping.commit(*mapping.pending())

    def _changes(self, later: frozenset[type]) -> Sequence[_Change]:
        """Return the plain fields that changed, and take nothing: the last may be refused yet.

        ``later`` holds the classes whose values need no text now: none, integers (no store refuses
        one of 64 bits), or all that cannot change in place, where nothing is stored at all.
        """
        values = astuple(self.state)  # one call for all fields
        stored = later is not IMMUTABLE
        changed: list[_Change] | None = None
        weight = 0
        for tracked in self._plain:
            value = values[tracked.position]
            kind = value.__class__
            if value is tracked.object and kind in IMMUTABLE and (later or not tracked.stale):
                continue
            text = seen = None
            if kind not in later or (
                stored and not (kind is tracked.codec.declared and fits(value))
            ):
                seen = tracked.codec.encode(value, tracked.field.path)
                text = seen if kind in IMMUTABLE else tracked.over(seen)
                if text == tracked.text and not tracked.stale:
                    tracked.object = (
                        self._loaded(tracked, value, text) if tracked.codec.widens else value
                    )
                    continue
                if stored and (len(text) > self._short or tracked.field.sensitive):
                    examined = self._examined(tracked, text)
                    if examined != text:
                        text, seen = examined, None
                    weight += len(text)
            # No list before there is something to put in: most turns change one field or none.
            if changed is None:
                changed = [(tracked, value, text, seen)]
            else:
                changed.append((tracked, value, text, seen))
        if weight:
            _check_weight(weight)
        return changed or ()

    def outlook(self) -> tuple[dict[str, object], dict[str, object]] | None:
        """Return plain fields that changed, as they were and as they are; None if nothing changed.

        Takes nothing. Both are empty where only logs or maps changed. StateError as ``collect``.
        """
        changed = self._changes(_NOTHING)
        collections = any(log.changed() for _, log in self._logs) or any(
            mapping.changed() for _, mapping in self._maps
        )
        if not changed and not collections:
            return None
        old = {
            tracked.name: tracked.object
            if tracked.object.__class__ in IMMUTABLE or tracked.text is None
            else tracked.codec.decode(tracked.text)
            for tracked, *_ in changed
        }
        return old, {tracked.name: value for tracked, value, *_ in changed}

    def _examined(self, tracked: _Tracked, text: str) -> str:
        """Return what to store for a field's text; StateError if that is refused."""
        if self._watch is not None:
            text = self._watch.examine(text, tracked.field.place, tracked.field.sensitive)
        self._check_sizes(tracked.name, [text])
        return text

    def _shaped(self, delta: Delta | None) -> Delta | None:
        """Give a delta the agent's shape if that is new."""
        if delta is not None and (
            delta.shape is not None or delta.items or self._written != self._schema
        ):
            delta.shape = shape_text(self._shape, self._schema)
            if self._written not in (0, self._schema):
                delta.schemas = self._written, self._schema
            self._written = self._schema
        return delta

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

    def _loaded(self, tracked: _Tracked, value: object, text: str) -> object:
        """Give the field the value a load would give (an int in a float field becomes a float)."""
        codec = tracked.codec
        loaded = codec.decode(text) if self._redacts else codec.as_loaded(value, text)
        if loaded is not value:
            setattr(self.state, tracked.name, loaded)
        return loaded

    def _pending(
        self, changed: Sequence[_Change]
    ) -> tuple[Delta | None, Sequence[tuple[str, Log[object]]], _Maps]:
        """Encode what changed in collections and take nothing: a StateError may come yet.

        What plain fields ``changed`` counts towards the weight of the turn.
        """
        state = self.state
        for name, collection in (*self._logs, *self._maps):
            if getattr(state, name) is not collection:
                problem = "was replaced; change the collection in place (append, [key] = ...)"
                raise StateError(f"state.{name}", problem)
        maps = [
            (name, mapping, *mapping.pending()) for name, mapping in self._maps if mapping.changed()
        ]
        logs = [(name, log) for name, log in self._logs if log.changed()]
        self._examine(logs, maps)
        if not logs and not maps:
            return None, (), ()
        weight = sum(len(text) for _, _, text, _ in changed if text is not None) if changed else 0
        for name, log in logs:
            weight += self._check_sizes(name, log.pending()[1])
        for name, _, puts, _ in maps:
            weight += self._check_sizes(name, [text for _, text in puts])
        _check_weight(weight)
        delta = Delta(self._agent)
        for name, log in logs:
            rows = self._item_rows(name, *log.pending())
            delta.items = [*delta.items, *rows] if delta.items else rows
        for name, _, puts, deletes in maps:
            self._put_entries(delta, name, puts, deletes)
        return delta or None, logs, maps

    def _item_rows(self, name: str, start: int, texts: list[str]) -> list[ItemRow]:
        agent, new = self._agent, tuple.__new__  # its own constructor takes twice as long
        return [
            new(ItemRow, (agent, name, position, text, of_item(agent, name, position, text)))
            for position, text in enumerate(texts, start)
        ]

    def _put_entries(
        self, delta: Delta, name: str, puts: list[tuple[str, str]], deletes: list[str]
    ) -> None:
        agent, new = self._agent, tuple.__new__
        for key, text in puts:
            crc = of_entry(agent, name, key, text)
            delta.entries[agent, name, key] = new(EntryRow, (agent, name, key, text, crc))
        for key in deletes:
            delta.entries[agent, name, key] = None

    def _take_collections(self, offer: _Offer) -> None:
        """Take logs and maps; a map's first changes have the shape say that it is one."""
        for name, log in offer.logs:
            log.commit()
            self._shape[name] = len(log)
        for name, mapping, puts, deletes in offer.maps:
            mapping.commit(puts, deletes)
            if name not in self._shape and offer.delta is not None:
                key_type = next(field.key_type for field in self.layout.maps if field.name == name)
                self._shape[name] = map_mark(key_type)
                offer.delta.shape = ""  # to be filled in

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
