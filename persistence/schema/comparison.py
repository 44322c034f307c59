"""Two schemas compared: may values that one has written be read by the other?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .fitting import Fit, fits
from .schema import Schema, numbers_of
from .shown import declared
from .types import Member, TypeNode, canonical_member


class Compatibility(IntEnum):
    """What a change asks for."""

    COMPATIBLE = 0
    """What was stored is read as it is, or converted by perdure without a loss."""
    MIGRATION = 1
    """Every value has a natural form in the new type, and a migration has to make it."""
    BREAKING = 2
    """Some values may have no counterpart: a migration has to say what becomes of them."""

    def __str__(self) -> str:
        return _WORDS[self]


_WORDS: Final = {
    Compatibility.COMPATIBLE: "compatible",
    Compatibility.MIGRATION: "needs a migration",
    Compatibility.BREAKING: "breaking",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two schemas."""

    path: str
    """The field, and the way on from there: ``lines[].price``."""
    change: str
    """What happened to it: added, removed, renamed, retyped, ..."""
    level: Compatibility
    told: str
    """In a few words what was and what is."""

    def __str__(self) -> str:
        return f"{self.path}: {self.change} ({self.told}): {self.level}"

    def record(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {
            "path": self.path, "change": self.change, "compatibility": str(self.level),
            "told": self.told,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences from one schema to another."""

    differences: tuple[Difference, ...]

    @property
    def level(self) -> Compatibility:
        """The most that one of them asks for."""
        return max((each.level for each in self.differences), default=Compatibility.COMPATIBLE)

    @property
    def hindering(self) -> list[Difference]:
        """Those that need a migration."""
        return [each for each in self.differences if each.level]


def compare(old: Schema, new: Schema) -> Comparison:
    """Compare the schema that values were written with to the one they are read with."""
    if old.fingerprint == new.fingerprint:
        return Comparison(())
    found = [*_versions(old, new), *_members(old.members, new.members)]
    if old.family == "messages":
        found = [_of_messages(each) for each in found]
    return Comparison(tuple(found))


def _of_messages(found: Difference) -> Difference:
    """Return a difference as it is meant for methods: one that is gone takes no message."""
    if found.change == "removed" and "(" not in found.path:
        told = "what waits for it goes to the dead letters"
        return Difference(found.path, found.change, Compatibility.BREAKING, told)
    if found.change == "removed" and not found.level:
        told = "messages give it a value, and have no other place for it"
        return Difference(found.path, found.change, Compatibility.BREAKING, told)
    if found.change == "added" and "(" not in found.path:
        return Difference(found.path, found.change, found.level, "a new method")
    return found


def _versions(old: Schema, new: Schema) -> Iterator[Difference]:
    before, now = numbers_of(old.version, old.name), numbers_of(new.version, new.name)
    if before[0] != now[0]:
        told = f"{old.version} became {new.version}: another major version reads no values of it"
        yield Difference("schema_version", "version", Compatibility.MIGRATION, told)


def _members(old: Sequence[Member], new: Sequence[Member]) -> Iterator[Difference]:
    before, now = {m.name: m for m in old}, {m.name: m for m in new}
    renamed = {
        member.name: before[alias]
        for member in new
        for alias in member.aliases
        if alias in before and alias not in now and member.name not in before
    }
    gone = before.keys() - now.keys() - {member.name for member in renamed.values()}
    for member in new:
        if member.name in before:
            yield from _field(before[member.name], member)
        elif member.name in renamed:
            was = renamed[member.name]
            told = f"{was.name} became {member.name}, as renamed_fields says"
            yield Difference(member.name, "renamed", Compatibility.COMPATIBLE, told)
            yield from _field(was, member)
        else:
            yield Difference(
                member.name, "added", Compatibility.COMPATIBLE, _added(member, before, gone)
            )
    for name in sorted(gone):
        told = "its values stay in the store, and are not read"
        yield Difference(name, "removed", Compatibility.COMPATIBLE, told)


def _added(member: Member, before: dict[str, Member], gone: set[str]) -> str:
    same = [name for name in sorted(gone) if canonical_member(before[name])[1:4] == (
        canonical_member(member)[1:4]
    )]  # fmt: skip
    told = f"{declared(member)}, its default"
    if same:
        told += f"; if it is {same[0]} renamed, say renamed_fields = {{{same[0]!r}: "
        told += f"{member.name!r}}}"
    return told


def _field(old: Member, new: Member) -> Iterator[Difference]:
    if old.store == new.store:
        for fit in fits(old.type, new.type, _path(new)):
            yield _difference(fit)
        if not new.store and (old.default, old.computed) != (new.default, new.computed):
            told = f"{_start(old)} became {_start(new)}: agents that never set it have the new one"
            yield Difference(new.name, "default", Compatibility.COMPATIBLE, told)
        return
    yield from _stored_otherwise(old, new)


def _path(member: Member) -> str:
    return f"{member.name}[]" if member.store else member.name


def _start(member: Member) -> str:
    return "computed" if member.computed else member.default or "a default"


def _stored_otherwise(old: Member, new: Member) -> Iterator[Difference]:
    told = f"{declared(old)} became {declared(new)}"
    level = Compatibility.BREAKING
    inside: TypeNode | None = None
    if not old.store and old.type.form == "list" and new.store == "log":
        level, inside = Compatibility.COMPATIBLE, old.type.inside[0]
    elif not old.store and old.type.form == "dict" and new.store.startswith("map"):
        level, inside = Compatibility.COMPATIBLE, old.type.inside[1]
        keys = old.type.inside[0].form
        if new.store == "map[int]" and keys != "int":
            level = Compatibility.BREAKING
    elif not new.store or (old.store.startswith("map") and new.store.startswith("map")):
        level = Compatibility.MIGRATION
        if new.store == "map[int]":
            level = Compatibility.BREAKING  # not each text is a number
    yield Difference(new.name, "stored otherwise", level, told)
    if inside is not None:
        yield from map(_difference, fits(inside, new.type, _path(new)))


def _difference(fit: Fit) -> Difference:
    return Difference(fit.path, fit.change, Compatibility(fit.level), fit.told)
