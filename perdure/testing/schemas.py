"""Schemas to test with: of a class, of a store, or of a version of which nothing else is known."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

from ..persistence.errors import ConfigurationError
from ..persistence.schema.registry import registered
from ..persistence.schema.schema import Schema, numbers_of, schema_of
from ..persistence.schema.types import ANY, Member
from ..persistence.state.state import State
from ..persistence.store.store import StoreReader
from ..url import open_reader

Written: TypeAlias = Schema | type[State] | str
"""What values were written with: a stored schema, the class of then, or its version."""


def stored_schemas(store: str | Path | StoreReader, kind: str) -> list[Schema]:
    """Return the schemas that agents of a kind were ever written with, the oldest first.

    Of the file of a store, or of a MemoryStore.
    """
    if isinstance(store, StoreReader):
        return _of(store, kind)
    with closing(open_reader(store)) as reader:
        return _of(reader, kind)


def _of(reader: StoreReader, kind: str) -> list[Schema]:
    found = [entry.schema for entry in registered(reader) if entry.kind == kind]
    return [schema for schema in found if schema.family == "state"]


def schema_from(written: Written, names: Iterable[str] = ()) -> Schema:
    """Return a schema; one of a version takes any values in the fields of these ``names``."""
    given: object = written
    if isinstance(given, Schema):
        return given
    if isinstance(given, type) and issubclass(given, State):
        return schema_of(given)
    if not isinstance(given, str):
        message = f"{given!r} is no State class, no stored schema and no version such as '1.0.0'"
        raise ConfigurationError(message)
    numbers_of(given, "the version of then")
    return Schema("state", "", given, tuple(Member(name, ANY) for name in names))
