"""The schema of a state class or of the messages of a kind: what is stored, and its fingerprint."""

from __future__ import annotations

import functools
import hashlib
import re
import typing
from typing import Final, Literal

import msgspec

from ..codec.explain import name_of
from ..errors import ConfigurationError
from ..secrets.codec import holds_secrets
from ..state.log import Log
from ..state.map import Map
from ..state.state import State
from .types import ANY, Member, aliases_of, canonical_member, node_of, start_of

Family: typing.TypeAlias = Literal["state", "messages", "values", "metadata"]
"""What a schema is of."""
FIRST: Final = "1.0.0"
"""The version of a class that declares none, and of what was stored before versions were."""
_VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Schema(msgspec.Struct, frozen=True, omit_defaults=True):
    """Describe how values are stored, in full: made of a class, kept in the store as JSON."""

    family: Family
    name: str
    """The name of the class, for people."""
    version: str
    members: tuple[Member, ...]
    """The fields of a state, the methods that take messages, or one: what is stored as a whole."""
    since: int = 0
    """The first commit that may have been made under it, where agents do not name it. It is no part
    of what is compared, and stands here because the row's own number moves with each change."""

    @property
    def fingerprint(self) -> str:
        """The same for two schemas if and only if they store the same, in every process."""
        return fingerprint(self)

    def member(self, name: str) -> Member | None:
        """Return a field or a method by its name."""
        return next((each for each in self.members if each.name == name), None)

    def text(self) -> str:
        """Return it as the store keeps it."""
        return msgspec.json.encode(self).decode()


read_schema: Final = msgspec.json.Decoder(Schema).decode


@functools.lru_cache(maxsize=1024)
def fingerprint(schema: Schema) -> str:
    """Return SHA-256 over a schema in one form: no order, no name of a class is in it."""
    members = sorted(map(canonical_member, schema.members), key=lambda each: str(each[0]))
    whole = msgspec.json.encode([schema.family, schema.version, members])
    return hashlib.sha256(whole).hexdigest()


def numbers_of(version: object, where: str) -> tuple[int, int, int]:
    """Return the three numbers of a version; ConfigurationError if it has another form."""
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        message = f"{where}: {version!r} is no version; write three numbers, as in '1.2.0'"
        raise ConfigurationError(message)
    return int(found[1]), int(found[2]), int(found[3])


@functools.cache
def schema_of(state_class: type[State]) -> Schema:
    """Return the schema of a state class, whose fields can all be stored."""
    version = state_class.schema_version
    numbers_of(version, f"{state_class.__name__}.schema_version")
    _check_renamed(state_class)
    fields = msgspec.structs.fields(state_class)
    return Schema(
        "state", state_class.__name__, version, tuple(_field(state_class, info) for info in fields)
    )


def schema_of_values(family: Family, declared: object) -> Schema:
    """Return the schema of what is stored as one value: shared by a key, or beside an artifact."""
    name = name_of(declared)
    version = getattr(declared, "schema_version", FIRST)
    numbers_of(version, f"{name}.schema_version")
    return Schema(family, name, version, (Member("value", node_of(declared)),))


def _field(state_class: type[State], info: msgspec.structs.FieldInfo) -> Member:
    origin, arguments = typing.get_origin(info.type) or info.type, typing.get_args(info.type)
    aliases = aliases_of(state_class, info.name)
    if origin is Log:
        item = node_of(arguments[0]) if arguments else ANY
        return Member(info.name, item, "log", aliases=aliases)
    if origin is Map:
        key, value = arguments or (str, object)
        store = "map[int]" if key is int else "map"
        return Member(info.name, node_of(value), store, aliases=aliases)
    default, computed = start_of(info.name, info.default, info.default_factory)
    if holds_secrets(info.type):
        default = ""  # nobody but the class is told of it
    return Member(
        info.name, node_of(info.type), default=default, computed=computed, aliases=aliases
    )


def _check_renamed(state_class: type[State]) -> None:
    names = state_class.__struct_fields__
    for old, new in state_class.renamed_fields.items():
        if new not in names or old in names:
            message = (
                f"{state_class.__name__}.renamed_fields has {old!r}: {new!r}; write the old name,"
                " which is no field any more, before the field that it became"
            )
            raise ConfigurationError(message)
