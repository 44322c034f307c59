"""Schemas for people and for other programs: Markdown, and JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from .registry import Registered
from .schema import Family, Schema
from .shown import declared, shown
from .types import AGAIN, CALL, Member, TypeNode

_FORMS: Final[dict[str, dict[str, object]]] = {
    "any": {}, "null": {"type": "null"}, "bool": {"type": "boolean"}, "int": {"type": "integer"},
    "float": {"type": "number"}, "str": {"type": "string"}, "decimal": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"}, "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "uuid": {"type": "string", "format": "uuid"}, "custom": {"type": "string"}, "other": {},
}  # fmt: skip
_WHAT: Final[dict[Family, str]] = {
    "state": "the state of agents of kind `{}`",
    "messages": "messages of agents of kind `{}`",
    "values": "shared values of the keys `{}`",
    "metadata": "metadata of the artifacts `{}`",
}
_LIMITS: Final = {
    "gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum",
    "multiple_of": "multipleOf",
}  # fmt: skip


def markdown(entry: Registered) -> str:
    """Return the page of a schema."""
    schema = entry.schema
    what = _WHAT[schema.family].format(entry.kind)
    lines = [
        f"# {schema.name} {schema.version}",
        "",
        f"Schema {entry.number} of the store: {what}.",
        f"Fingerprint `{entry.fingerprint}`.",
        "",
        "| name | type | default |",
        "|---|---|---|",
    ]
    lines += [_row(member, "") for member in schema.members]
    records: dict[str, TypeNode] = {}
    for member in schema.members:
        _collect(member.type, records)
    for name, node in records.items():
        lines += ["", f"## {name}", "", "| name | type | default |", "|---|---|---|"]
        lines += [_row(member, "required") for member in node.members]
    return "\n".join(lines) + "\n"


def _row(member: Member, none: str) -> str:
    if member.type.form == CALL:
        return f"| `{member.name}` | `{shown(member.type)}` | |"
    start = "computed" if member.computed else f"`{member.default}`" if member.default else none
    kind = declared(member).replace("|", "\\|")
    return f"| `{member.name}` | `{kind}` | {start} |"


def _collect(node: TypeNode, records: dict[str, TypeNode]) -> None:
    if node.form == "record" and node.name not in records:
        records[node.name] = node
    for each in (*node.inside, *(member.type for member in node.members)):
        _collect(each, records)


def json_schema(schema: Schema) -> dict[str, Any]:
    """Return a schema as JSON Schema: of a state with its logs as arrays and maps as objects."""
    properties = {member.name: _member(member) for member in schema.members}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": schema.name,
        "version": schema.version, "type": "object", "properties": properties,
    }  # fmt: skip


def _member(member: Member) -> dict[str, Any]:
    found = _node(member.type)
    if member.store == "log":
        found = {"type": "array", "items": found}
    elif member.store:
        found = {"type": "object", "additionalProperties": found}
        if member.store == "map[int]":
            found["propertyNames"] = {"pattern": "^-?[0-9]+$"}
    if member.default:
        found = {**found, "default": msgspec.json.decode(member.default)}
    return found


def _node(node: TypeNode) -> dict[str, Any]:
    make = _MAKERS.get(node.form)
    if make is not None:
        return make(node)
    limits = {_LIMITS[n]: msgspec.json.decode(v) for n, v in node.limits if n in _LIMITS}
    return {**_FORMS.get(node.form, {}), **limits}


def _union(node: TypeNode) -> dict[str, Any]:
    return {"anyOf": [_node(each) for each in node.inside]}


def _choice(node: TypeNode) -> dict[str, Any]:
    return {"enum": [msgspec.json.decode(text) for text in node.values]}


def _array(node: TypeNode) -> dict[str, Any]:
    return {"type": "array", "items": _node(node.inside[0])}


def _tuple(node: TypeNode) -> dict[str, Any]:
    return {"type": "array", "prefixItems": [_node(each) for each in node.inside], "items": False}


def _mapping(node: TypeNode) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": _node(node.inside[1])}


def _again(node: TypeNode) -> dict[str, Any]:
    return {"type": "object", "title": node.name}


def _record(node: TypeNode) -> dict[str, Any]:
    members = {member.name: _node(member.type) for member in node.members}
    if node.row:
        return {"type": "array", "title": node.name, "prefixItems": list(members.values())}
    if node.tag is not None:
        members = {node.tag[0]: {"const": msgspec.json.decode(node.tag[1])}, **members}
    found: dict[str, Any] = {"type": "object", "title": node.name, "properties": members}
    required = [member.name for member in node.members if member.required]
    if required:
        found["required"] = required
    if node.closed:
        found["additionalProperties"] = False
    return found


_MAKERS: Final[dict[str, Callable[[TypeNode], dict[str, Any]]]] = {
    "union": _union, "enum": _choice, "literal": _choice, "tuple": _tuple, "dict": _mapping,
    AGAIN: _again, "record": _record, CALL: _record,
    **dict.fromkeys(("list", "set", "frozenset", "tuple of any length"), _array),
}  # fmt: skip
