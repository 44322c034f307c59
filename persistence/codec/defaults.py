"""Defaults that could be changed in place: one object for all who never set the field."""

from __future__ import annotations

import enum
import typing

import msgspec
from msgspec import inspect

from ..errors import ConfigurationError
from .codec import IMMUTABLE
from .exact import fields_of
from .explain import DeclaredOnly, name_of


def check_defaults(declared: object, where: str) -> None:
    """Refuse a declared type with a record in it that gives one object to all as a default.

    ConfigurationError names the record's field. Of the fields of a State itself each agent gets a
    copy of its own, see ``StateTracker``.
    """
    _check(inspect.type_info(declared), where, "", set())


def _check(info: object, where: str, owner: str, seen: set[int]) -> None:
    if isinstance(info, tuple):
        for part in info:
            _check(part, where, owner, seen)
        return
    if not isinstance(info, inspect.Type | inspect.Field | inspect.Metadata) or id(info) in seen:
        return
    seen.add(id(info))
    if isinstance(info, inspect.Field) and changeable(info.default):
        name = type(info.default).__name__
        message = (
            f"{where} holds a {owner}, whose field {info.name} has a {name} as its default: one"
            f" object for all of them; give it a default_factory that makes a {name}"
        )
        raise ConfigurationError(message)
    owner = name_of(typing.get_origin(getattr(info, "cls", None)) or getattr(info, "cls", owner))
    for name in info.__struct_fields__:
        if name not in ("default", "default_factory", "cls"):
            _check(getattr(info, name), where, owner, seen)


def changeable(value: object) -> bool:
    """Tell whether an object, or a part of it, can be changed in place."""
    kind = type(value)
    if kind in IMMUTABLE or isinstance(value, enum.Enum | type | DeclaredOnly):
        return False
    if value is msgspec.NODEFAULT or value is msgspec.UNSET:
        return False
    if isinstance(value, tuple | frozenset):
        return any(map(changeable, value))
    names = fields_of(kind)
    if names is None or not frozen(value):
        return True
    return any(changeable(getattr(value, name, None)) for name in names)


def frozen(record: object) -> bool:
    """Tell whether the fields of a record cannot be set."""
    if isinstance(record, msgspec.Struct):
        return record.__struct_config__.frozen
    return bool(getattr(getattr(record, "__dataclass_params__", None), "frozen", False))
