"""Members of stored records that their declared types do not know: kept when a value is written.

A class of before a change, or a program that is not yet updated, decodes a record without what it
does not know of. Three texts tell what to keep: the stored one, what the type makes of that
(``seen``), and the new one. Where ``seen`` and the new text are the same, the program has changed
nothing, and the stored text stays byte for byte; elsewhere a record takes over its unknown members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from msgspec import Raw, inspect

from .ordered import holds

_RECORDS: Final = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)
_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_array: Final = msgspec.json.Decoder(list[Raw]).decode


class Texts(NamedTuple):
    """The three texts of one place."""

    stored: Raw
    seen: Raw
    new: Raw

    def open(self, bracket: bytes) -> bool:
        """Tell whether all begin with ``bracket``."""
        return all(memoryview(text)[:1] == bracket for text in self)


class Child(NamedTuple):
    """A place inside another."""

    put: Callable[[object], None]
    """Give it its text, or a collection that is still to be filled."""
    keeper: UnknownKeeper
    texts: Texts


class Parts(NamedTuple):
    """The new text of a place, taken apart; what its record does not know is in it already."""

    whole: object
    children: list[Child]


class UnknownKeeper(Protocol):
    """Know what may be kept in one place of a declared type."""

    def parts(self, texts: Texts) -> Parts | None:
        """Take a place apart; None if its texts are not all of this form."""
        ...


def keeper_of(info: object) -> UnknownKeeper | None:
    """Return the keeper of a type that ``msgspec.inspect`` describes; None if it has no records."""
    return _KeeperCompiler().keeper(info)


def keep(keeper: UnknownKeeper, stored: str, seen: str, new: str) -> str:
    """Return the ``new`` text with what ``stored`` has and ``seen`` lacks.

    With a stack of its own: a value may nest more deeply than Python's calls.
    """
    root: list[object] = []
    waiting = [Child(root.append, keeper, Texts(Raw(stored), Raw(seen), Raw(new)))]
    while waiting:
        put, keeper, texts = waiting.pop()
        if texts.new == texts.seen:
            put(texts.stored)
            continue
        parts = keeper.parts(texts)
        if parts is None:
            put(texts.new)
        else:
            put(parts.whole)
            waiting.extend(parts.children)
    return msgspec.json.encode(root[0]).decode()


class _Record:
    """A struct, a dataclass or a typed dictionary, stored as an object."""

    def __init__(
        self, names: set[str], inside: dict[str, UnknownKeeper], tag: tuple[str, Raw] | None
    ):
        self._names = names if tag is None else names | {tag[0]}
        self._inside = inside
        self._tag = tag

    def parts(self, texts: Texts) -> Parts | None:
        if not texts.open(b"{"):
            return None
        stored, seen, new = map(_object, texts)
        if self._tag is not None:
            name, tag = self._tag
            if new.get(name) != tag or stored.get(name, tag) != tag:
                return None  # a record of another class came in its place
        unknown = {name: text for name, text in stored.items() if name not in self._names}
        whole: dict[str, object] = {**new, **unknown}
        children = [
            Child(partial(whole.__setitem__, name), keeper, Texts(stored[name], seen[name], text))
            for name, keeper in self._inside.items()
            if (text := new.get(name)) is not None and name in stored and name in seen
        ]
        return Parts(whole, children)


class _Row:
    """What stands in an array with a place for each: a tuple, a record without names.

    Of such a record, newer classes have their fields behind the known ones.
    """

    def __init__(self, inside: dict[int, UnknownKeeper], width: int, tag: Raw | None):
        self._inside = inside
        self._width = width
        self._tag = tag

    def parts(self, texts: Texts) -> Parts | None:
        if not texts.open(b"["):
            return None
        stored, seen, new = map(_array, texts)
        if self._tag is not None and (new[:1] != [self._tag] or stored[:1] != [self._tag]):
            return None
        whole: list[object] = [*new]
        if len(new) == self._width:
            whole += stored[self._width :]
        shortest = min(len(stored), len(seen), len(new))
        children = [
            Child(
                partial(whole.__setitem__, place),
                keeper,
                Texts(stored[place], seen[place], new[place]),
            )
            for place, keeper in self._inside.items()
            if place < shortest
        ]
        return Parts(whole, children)


class _Items:
    """A list, or a tuple of any length."""

    def __init__(self, inside: UnknownKeeper):
        self._inside = inside

    def parts(self, texts: Texts) -> Parts | None:
        if not texts.open(b"["):
            return None
        stored, seen, new = map(_array, texts)
        whole: list[object] = [*new]
        if len(stored) != len(seen):
            return Parts(whole, [])
        children = [
            Child(
                partial(whole.__setitem__, place),
                self._inside,
                Texts(stored[before], seen[before], new[place]),
            )
            for place, before in partners(list(map(bytes, seen)), list(map(bytes, new)))
        ]
        return Parts(whole, children)


class _Values:
    """A dictionary: its keys are the program's, so one that is gone was deleted."""

    def __init__(self, inside: UnknownKeeper):
        self._inside = inside

    def parts(self, texts: Texts) -> Parts | None:
        if not texts.open(b"{"):
            return None
        stored, seen, new = map(_object, texts)
        whole: dict[str, object] = {**new}
        children = [
            Child(
                partial(whole.__setitem__, key), self._inside, Texts(stored[key], seen[key], text)
            )
            for key, text in new.items()
            if key in stored and key in seen
        ]
        return Parts(whole, children)


