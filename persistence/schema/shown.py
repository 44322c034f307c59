"""Types of a schema as people write them: ``list[Line] | None``."""

from __future__ import annotations

from collections.abc import Iterator

from .types import BY_NAME, BY_POSITION, CALL, Member, TypeNode, rest_of


def shown(node: TypeNode) -> str:
    """Return a type as it is written in Python."""
    inside = [shown(each) for each in node.inside]
    if node.form == CALL:
        return f"({', '.join(_parameters(node))})"
    if node.form == "union":
        return " | ".join(sorted(inside, key=lambda each: each == "None"))
    if node.form in ("enum", "record", "again", "custom", "other"):
        return f"{node.name}[{', '.join(inside)}]" if inside else node.name
    name = {"null": "None", "any": "object", "tuple of any length": "tuple"}.get(
        node.form, node.form
    )
    if node.form == "literal":
        return f"Literal[{', '.join(node.values)}]"
    if node.form == "tuple of any length":
        inside.append("...")
    limits = [f"{name} {value}" for name, value in node.limits]
    told = f"{name}[{', '.join(inside)}]" if inside else name
    return f"{told} ({', '.join(limits)})" if limits else told


def _parameters(call: TypeNode) -> Iterator[str]:
    """Iterate over parameters as Python writes them: ``a, /, b, *, c``."""
    before, rest = "", rest_of(call)
    for each in call.members:
        if before == BY_POSITION != each.given:
            yield "/"
        if each.given == BY_NAME != before and rest is None:
            yield "*"
        yield f"{each.name}: {shown(each.type)}"
        before = each.given
    if before == BY_POSITION:
        yield "/"


def declared(member: Member) -> str:
    """Return the type of a field as its class declares it."""
    kind = shown(member.type)
    if member.store == "log":
        return f"Log[{kind}]"
    if member.store.startswith("map"):
        return f"Map[{'int' if member.store == 'map[int]' else 'str'}, {kind}]"
    return kind
