"""Generated states: what a class, or a schema that is all that is left of one, may have stored."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from ..persistence.errors import ConfigurationError
from ..persistence.schema.schema import Schema
from ..persistence.schema.types import AGAIN, Member, TypeNode
from ..persistence.state.state import State
from .schemas import schema_from

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover - a test has it so in a process of its own
    message = "generated states need hypothesis: pip install 'perdure[testing]'"
    raise ConfigurationError(message) from error

Values: TypeAlias = st.SearchStrategy[Any]
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_MOST: Final = 4
"""Items of a generated collection."""


def states(
    written: Schema | type[State], *, types: Mapping[str, Values] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of the values of agents, as migrations see them.

    ``written`` is a State class, or a schema of a store (``stored_schemas``) whose class is gone. A
    field that an agent never set is not there. ``types`` gives strategies of the JSON form of types
    that are not Python's own, by the name of their class.
    """
    schema, maker = schema_from(written), _Maker(types or {})
    fields = {member.name: maker.stored(member) for member in schema.members}
    return st.fixed_dictionaries({}, optional=fields)


class _Maker:
    """Strategies of what is stored of types."""

    def __init__(self, types: Mapping[str, Values]) -> None:
        self._types = types

    def stored(self, member: Member) -> Values:
        """Return values of a field: a list for a Log, a dictionary for a Map."""
        inner = self.of(member.type, ())
        if member.store == "log":
            return st.lists(inner, max_size=_MOST)
        if member.store:
            key = _INTEGERS.map(str) if member.store == "map[int]" else _TEXT
            return st.dictionaries(key, inner, max_size=_MOST)
        return inner

    def of(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        """Return the values of a type; ``outer`` are those of the records around it."""
        if node.name in self._types:
            return self._types[node.name]
        if node.form == AGAIN:
            return outer[node.up]
        if node.form in _PLAIN:
            return _PLAIN[node.form](dict(node.limits))
        make = _INSIDE.get(node.form)
        if make is None:
            told = node.name or node.form
            message = f"no values are known of {told}; give a strategy: types={{{told!r}: ...}}"
            raise ConfigurationError(message)
        return make(self, node, outer)

    def union(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        # The simplest first: hypothesis shrinks to it, and a record inside of itself ends there.
        found = sorted(node.inside, key=lambda each: each.form != "null")
        return st.one_of([self.of(each, outer) for each in found])

    def constants(self, node: TypeNode, _outer: tuple[Values, ...]) -> Values:
        return st.sampled_from([msgspec.json.decode(value) for value in node.values])

    def items(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        once = node.form in ("set", "frozenset")
        limits = dict(node.limits)
        least = int(limits.get("min_length", 0))
        most = int(limits.get("max_length", max(_MOST, least)))
        return st.lists(
            self.of(node.inside[0], outer), min_size=least, max_size=most,
            unique_by=_form if once else None,
        )  # fmt: skip

    def fixed(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        return st.tuples(*(self.of(each, outer) for each in node.inside)).map(list)

    def mapping(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        key, value = (self.of(each, outer) for each in node.inside)
        keys = key.map(
            lambda key: key if isinstance(key, str) else msgspec.json.encode(key).decode()
        )
        return st.dictionaries(keys, value, max_size=_MOST)

    def record(self, node: TypeNode, outer: tuple[Values, ...]) -> Values:
        made: list[Values] = []
        around = (st.deferred(lambda: made[0]), *outer)
        members = [(each, self.of(each.type, around)) for each in node.members]
        if node.row:
            made.append(st.tuples(*(values for _, values in members)).map(list))
            return made[0]
        there = {each.name: values for each, values in members if each.required}
        if node.tag is not None:
            there = {node.tag[0]: st.just(msgspec.json.decode(node.tag[1])), **there}
        left = {each.name: values for each, values in members if not each.required}
        made.append(st.fixed_dictionaries(there, optional=left))
        return made[0]


def _form(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


_TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=8)
_INTEGERS: Final = st.integers(_SMALLEST, _LARGEST)
_JSON: Final = st.recursive(
    st.none() | st.booleans() | _INTEGERS | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_Limits: TypeAlias = dict[str, str]


def _integers(limits: _Limits) -> Values:
    step = int(limits.get("multiple_of", 1))
    low = max(int(limits.get("ge", _SMALLEST)), int(limits.get("gt", _SMALLEST - 1)) + 1)
    high = min(int(limits.get("le", _LARGEST)), int(limits.get("lt", _LARGEST + 1)) - 1)
    return st.integers(-(-low // step), high // step).map(lambda number: number * step)


def _floats(limits: _Limits) -> Values:
    bounds = {name: float(value) for name, value in limits.items() if name != "multiple_of"}
    return st.floats(
        bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt")),
        exclude_min="gt" in bounds, exclude_max="lt" in bounds,
        allow_nan=False, allow_infinity=False,
    )  # fmt: skip


def _texts(limits: _Limits) -> Values:
    least, most = int(limits.get("min_length", 0)), limits.get("max_length")
    most_chars = int(most) if most is not None else max(8, least)
    if "pattern" in limits:
        found = st.from_regex(limits["pattern"])
        return found.filter(
            lambda text: least <= len(text) and (most is None or len(text) <= int(most))
        )
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=most_chars)


def _moments(limits: _Limits) -> Values:
    zone = limits.get("tz")
    zones = st.just(dt.UTC) if zone == "True" else st.none()
    return st.datetimes(timezones=zones if zone else st.none() | st.just(dt.UTC)).map(_plain)


def _plain(value: object) -> object:
    """Return the JSON form of a value."""
    return msgspec.to_builtins(value)


def _bytes(limits: _Limits) -> Values:
    least = int(limits.get("min_length", 0))
    most = int(limits.get("max_length", max(8, least)))
    return st.binary(min_size=least, max_size=most).map(lambda raw: base64.b64encode(raw).decode())


_PLAIN: Final[dict[str, Callable[[_Limits], Values]]] = {
    "any": lambda _limits: _JSON,
    "null": lambda _limits: st.none(),
    "bool": lambda _limits: st.booleans(),
    "int": _integers,
    "float": _floats,
    "str": _texts,
    "bytes": _bytes,
    "decimal": lambda _limits: st.decimals(allow_nan=False, allow_infinity=False, places=2).map(
        str
    ),
    "datetime": _moments,
    "date": lambda _limits: st.dates().map(_plain),
    "time": lambda limits: st.times(
        timezones=st.just(dt.UTC) if limits.get("tz") == "True" else st.none()
    ).map(_plain),
    "timedelta": lambda _limits: st.timedeltas(
        dt.timedelta(days=-1000), dt.timedelta(days=1000)
    ).map(_plain),
    "uuid": lambda _limits: st.uuids().map(str),
}
_INSIDE: Final[dict[str, Callable[[_Maker, TypeNode, tuple[Values, ...]], Values]]] = {
    "union": _Maker.union,
    "enum": _Maker.constants,
    "literal": _Maker.constants,
    "list": _Maker.items,
    "set": _Maker.items,
    "frozenset": _Maker.items,
    "tuple of any length": _Maker.items,
    "tuple": _Maker.fixed,
    "dict": _Maker.mapping,
    "record": _Maker.record,
}
