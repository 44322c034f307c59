"""The state of an agent: a typed struct whose fields are stored one by one."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from ..codec.codec import Codec, check_storable, codec_of
from ..codec.defaults import check_defaults
from ..errors import ConfigurationError
from ..secrets.codec import SPECIAL, codec_for, holds_secrets
from ..secrets.detector import sensitive
from ..secrets.vault import Vault
from .log import Log
from .map import Map

DEFAULT_LARGEST_VALUE: Final = 16 * 1024 * 1024
"""Characters one stored value may take unless the system is opened with another limit."""


_ALWAYS_ALIKE: Final = (msgspec.NODEFAULT, list, dict, set, bytearray)
"""What makes the same default each time; msgspec makes such factories of ``[]`` and the like."""


class State(msgspec.Struct):
    """Be the base of every agent's state.

    Subclass it and declare typed fields, each with a default: a new agent starts from the
    defaults. What a ``default_factory`` computes is stored with the agent's first turn. Plain
    fields hold anything msgspec can decode from JSON; ``Log`` and ``Map`` fields grow without
    making a save dearer.
    """

    schema_version: ClassVar[str] = "1.0.0"
    """The version of what it stores: MAJOR.MINOR.PATCH. Values of another MAJOR are migrated."""
    renamed_fields: ClassVar[Mapping[str, str]] = {}
    """Fields that had another name before, as ``{"old": "new"}``: their values go on."""


@dataclass(frozen=True, slots=True)
class PlainField:
    """Describe a field stored as one value."""

    name: str
    codec: Codec[object]
    computed: bool
    """Whether its default is computed anew each time: an id, a moment. Stored from the first."""
    position: int
    """Its place among the fields of its class."""
    place: str
    """How errors and warnings name it for all agents of the class."""
    path: str
    """How they name it for one agent."""
    sensitive: str
    """What of its name says that it holds a secret; "" if nothing does."""


@dataclass(frozen=True, slots=True)
class LogField:
    """Describe a field stored item by item."""

    name: str
    codec: Codec[object]


@dataclass(frozen=True, slots=True)
class MapField:
    """Describe a field stored entry by entry."""

    name: str
    codec: Codec[object]
    key_type: type


@dataclass(frozen=True, slots=True)
class Layout:
    """Describe how a state class is stored."""

    state_class: type[State]
    plain: tuple[PlainField, ...]
    logs: tuple[LogField, ...]
    maps: tuple[MapField, ...]


def layout_of(state_class: type[State], vault: Vault | None = None) -> Layout:
    """Return the layout of a state class; ConfigurationError if a field cannot be stored.

    ``vault`` seals its secrets; without one they stay closed and none can be stored.
    """
    layout = _shared_layout(state_class)
    return layout if layout is not None else _layout(state_class, vault or Vault())


@functools.cache
def _shared_layout(state_class: type[State]) -> Layout | None:
    """Return the layout that all systems share; None if the class holds secrets."""
    secret = any(holds_secrets(info.type) for info in _fields(state_class))
    return None if secret else _layout(state_class, None)


def _layout(state_class: type[State], vault: Vault | None) -> Layout:
    plain: list[PlainField] = []
    logs: list[LogField] = []
    maps: list[MapField] = []
    if state_class.__struct_config__.frozen:
        message = f"{state_class.__name__} is frozen; an agent changes its state in place"
        raise ConfigurationError(message)
    for info in _fields(state_class):
        where = f"{state_class.__name__}.{info.name}"
        if isinstance(info.default, dataclasses.Field):
            message = f"{where} has a dataclasses.field() as its default; use msgspec.field()"
            raise ConfigurationError(message)
        if info.required:
            message = (
                f"{where} has no default; a new agent starts from the defaults: write ="
                " 0, = None or = msgspec.field(default_factory=list), as fits"
            )
            raise ConfigurationError(message)
        origin = typing.get_origin(info.type) or info.type
        arguments = typing.get_args(info.type)
        if origin is Log:
            logs.append(
                LogField(info.name, _codec(arguments[0] if arguments else object, where, vault))
            )
        elif origin is Map:
            key_type, value_type = arguments or (str, object)
            if key_type not in (str, int):
                message = f"{where} is keyed by {key_type!r}; a Map is keyed by str or int"
                raise ConfigurationError(message)
            maps.append(MapField(info.name, _codec(value_type, where, vault), key_type))
        else:
            check_defaults(info.type, where)
            computed = info.default_factory not in _ALWAYS_ALIKE
            codec = _codec(info.type, where, vault)
            position = state_class.__struct_fields__.index(info.name)
            path, secret = f"state.{info.name}", sensitive(info.name)
            plain.append(PlainField(info.name, codec, computed, position, where, path, secret))
    return Layout(state_class, tuple(plain), tuple(logs), tuple(maps))


def _fields(state_class: type[State]) -> tuple[msgspec.structs.FieldInfo, ...]:
    try:
        return msgspec.structs.fields(state_class)
    except NameError as error:
        message = (
            f"{state_class.__qualname__} is annotated with {error.name!r}, which is not found in"
            f" {state_class.__module__}; define or import it at the top of that module"
        )
        raise ConfigurationError(message) from error


def _codec(declared: object, where: str, vault: Vault | None) -> Codec[object]:
    codec = codec_of(declared) if vault is None else codec_for(declared, vault, where)
    check_storable(declared, where, SPECIAL)
    return codec
