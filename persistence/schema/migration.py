"""Migrations: declared steps from one version of a class to another, and chains of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from ..errors import ConfigurationError
from .schema import numbers_of
from .transforms import Change, Transform, compose

_declared: Final[weakref.WeakKeyDictionary[type, list[Migration]]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Migration:
    """A step from one version of a class to the next: as declared, or its way back."""

    owner: type
    """A state class, a class of shared values or metadata, or an agent class: of its messages."""
    source: str
    target: str
    up: Change
    down: Change | None
    touches: frozenset[str] | None
    """The fields it reads or writes; None: it may be any."""
    label: str
    method: str = ""
    """Of messages: the method they are for."""
    becomes: str = ""
    """The method that they are for afterwards."""

    def __str__(self) -> str:
        of = f".{self.method}" if self.method else ""
        return f"{self.owner.__name__}{of} {self.source} to {self.target} ({self.label})"

    def back(self) -> Migration:
        """Return its way back; ConfigurationError if it has none."""
        if self.down is None:
            raise ConfigurationError(f"the migration {self} has no way back")
        return replace(
            self, source=self.target, target=self.source, up=self.down, down=self.up,
            label=f"back: {self.label}", method=self.becomes, becomes=self.method,
        )  # fmt: skip


class DeclaredMigration:
    """What ``@migration`` gives: takes the function, and after it ``@function.reverse``."""

    def __init__(self, made: Migration) -> None:
        """Hold a migration that is declared already."""
        self.migration = made

    def reverse(self, down: Change) -> Change:
        """Declare the way back; a decorator."""
        known = _declared[self.migration.owner]
        complete = replace(self.migration, down=down)
        known[known.index(self.migration)] = complete
        self.migration = complete
        return down

    def __call__(self, data: dict[str, object]) -> dict[str, object]:
        """Run it on values, as in a test."""
        made = self.migration.up(data)
        return data if made is None else made


def migration(
    owner: type, source: str, target: str, *steps: Transform,
    fields: Iterable[str] | None = None, method: str | None = None, becomes: str | None = None,
) -> Callable[[Change], DeclaredMigration]:  # fmt: skip
    """Declare how values of one version become those of another.

    With ``steps`` it is declared by the call. Without, decorate a function that takes the values
    of one agent as a dictionary of plain JSON values, changes it in place or returns another. A
    ``Log`` is a list there, a ``Map`` a dictionary; ``fields`` names those that the function looks
    at, so that large others are not read.

    ``owner`` is a State class; or the class of shared values or of artifacts' metadata, which has a
    ``schema_version`` too; or an Agent class, for messages and timers that wait for a ``method`` of
    it: they have the version ``messages_version``, and the values are arguments by the names of
    their parameters. ``becomes`` is the method's new name.
    """
    where = _checked(owner, method)
    if numbers_of(source, where) >= numbers_of(target, where):
        message = f"{where} goes from {source} to {target}; declare the way up, and its reverse"
        raise ConfigurationError(message)
    method = method or ""
    becomes = becomes or method
    if steps:
        whole = compose(*steps)
        up, down, touches, label = whole.up, whole.down, whole.touches, whole.label
        _declare(Migration(owner, source, target, up, down, touches, label, method, becomes))

    def declare(function: Change) -> DeclaredMigration:
        if steps:
            message = f"{where} from {source} has steps already; give those or a function"
            raise ConfigurationError(message)
        touches = None if fields is None else frozenset(fields)
        label = getattr(function, "__name__", "a function")
        made = Migration(owner, source, target, function, None, touches, label, method, becomes)
        _declare(made)
        return DeclaredMigration(made)

    return declare


def _checked(owner: object, method: str | None) -> str:
    """Return how messages name what a migration is of; ConfigurationError if it has no version."""
    if not isinstance(owner, type) or not (
        hasattr(owner, "schema_version") or hasattr(owner, "messages_version")
    ):
        message = (
            f"migration({owner!r}, ...) is given no State class, no Agent class and no class that"
            " has schema_version; name the class itself"
        )
        raise ConfigurationError(message)
    where = f"a migration of {owner.__name__}"
    if hasattr(owner, "messages_version") != (method is not None):
        message = f"{where}: method=... is for the messages of an Agent class, which need it"
        raise ConfigurationError(message)
    return where


def _declare(made: Migration) -> None:
    known = _declared.setdefault(made.owner, [])
    for other in known:
        if (other.source, other.target, other.method) == (made.source, made.target, made.method):
            message = f"{other} is declared already; there can be one of a version to another"
            raise ConfigurationError(message)
    known.append(made)


def migrations_of(owner: type) -> list[Migration]:
    """Return the declared migrations of a class, by source and target."""
    known = _declared.get(owner, [])
    return sorted(known, key=lambda each: (_numbers(each.source), _numbers(each.target)))


def chain(owner: type, source: str, target: str) -> list[Migration] | None:
    """Return the steps from one version to another, each of them; None if they do not lead there.

    A step begins at the version it names, or at an earlier one of the same major version, whose
    values it can read. Where the target is below the source, the steps are ways back.
    """
    known = migrations_of(owner)
    if _numbers(source) > _numbers(target):
        steps = chain(owner, target, source)
        if steps is None or any(step.down is None for step in steps):
            return None
        return [step.back() for step in reversed(steps)]
    steps, at, end = [], _numbers(source), _numbers(target)
    for step in known:
        begin, goal = _numbers(step.source), _numbers(step.target)
        if begin >= at and begin[0] == at[0] and goal <= end:
            steps.append(step)
            at = goal
    return steps if at[0] == end[0] else None


def steps_of_call(owner: type, method: str, source: str, target: str) -> list[Migration]:
    """Return the steps for messages of a method, from one version to another; there may be none.

    ConfigurationError if one of the steps back has no way back.
    """
    steps: list[Migration] = []
    back = _numbers(source) > _numbers(target)
    low, high = sorted((_numbers(source), _numbers(target)))
    for each in sorted(migrations_of(owner), key=lambda m: _numbers(m.source), reverse=back):
        inside = low <= _numbers(each.source) and _numbers(each.target) <= high
        if inside and method == (each.becomes if back else each.method):
            steps.append(each.back() if back else each)
            method = steps[-1].becomes
    return steps


def _numbers(version: str) -> tuple[int, int, int]:
    return numbers_of(version, "a migration")
