"""Migrations tested as a store runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..persistence.schema.schema import Schema
from ..persistence.state.state import State
from .probe import Probe
from .schemas import Written, schema_from

_ABSENT: Final = object()


def assert_migrates(
    state_class: type[State],
    before: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
    *,
    written: Written = "1.0.0",
) -> dict[str, Any]:
    """Have values of an earlier version migrated for a class, and return what becomes of them.

    As in a store: every step is run, and the class reads all it is given. Values are plain JSON, a
    ``Log`` a list, a ``Map`` a dictionary with texts as keys. AssertionError where ``after`` names
    values that are not those, where the class cannot read one, or where a value is left behind.
    MigrationFailed names the step and the path.

    Args:
        state_class: the class of today, with its migrations.
        before: what an agent has stored, by the fields of then.
        after: what the class is to find; fields that it does not name are not looked at.
        written: the class of then, its schema (``stored_schemas``), or its version alone.
    """
    probe = Probe(state_class, schema_from(written, before), before)
    moved = probe.move(probe.new)
    problem = probe.unreadable()
    assert not problem, problem
    left = () if moved is None else moved.left
    assert not left, f"the migrations leave behind, unread: {', '.join(left)}"
    names = set(state_class.__struct_fields__)
    found = {name: value for name, value in probe.values().items() if name in names}
    for name, value in (after or {}).items():
        there = found.get(name, _ABSENT)
        told = "not stored" if there is _ABSENT else repr(there)
        assert _same(there, value), f"{name} is {told} after the migration, not {value!r}"
    return found


def assert_round_trip(
    state_class: type[State], before: Mapping[str, Any], *, written: Written = "1.0.0"
) -> None:
    """Have values migrated for a class and back, and find each as it was.

    AssertionError names the field that is another; ConfigurationError or CorruptState says which
    step has no way back.
    """
    schema = schema_from(written, before)
    probe = Probe(state_class, schema, before)
    probe.move(probe.new)
    problem = probe.unreadable()
    assert not problem, problem
    probe.move(probe.old)
    after = probe.values()
    for member in schema.members:
        was, now = _of(before, member.name, schema), _of(after, member.name, schema)
        told = f"{member.name} was {was!r}, and is {now!r} after the way there and back"
        assert _same(was, now), told


def _of(values: Mapping[str, Any], name: str, schema: Schema) -> object:
    """Return a value, or what a field begins with."""
    if name in values:
        return values[name]
    member = schema.member(name)
    assert member is not None
    if member.store:
        return [] if member.store == "log" else {}
    return msgspec.json.decode(member.default) if member.default else _ABSENT


def _same(one: object, other: object) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
