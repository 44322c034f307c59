"""Whether stored values of one type are values of another: each difference, by its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .shown import shown
from .types import AGAIN, BY_POSITION, CALL, Member, TypeNode, by_position, canonical, rest_of

OK: Final = 0
CONVERT: Final = 1
"""Each value has a natural form in the other type."""
LOSS: Final = 2
"""Some values may have none."""


ORDER: Final = "order"
ONLY_BY_POSITION: Final = "by position only"
ONLY_BY_NAME: Final = "by name only"
NAMED_TWICE: Final = "by name as well"
WAYS: Final = frozenset({ORDER, ONLY_BY_POSITION, ONLY_BY_NAME, NAMED_TWICE})
"""Changes that harm a message by how it gives its values, and leave others alone."""


class Fit(NamedTuple):
    """A difference between two types at one path, and what it asks for."""

    path: str
    change: str
    level: int
    told: str


def fits(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    """Iterate over what differs for who reads values of ``old`` as ``new``."""
    if canonical(old) == canonical(new):
        return
    if "union" in (old.form, new.form):
        yield from _unions(old, new, path)
    elif old.form != new.form:
        yield Fit(path, "retyped", _level(old, new), f"{shown(old)} became {shown(new)}")
    else:
        yield from _limits(old, new, path)
        yield from _same_form(old, new, path)


def _same_form(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    if old.form == "record":
        yield from _records(old, new, path)
    elif old.form == CALL:
        yield from _calls(old, new, path)
    elif old.form in ("enum", "literal"):
        yield from _choices(old, new, path)
    elif old.form == "tuple" and len(old.inside) != len(new.inside):
        yield Fit(path, "retyped", LOSS, f"{shown(old)} became {shown(new)}")
    elif old.form == "dict":
        for fit in fits(old.inside[0], new.inside[0], path):
            yield fit._replace(change="keys")
        yield from fits(old.inside[1], new.inside[1], f"{path}[]")
    elif old.form in ("custom", "other", AGAIN):
        if (old.limits, old.up) != (new.limits, new.up):
            yield Fit(path, "retyped", LOSS, f"{shown(old)} became {shown(new)}")
    else:
        for at, (before, now) in enumerate(zip(old.inside, new.inside, strict=True)):
            yield from fits(before, now, f"{path}[{at if old.form == 'tuple' else ''}]")


_WIDER: Final = frozenset({
    ("int", "float"), ("int", "decimal"), ("float", "decimal"), ("set", "list"),
    ("frozenset", "list"), ("set", "frozenset"), ("frozenset", "set"),
    ("list", "tuple of any length"), ("tuple of any length", "list"),
    ("set", "tuple of any length"), ("frozenset", "tuple of any length"),
    ("datetime", "str"), ("date", "str"), ("time", "str"), ("timedelta", "str"), ("uuid", "str"),
    ("bytes", "str"), ("decimal", "str"),
})  # fmt: skip
"""Types whose stored values are read as those of the other, as they are."""
_NATURAL: Final = frozenset({
    ("int", "str"), ("float", "str"), ("bool", "str"), ("bool", "int"), ("bool", "float"),
    ("int", "bool"), ("decimal", "float"), ("date", "datetime"), ("list", "set"),
    ("list", "frozenset"), ("tuple", "list"), ("tuple", "tuple of any length"),
    ("record", "dict"), ("tuple of any length", "set"),
})  # fmt: skip


def _level(old: TypeNode, new: TypeNode) -> int:
    """Tell what becoming another form asks for."""
    if new.form == "any":
        return OK if old.form not in ("custom", "other") else LOSS
    pair = (old.form, new.form)
    if old.form in ("enum", "literal"):
        kind = {"int" if text.lstrip("-").isdigit() else "str" for text in old.values}
        if new.form in ("enum", "literal"):
            return OK if {*old.values} <= {*new.values} else LOSS
        return OK if kind == {new.form} and not new.limits else LOSS
    if pair in _WIDER:
        inside = zip(old.inside, new.inside, strict=False)
        found = max((fit.level for a, b in inside for fit in fits(a, b, "")), default=OK)
        return LOSS if new.limits and new.limits != old.limits else found
    if pair in _NATURAL or (new.form in ("list", "tuple of any length") and _holds(new, old)):
        return CONVERT
    return LOSS


def _holds(many: TypeNode, one: TypeNode) -> bool:
    return canonical(many.inside[0]) == canonical(one)


def _unions(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    before, now = _alternatives(old), _alternatives(new)
    if "null" in before and "null" not in now and "any" not in now:
        yield Fit(path, "no longer optional", LOSS, f"{shown(old)} became {shown(new)}")
    elif "null" in now and "null" not in before:
        yield Fit(path, "optional", OK, f"{shown(old)} became {shown(new)}")
    for each in (before, now):
        each.pop("null", None)
    if len(before) == len(now) == 1:
        yield from fits(next(iter(before.values())), next(iter(now.values())), path)
        return
    for name, member in before.items():
        if name in now:
            yield from fits(member, now.pop(name), path)
        elif not any(_level(member, each) == OK for each in _alternatives(new).values()):
            yield Fit(path, "union", LOSS, f"{shown(member)} is no member any more")
    for name, member in now.items():
        if name not in before:
            yield Fit(path, "union", OK, f"{shown(member)} is a new member")


def _alternatives(node: TypeNode) -> dict[str, TypeNode]:
    """Return what a union is of, by what tells its members apart."""
    if node.form != "union":
        return {_key(node): node}
    return {_key(each): each for each in node.inside}


def _key(node: TypeNode) -> str:
    if node.form in ("record", AGAIN):
        return f"record {node.tag[1] if node.tag else ''}"
    if node.form in ("custom", "other", "enum"):
        return f"{node.form} {node.name}"
    return node.form


def _choices(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    for text in sorted({*old.values} - {*new.values}):
        yield Fit(path, "value removed", LOSS, f"{text} is no value any more")
    for text in sorted({*new.values} - {*old.values}):
        yield Fit(path, "value added", OK, text)


_LOWER: Final = frozenset({"gt", "ge", "min_length"})
_UPPER: Final = frozenset({"lt", "le", "max_length"})


def _limits(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    before = dict(old.limits)
    if old.form in ("custom", "other"):
        return
    for name, value in new.limits:
        was = before.pop(name, None)
        if was == value:
            continue
        looser = was is not None and (
            (name in _LOWER and float(value) <= float(was))
            or (name in _UPPER and float(value) >= float(was))
        )
        told = f"{name} {was or 'nothing'} became {value}"
        yield Fit(path, "limits", OK if looser else LOSS, told)
    for name, value in before.items():
        yield Fit(path, "limits", OK, f"{name} {value} is gone")


def _records(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    if old.row != new.row or old.tag != new.tag:
        yield Fit(path, "retyped", LOSS, f"{shown(old)} is stored in another form")
    elif old.row:
        yield from _rows(old, new, path)
    else:
        yield from _objects(old, new, path)


def _rows(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    for before, now in zip(old.members, new.members, strict=False):
        yield from fits(before.type, now.type, f"{path}.{now.name}")
    for member in new.members[len(old.members) :]:
        yield _added(member, path)
    for member in old.members[len(new.members) :]:
        yield _removed(member, new, path)


def _objects(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    before, now = {m.name: m for m in old.members}, {m.name: m for m in new.members}
    for name, member in now.items():
        if name in before:
            yield from fits(before[name].type, member.type, f"{path}.{name}")
            if member.required and not before[name].required:
                told = "it has no default any more, and was not stored where it had it"
                yield Fit(f"{path}.{name}", "required", LOSS, told)
        else:
            yield _added(member, path)
    for name in before.keys() - now.keys():
        yield _removed(before[name], new, path)


def _calls(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    """Compare the parameters of a method: messages have them by position, or by name."""
    before, now = {m.name: m for m in old.members}, {m.name: m for m in new.members}
    for name, member in now.items():
        where = f"{path}({name})"
        if name in before:
            yield from fits(before[name].type, member.type, where)
            if member.required and not before[name].required:
                yield Fit(where, "required", LOSS, "it has no default any more")
        else:
            told = "without a default" if member.required else "with its default"
            yield Fit(where, "added", LOSS if member.required else OK, told)
    for name in before.keys() - now.keys():
        if not {"*", "**"} <= {each[: each.count("*")] for each in now}:
            yield Fit(f"{path}({name})", "removed", LOSS, "messages give it a value")
    yield from _ways(old, new, path)
    places, rest = places_of(old), rest_of(old) is not None
    # Where any number was taken by position, one that is new takes what was given for the rest.
    moved = [
        name for name, at in places_of(new).items() if places.get(name, -1 if rest else at) != at
    ]
    if moved:
        told = f"{', '.join(moved)}: another place, and messages give values by it; add at the end"
        yield Fit(path, ORDER, LOSS, told)


def _ways(old: TypeNode, new: TypeNode, path: str) -> Iterator[Fit]:
    """Compare how messages gave a parameter with how it takes a value."""
    places, names = (places_of(old), places_of(new)), (names_of(old), names_of(new))
    for name in sorted((names[0] & places[1].keys()) - names[1]):
        yield Fit(f"{path}({name})", ONLY_BY_POSITION, LOSS, "messages give it by its name")
    for name in sorted((places[0].keys() & names[1]) - places[1].keys()):
        yield Fit(f"{path}({name})", ONLY_BY_NAME, LOSS, "messages give it by its place")
    if any(each.name.startswith("**") for each in old.members):
        for name in sorted((places[0].keys() & names[1]) - names[0]):
            told = "messages may have given another value under its name"
            yield Fit(f"{path}({name})", NAMED_TWICE, LOSS, told)


def places_of(call: TypeNode) -> dict[str, int]:
    """Return the places of the parameters that messages may give by position."""
    return {each.name: at for at, each in enumerate(by_position(call))}


def names_of(call: TypeNode) -> set[str]:
    """Return the parameters that messages may give by name."""
    return {m.name for m in call.members if m.given != BY_POSITION and m.name[0] != "*"}


def _added(member: Member, path: str) -> Fit:
    told = f"{shown(member.type)}, without a default" if member.required else "with its default"
    return Fit(f"{path}.{member.name}", "added", CONVERT if member.required else OK, told)


def _removed(member: Member, record: TypeNode, path: str) -> Fit:
    told = "its values stay in the store, and are not read"
    if record.closed:
        told = f"{record.name} refuses members that it does not know"
    return Fit(f"{path}.{member.name}", "removed", LOSS if record.closed else OK, told)
