"""Paths to places in JSON values, as people write them: ``items[0].price``, ``owners['a b']``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from ..persistence.errors import ConfigurationError
from ..persistence.upkeep.difference import Path

_PLAIN: Final = re.compile(r"[\w-]+")
_PART: Final = re.compile(r"\.?([\w-]+)|\[(\d+)\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]")


def shown(path: Path) -> str:
    """Return a path for people."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}"
        else:
            text += f"[{part!r}]"
    return text.removeprefix(".")


def parsed(text: str) -> Path:
    """Return the path that a text names; ConfigurationError for what is none."""
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            break
        name, index, quoted = found.groups()
        if index is not None:
            parts.append(int(index))
        else:
            parts.append(name or re.sub(r"\\(.)", r"\1", quoted[1:-1]))
        at = found.end()
    if not parts or at < len(text) or text.startswith((".", "[")):
        message = f"{text!r} is no path; write one as items[0].price or owners['a b']"
        raise ConfigurationError(message)
    return tuple(parts)


def with_value(value: Any, path: Sequence[str | int], new: object, whole: str) -> object:  # noqa: ANN401 - JSON
    """Return a JSON value with another value at a path; its last name may be new in an object.

    ConfigurationError names ``whole`` where there is no such place.
    """
    if not path:
        return new
    part, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return [*value[:part], with_value(value[part], rest, new, whole), *value[part + 1 :]]
    if isinstance(value, dict):
        name = str(part)
        if name in value or not rest:
            return {**value, name: with_value(value.get(name), rest, new, whole)}
    raise ConfigurationError(f"there is no {whole} to be changed: nothing stands at {part!r}")
