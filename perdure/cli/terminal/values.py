"""Stored JSON, as values for programs and as short text for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from ...persistence.errors import CorruptState
from ...persistence.secrets.masking import masked

_ASCII: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode
_PEOPLE: Final = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode


def parse(text: str, where: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value of stored JSON with its secrets masked.

    CorruptState names ``where`` if it is no JSON.
    """
    try:
        return json.loads(masked(text), parse_float=_number, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise CorruptState(where, f"it is not JSON: {error}") from None


def _number(text: str) -> float | str:
    # A number too large for a float stays the text it was: JSON has no infinity.
    number = float(text)
    return number if math.isfinite(number) else text


def line(value: object) -> str:
    """Return ``value`` as one line of JSON, in ASCII: nothing in it can act on a terminal."""
    return _ASCII(value).replace("\x7f", "\\u007f")


def short(value: object) -> str:
    """Return ``value`` as JSON for people."""
    return _PEOPLE(value)


def call(name: str, body: object) -> str:
    """Return what a message carries: the arguments of a call, else the message itself."""
    match body:
        case [list(args), dict(kwargs)] if name:
            named = [f"{key}={short(value)}" for key, value in kwargs.items()]
            return ", ".join([*map(short, args), *named])
        case _:
            return short(body)


def changes(delta: dict[str, Any]) -> str:
    """Return a commit's delta on one line: what was set, put, deleted and appended."""
    return ", ".join(_changes(delta))


def _changes(delta: dict[str, Any]) -> Iterator[str]:
    for field, value in delta.get("set", {}).items():
        yield f"{field} = {short(value)}"
    for field, (start, items) in delta.get("append", {}).items():
        for position, item in enumerate(items, start):
            yield f"{field}[{position}] = {short(item)}"
    for field, entries in delta.get("put", {}).items():
        for entry, value in entries:
            yield f"{field}[{short(entry)}] = {short(value)}"
    for field, entries in delta.get("delete", {}).items():
        for entry in entries:
            yield f"del {field}[{short(entry)}]"
