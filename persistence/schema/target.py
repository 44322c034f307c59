"""What an agent is rewritten for: the fields of a class, or those of a schema in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ..codec.codec import Codec, codec_of
from ..state.state import Layout, PlainField
from .schema import Schema
from .types import Member


@dataclass(frozen=True, slots=True)
class TargetField:
    """One field."""

    name: str
    codec: Codec[object]
    """Of its value, its items or its entries."""
    start: Callable[[Codec[object]], str | None]
    """Gives the text of its default; None where that is not known."""
    key_type: type = str


@dataclass(frozen=True, slots=True)
class Target:
    """All fields by how they are stored."""

    version: str
    plain: tuple[TargetField, ...] = ()
    logs: tuple[TargetField, ...] = ()
    maps: tuple[TargetField, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names of before to those of now."""

    @property
    def names(self) -> set[str]:
        """The names of all fields."""
        return {each.name for each in (*self.plain, *self.logs, *self.maps)}


def target_of(layout: Layout) -> Target:
    """Return what agents are rewritten for that a class is to read."""
    state_class = layout.state_class
    return Target(
        state_class.schema_version,
        tuple(_plain(layout, each) for each in layout.plain),
        tuple(TargetField(each.name, each.codec, _nothing) for each in layout.logs),
        tuple(TargetField(each.name, each.codec, _nothing, each.key_type) for each in layout.maps),
        state_class.renamed_fields,
    )


def target_from(schema: Schema) -> Target:
    """Return what agents are rewritten for that a class of before is to read, by its schema."""

    def fields(*stores: str) -> tuple[TargetField, ...]:
        return tuple(_of(member) for member in schema.members if member.store in stores)

    return Target(schema.version, fields(""), fields("log"), fields("map", "map[int]"))


def _plain(layout: Layout, plain: PlainField) -> TargetField:
    def start(codec: Codec[object]) -> str:
        return codec.encode(getattr(layout.state_class(), plain.name), plain.path)

    return TargetField(plain.name, plain.codec, start)


def _of(member: Member) -> TargetField:
    key_type = int if member.store == "map[int]" else str
    return TargetField(member.name, codec_of(object), partial(_known, member), key_type)


def _known(member: Member, _codec: Codec[object]) -> str | None:
    return member.default or None


def _nothing(_codec: Codec[object]) -> None:
    return None
