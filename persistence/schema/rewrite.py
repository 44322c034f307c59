"""A stored agent rewritten for the class of today: what must be committed, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..codec.codec import Codec
from ..codec.explain import name_of
from ..errors import CorruptState, MigrationFailed, PerdureError
from ..records.journal import shape_text
from ..records.records import Delta, StoredAgent, map_mark
from ..secrets.place import in_state
from ..secrets.tokens import PREFIX
from ..store.store import StoreReader
from ..upkeep.repair import sound_text
from .migration import Migration
from .schema import Schema
from .target import Target, TargetField
from .transforms import Data

CONVERT: Final = "(convert)"
"""The name in the journal of a commit that stores fields otherwise, and changes no value."""
MIGRATE: Final = "(migrate)"
"""The name of one that migrates an agent."""
_EMPTY: Final = {"log": "[]", "map": "{}", "map[int]": "{}"}


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What becomes of an agent."""

    name: str
    """What the journal calls it."""
    delta: Delta
    steps: tuple[str, ...]
    """The migrations that were run, in order."""
    left: tuple[str, ...]
    """Stored fields that nothing reads any more: they stay in the store."""
    before: Data = field(default_factory=dict)
    after: Data = field(default_factory=dict)
    """The values that were looked at, for people."""

    @classmethod
    def unchanged(cls, stored: StoredAgent, schema: int) -> Rewritten:
        """Return what says only that an agent is read by another schema as it is."""
        delta = Delta(stored.head.agent)
        delta.shape, delta.schemas = shape_text(stored.shape, schema), (stored.schema, schema)
        return cls(MIGRATE, delta, (), ())


