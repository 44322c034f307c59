"""The schema of the messages that a kind of agents takes: its methods and their parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Final

from pykka import Actor

from ...persistence.schema.schema import Schema
from ...persistence.schema.types import (
    ANY,
    BY_NAME,
    BY_POSITION,
    CALL,
    Member,
    TypeNode,
    default_text,
    node_of,
)  # fmt: skip
from ...persistence.secrets.detector import sensitive
from .messages import hints_of

_MANY: Final[dict[object, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
_ONLY: Final[dict[object, str]] = {
    inspect.Parameter.POSITIONAL_ONLY: BY_POSITION,
    inspect.Parameter.KEYWORD_ONLY: BY_NAME,
}


@functools.cache
def messages_of(agent_class: type[Any], base: type[Any]) -> Schema:
    """Return the schema of what an agent class takes beyond its ``base``, which is Agent."""
    version = agent_class.messages_version
    members = tuple(Member(name, _call(method)) for name, method in _methods(agent_class, base))
    return Schema("messages", agent_class.__name__, version, members)


def _methods(agent_class: type[Any], base: type[Any]) -> Iterator[tuple[str, Any]]:
    inside = agent_class.__mro__[: agent_class.__mro__.index(base)]
    names = dict.fromkeys(name for owner in inside for name in vars(owner))
    for name in sorted(names):
        inner = name.startswith("_") or hasattr(Actor, name) or hasattr(base, name)
        method = inspect.getattr_static(agent_class, name)
        if inspect.isfunction(method) and (not inner or name == "on_receive"):
            yield name, method


def _call(method: Any) -> TypeNode:  # noqa: ANN401 - a function
    hints = hints_of(method)
    parameters = [*inspect.signature(method).parameters.values()][1:]
    return TypeNode(CALL, members=tuple(_parameter(each, hints) for each in parameters))


def _parameter(parameter: inspect.Parameter, hints: dict[str, Any]) -> Member:
    declared = hints.get(parameter.name, object)
    many = _MANY.get(parameter.kind, "")
    required = parameter.default is inspect.Parameter.empty and not many
    default = ""
    if parameter.default is not inspect.Parameter.empty and not sensitive(parameter.name):
        default = default_text(parameter.default)
    return Member(
        many + parameter.name,
        ANY if declared is Any else node_of(declared),
        required=required,
        default=default,
        given=_ONLY.get(parameter.kind, ""),
    )