class _Choice:
    """One of several types; their forms and tags tell which."""

    def __init__(self, members: list[UnknownKeeper]):
        self.members = members

    def parts(self, texts: Texts) -> Parts | None:
        found = (member.parts(texts) for member in self.members)
        return next((parts for parts in found if parts is not None), None)


def partners(seen: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Find items of a new list in the one of before: pairs of places, new and old.

    An item is the same if its text is, wherever it stands, unless there are more or fewer of that
    text than before. A changed one is the item of before in the same place between unchanged
    neighbours, if there are as many between them as before, or, at the end of the list, more.
    """
    before, now = _places(seen), _places(new)
    found = {
        place: old
        for text, places in now.items()
        if len(places) == len(before.get(text, ()))
        for place, old in zip(places, before[text], strict=True)
    }
    taken = {*found.values()}
    start = old_start = 0
    anchors = [*sorted(found.items()), (len(new), len(seen))]
    for stop, old_stop in anchors:
        gap, old_gap = stop - start, old_stop - old_start
        grown = stop == len(new) and gap > old_gap
        if (gap == old_gap or grown) and taken.isdisjoint(range(old_start, old_stop)):
            yield from zip(range(start, stop), range(old_start, old_stop), strict=False)
        start, old_start = stop + 1, old_stop + 1
    yield from found.items()


def _places(texts: Sequence[bytes]) -> dict[bytes, list[int]]:
    places: dict[bytes, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    return places


class _KeeperCompiler:
    """Make the keeper of one declared type; records may hold themselves."""

    def __init__(self) -> None:
        self._known: dict[int, UnknownKeeper] = {}
        self._kept: list[object] = []  # so that no identity in _known is given out twice

    def keeper(self, info: object) -> UnknownKeeper | None:
        if isinstance(info, inspect.Metadata):
            return self.keeper(info.type)
        make = _MAKERS.get(type(info))
        if make is None or not holds(info, _RECORDS):
            return None
        if id(info) not in self._known:
            self._kept.append(info)
            itself = _Choice([])
            self._known[id(info)] = itself
            made = make(self, info)
            itself.members.append(made)
            self._known[id(info)] = made
        return self._known[id(info)]

    def record(
        self, info: inspect.StructType | inspect.DataclassType | inspect.TypedDictType
    ) -> UnknownKeeper:
        fields = {field.encode_name: self.keeper(field.type) for field in info.fields}
        tag = None
        if isinstance(info, inspect.StructType):
            if info.tag_field is not None:
                tag = (info.tag_field, Raw(msgspec.json.encode(info.tag)))
            if info.array_like:
                first = [] if tag is None else [None]
                return self._row([*first, *fields.values()], None if tag is None else tag[1])
        return _Record({*fields}, {name: each for name, each in fields.items() if each}, tag)

    def row(self, info: inspect.TupleType) -> UnknownKeeper:
        return self._row([self.keeper(each) for each in info.item_types])

    def named(self, info: inspect.NamedTupleType) -> UnknownKeeper:
        return self._row([self.keeper(field.type) for field in info.fields])

    def _row(self, keepers: list[UnknownKeeper | None], tag: Raw | None = None) -> UnknownKeeper:
        inside = {place: keeper for place, keeper in enumerate(keepers) if keeper is not None}
        return _Row(inside, len(keepers), tag)

    def items(self, info: inspect.ListType | inspect.VarTupleType) -> UnknownKeeper:
        inside = self.keeper(info.item_type)
        return _Choice([]) if inside is None else _Items(inside)

    def values(self, info: inspect.DictType) -> UnknownKeeper:
        inside = self.keeper(info.value_type)
        return _Choice([]) if inside is None else _Values(inside)

    def choice(self, info: inspect.UnionType) -> UnknownKeeper:
        keepers = [self.keeper(each) for each in info.types]
        return _Choice([keeper for keeper in keepers if keeper is not None])


_MAKERS: Final[dict[type, Callable[[_KeeperCompiler, Any], UnknownKeeper]]] = {
    **dict.fromkeys(_RECORDS, _KeeperCompiler.record),
    **dict.fromkeys((inspect.ListType, inspect.VarTupleType), _KeeperCompiler.items),
    inspect.TupleType: _KeeperCompiler.row,
    inspect.NamedTupleType: _KeeperCompiler.named,
    inspect.DictType: _KeeperCompiler.values,
    inspect.UnionType: _KeeperCompiler.choice,
}