class Rewriting:
    """One agent on its way from the schema it was written with to a target."""

    def __init__(
        self, reader: StoreReader, stored: StoredAgent, target: Target, old: Schema | None,
        alive: Iterable[str] = (), *, suspects: Iterable[str] = (), largest: int = 2**62,
    ) -> None:  # fmt: skip
        """Read nothing yet. ``old`` is what it was written with, None where that is not known.

        ``alive`` names fields that ``old`` does not know and that hold values all the same.
        ``suspects`` are those whose values may not fit, though no step says that it touches them.
        """
        self._reader = reader
        self._stored = stored
        self._target = target
        self._old = old
        self._largest = largest
        self._suspects = frozenset(suspects)
        self._who = f"{stored.head.kind}/{stored.head.key}"
        known = stored.shape if old is None else {member.name for member in old.members}
        self._alive = {name for name in stored.shape if name in known} | (
            {*alive} & stored.shape.keys()
        )
        self._items: dict[str, list[str]] = {}
        self._entries: dict[str, dict[str | int, str]] = {}
        self._delta = Delta(stored.head.agent)
        self._shape: dict[str, int | None] = dict(stored.shape)

    def run(self, steps: Sequence[Migration], schema: int) -> Rewritten | None:
        """Return what to commit; None if nothing has to be, as the class reads all as it is.

        MigrationFailed names the agent, the step and the path of what a step cannot take, or makes
        and the class does not. CorruptState where what is stored is damaged, or stored otherwise
        than perdure converts by itself. Changes nothing.
        """
        renamed = {} if steps and self._old is None else self._renamed()
        touched = self._touched(steps, renamed)
        data = self._read(touched)
        before = _copied(data)
        for step in steps:
            data = self._take(step, data)
        for old, new in renamed.items():
            if old in data and new not in data:
                data[new] = data.pop(old)
        self._write(data, before, touched)
        delta = self._delta
        if not delta and self._shape == self._stored.shape and not steps:
            return None
        delta.shape = shape_text(self._shape, schema)
        delta.schemas = self._stored.schema, schema
        changed = bool(steps or renamed)
        read = self._target.names | (touched - data.keys())
        left = tuple(sorted(self._alive - read)) if changed else ()
        return Rewritten(
            MIGRATE if changed else CONVERT, delta, tuple(map(str, steps)), left, before, data
        )

    def _renamed(self) -> dict[str, str]:
        """Return the fields that are stored under a name of before, and not under today's."""
        return {
            old: new
            for old, new in self._target.renamed.items()
            if old in self._alive and new not in self._alive
        }

    def _touched(self, steps: Sequence[Migration], renamed: dict[str, str]) -> set[str]:
        """Return the stored fields whose values are looked at."""
        found = {*renamed, *renamed.values()}
        if steps and self._old is None:
            return {*self._alive, *found}  # what may not fit is not known
        if steps or renamed:
            found |= self._suspects & self._alive
        for step in steps:
            if step.touches is None:
                return {*self._alive, *self._defaults(), *found}
            found |= step.touches
        return found

    def _defaults(self) -> dict[str, str]:
        """Return what fields of before began with, where they were never stored."""
        members = () if self._old is None else self._old.members
        return {
            member.name: _EMPTY.get(member.store, member.default)
            for member in members
            if (member.default or member.store) and member.name not in self._stored.shape
        }

    def _read(self, touched: set[str]) -> Data:
        """Return the values of fields as plain ones."""
        data: Data = {}
        defaults = self._defaults()
        for name in sorted(touched):
            if name in self._alive:
                data[name] = self._value(name)
            elif name in defaults:
                data[name] = msgspec.json.decode(defaults[name])
        return data

    def _value(self, name: str) -> Any:  # noqa: ANN401 - any JSON
        mark, head = self._stored.shape[name], self._stored.head
        if mark is None:
            return msgspec.json.decode(sound_text(self._stored, name))
        if mark >= 0:
            texts = self._items[name] = [*self._reader.log_texts(head.agent, name, mark)]
            return [msgspec.json.decode(text) for text in texts]
        entries = self._entries[name] = dict(self._reader.map_texts(head.agent, name))
        return {key: msgspec.json.decode(text) for key, text in entries.items()}

    def _take(self, step: Migration, data: Data) -> Data:
        try:
            made = step.up(data)
        except PerdureError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise MigrationFailed(self._who, "state", reason, str(step)) from error
        outcome: object = data if made is None else made
        if not isinstance(outcome, dict):
            reason = f"it gave {type(outcome).__name__}; change the dictionary or return another"
            raise MigrationFailed(self._who, "state", reason, str(step))
        return outcome

    def _write(self, data: Data, before: Data, touched: set[str]) -> None:
        """Make the changed values those of the target, and of other kinds what is so declared."""
        for plain in self._target.plain:
            self._plain(plain, data, before, touched)
        for log in self._target.logs:
            self._log(log, data, touched)
        for mapping in self._target.maps:
            self._map(mapping, data, touched)

    def _plain(self, plain: TargetField, data: Data, before: Data, touched: set[str]) -> None:
        name, shape = plain.name, self._stored.shape
        mark = shape.get(name)
        if name not in data:
            if mark is not None and name not in touched:
                raise self._other_kind(name, "a plain field")
            if name in touched and name in shape:
                self._begin_anew(plain)
            return
        value = data[name]
        if mark is None and name in before and _same(before[name], value):
            if name in shape:
                self._proven(plain.codec, value, name, None, {None: self._stored.fields[name][0]})
            return  # as it is stored, or still the default that it never was
        text = self._proven(plain.codec, value, name, None)
        self._delta.fields[name] = text
        self._drop_collection(name)
        self._shape[name] = None

    def _begin_anew(self, plain: TargetField) -> None:
        """Give a field that a migration took away the default of the class that has it again."""
        text = plain.start(plain.codec.at(*self._place(plain.name)))
        if text is None:
            return
        self._delta.fields[plain.name] = text
        self._drop_collection(plain.name)
        self._shape[plain.name] = None

    def _drop_collection(self, name: str) -> None:
        mark = self._stored.shape.get(name)
        if mark is None:
            return
        if mark >= 0:
            self._delta.truncated[name] = 0
            return
        for key in self._entries.get(name, {}):
            self._delta.put(name, key, None)

    def _log(self, log: TargetField, data: Data, touched: set[str]) -> None:
        name, mark = log.name, self._stored.shape.get(log.name, 0)
        if name in touched:
            values = data.get(name, [])
            if not isinstance(values, list):
                raise self._made_other(name, values, "a list, for a Log")
            texts = [
                self._proven(log.codec, value, name, at, self._items.get(name))
                for at, value in enumerate(values)
            ]
        elif mark is None:
            texts = self._list_texts(log)
        elif mark < 0:
            raise self._other_kind(name, "a Log")
        else:
            return
        if mark is not None and mark < 0:
            self._drop_collection(name)
        self._put_items(name, texts)

    def _list_texts(self, log: TargetField) -> list[str]:
        """Return the items of a list that is declared a log, each as it may stand there."""
        parts = self._parts(log.name, list[msgspec.Raw], "a Log")
        return [
            self._moved(log.codec, log.name, bytes(raw).decode(), None, at)
            for at, raw in enumerate(parts)
        ]

    def _put_items(self, name: str, texts: list[str]) -> None:
        known, same = self._items.get(name, []), 0
        while same < min(len(known), len(texts)) and known[same] == texts[same]:
            same += 1
        if same < len(known):
            self._delta.truncated[name] = same
        if same < len(texts):
            self._delta.append(name, same, texts[same:])
        self._no_plain(name)
        if texts or name in self._stored.shape:
            self._shape[name] = len(texts)

    def _no_plain(self, name: str) -> None:
        """Have the row of a plain field say nothing any more: rows of fields are never deleted."""
        mark = self._stored.shape.get(name, 0)
        if mark is None:
            self._delta.fields[name] = "null"

    def _map(self, mapping: TargetField, data: Data, touched: set[str]) -> None:
        name, wanted = mapping.name, map_mark(mapping.key_type)
        mark = self._stored.shape.get(name, wanted)
        if name in touched:
            values = data.get(name, {})
            if not isinstance(values, dict):
                raise self._made_other(name, values, "a dictionary, for a Map")
            known = self._entries.get(name, {})
            texts = {
                self._key(mapping, key): self._proven(mapping.codec, value, name, key, known)
                for key, value in values.items()
            }
        elif mark is None:
            texts = self._dict_texts(mapping)
        elif mark != wanted:
            raise self._other_kind(name, f"a Map with {mapping.key_type.__name__} keys")
        else:
            return
        if mark is not None and mark >= 0:
            self._drop_collection(name)
        self._put_entries(name, texts)
        if texts or name in self._stored.shape:
            self._shape[name] = wanted

    def _key(self, mapping: TargetField, key: object) -> str | int:
        try:
            return int(key) if mapping.key_type is int else str(key)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            where = f"state.{mapping.name}[{key!r}]"
            raise MigrationFailed(self._who, where, "it is no int key", "") from None

    def _dict_texts(self, mapping: TargetField) -> dict[str | int, str]:
        """Return the entries of a dictionary that is declared a map."""
        texts: dict[str | int, str] = {}
        for written, raw in self._parts(mapping.name, dict[str, msgspec.Raw], "a Map").items():
            try:
                key: str | int = int(written) if mapping.key_type is int else written
            except ValueError:
                raise self._other_kind(mapping.name, "a Map with int keys") from None
            text = bytes(raw).decode()
            texts[key] = self._moved(mapping.codec, mapping.name, text, written, key)
        return texts

    def _put_entries(self, name: str, texts: dict[str | int, str]) -> None:
        known = self._entries.get(name, {})
        for key in known.keys() - texts.keys():
            self._delta.put(name, key, None)
        for key, text in texts.items():
            if known.get(key) != text:
                self._delta.put(name, key, text)
        self._no_plain(name)

    def _parts(self, name: str, form: Any, declared: str) -> Any:  # noqa: ANN401 - of the form
        text = sound_text(self._stored, name)
        try:
            return msgspec.json.decode(text, type=form)
        except ValueError:
            raise self._other_kind(name, declared) from None

    def _place(self, name: str) -> tuple[str, ...]:
        return in_state(self._stored.head.kind, self._stored.head.key, name)

    def _proven(
        self, codec: Codec[object], value: object, name: str, part: str | int | None,
        known: Any = None,  # noqa: ANN401 - items or entries
    ) -> str:  # fmt: skip
        """Return the text of a migrated value, as its class has it."""
        quick = codec.quick(value) if known is None else None
        if quick is not None and len(quick) <= self._largest and PREFIX not in quick:
            return quick  # one number or text, as most are: it needs no proof
        where = f"state.{name}" if part is None else f"state.{name}[{part!r}]"
        try:
            here = codec.at(*self._place(name))
            text = msgspec.json.encode(value).decode()
            old = self._text_at(known, part)
            if old is not None and msgspec.json.encode(msgspec.json.decode(old)).decode() == text:
                here.decode(old, part)
                return old
            if PREFIX in text:
                self._refuse_secret(where)
            proven = here.encode(here.decode(text, part), where, part)
        except (ValueError, TypeError, RecursionError) as error:
            reason = f"it does not decode as {name_of(codec.declared)}: {error}"
            raise MigrationFailed(self._who, where, reason, "") from error
        if len(proven) > self._largest:
            reason = f"takes {len(proven):,} characters, more than the limit of {self._largest:,}"
            raise MigrationFailed(self._who, where, reason, "")
        return codec.over(text, proven, proven)

    @staticmethod
    def _text_at(known: Any, part: str | int | None) -> str | None:  # noqa: ANN401 - as above
        if isinstance(known, list):
            return known[part] if isinstance(part, int) and part < len(known) else None
        return known.get(part) if isinstance(known, dict) else None

    def _refuse_secret(self, where: str) -> None:
        reason = (
            "it holds a sealed secret, which is bound to its place; leave the field as it is, and"
            " move the secret in a handler"
        )
        raise MigrationFailed(self._who, where, reason, "")

    def _moved(
        self, codec: Codec[object], name: str, text: str, source: str | None, part: str | int
    ) -> str:
        """Return the text of a part of a plain field as it may stand in the collection."""
        where = f"{self._who}, state.{name}[{part!r}]"
        here = codec.at(*self._place(name))
        text = here.moved(text, source, part, where)
        try:
            proven = here.encode(here.decode(text, part), name, part)
        except ValueError as error:
            raise CorruptState(where, f"{error}; {_MENDING}") from None
        return codec.over(text, proven, proven)

    def _made_other(self, name: str, value: object, wanted: str) -> MigrationFailed:
        reason = f"the migrations made {type(value).__name__} of it, and not {wanted}"
        return MigrationFailed(self._who, f"state.{name}", reason, "")

    def _other_kind(self, name: str, declared: str) -> CorruptState:
        mark = self._stored.shape[name]
        there = "a plain field" if mark is None else "a Log" if mark >= 0 else "a Map"
        if mark is not None and mark < 0:
            there = f"a Map with {'int' if mark == map_mark(int) else 'str'} keys"
        where = f"{self._who}, state.{name}"
        return CorruptState(where, f"is stored as {there} and declared as {declared}; {_MENDING}")


_MENDING: Final = (
    "declare it as it is stored, give the new kind another name and move the values in a handler,"
    " or declare a migration"
)


def _copied(data: Data) -> Data:
    copied: Data = msgspec.json.decode(msgspec.json.encode(data))
    return copied


def _same(before: object, after: object) -> bool:
    return msgspec.json.encode(before) == msgspec.json.encode(after)
