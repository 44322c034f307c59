"""Migrations: declared steps from one version of a state class to another, and chains of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from ..errors import ConfigurationError
from ..state.state import State
from .schema import numbers_of
from .transforms import Change, Transform, compose

_declared: Final[weakref.WeakKeyDictionary[type[State], list[Migration]]] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True, slots=True)
class Migration:
    """A step from one version of a state class to the next: as declared, or its way back."""

    state_class: type[State]
    source: str
    target: str
    up: Change
    down: Change | None
    touches: frozenset[str] | None
    """The fields it reads or writes; None: it may be any."""
    label: str

    def __str__(self) -> str:
        return f"{self.state_class.__name__} {self.source} to {self.target} ({self.label})"

    def back(self) -> Migration:
        """Return its way back; ConfigurationError if it has none."""
        if self.down is None:
            raise ConfigurationError(f"the migration {self} has no way back")
        return replace(
            self, source=self.target, target=self.source, up=self.down, down=self.up,
            label=f"back: {self.label}",
        )  # fmt: skip


class DeclaredMigration:
    """What ``@migration`` gives: takes the function, and after it ``@function.reverse``."""

    def __init__(self, made: Migration) -> None:
        """Hold a migration that is declared already."""
        self.migration = made

    def reverse(self, down: Change) -> Change:
        """Declare the way back; a decorator."""
        known = _declared[self.migration.state_class]
        complete = replace(self.migration, down=down)
        known[known.index(self.migration)] = complete
        self.migration = complete
        return down

    def __call__(self, data: dict[str, object]) -> dict[str, object]:
        """Run it on values, as in a test."""
        made = self.migration.up(data)
        return data if made is None else made


def migration(
    state_class: type[State], source: str, target: str, *steps: Transform,
    fields: Iterable[str] | None = None,
) -> Callable[[Change], DeclaredMigration]:  # fmt: skip
    """Declare how values of one version become those of another.

    With ``steps`` it is declared by the call. Without, decorate a function that takes the values
    of one agent as a dictionary of plain JSON values, changes it in place or returns another. A
    ``Log`` is a list there, a ``Map`` a dictionary; ``fields`` names those that the function looks
    at, so that large others are not read.
    """
    given: object = state_class
    if not (isinstance(given, type) and issubclass(given, State)):
        message = f"migration({state_class!r}, ...) is given no State class; name the class itself"
        raise ConfigurationError(message)
    where = f"a migration of {state_class.__name__}"
    if numbers_of(source, where) >= numbers_of(target, where):
        message = f"{where} goes from {source} to {target}; declare the way up, and its reverse"
        raise ConfigurationError(message)
    if steps:
        whole = compose(*steps)
        _declare(
            Migration(state_class, source, target, whole.up, whole.down, whole.touches, whole.label)
        )

    def declare(function: Change) -> DeclaredMigration:
        if steps:
            message = f"{where} from {source} has steps already; give those or a function"
            raise ConfigurationError(message)
        touches = None if fields is None else frozenset(fields)
        label = getattr(function, "__name__", "a function")
        made = Migration(state_class, source, target, function, None, touches, label)
        _declare(made)
        return DeclaredMigration(made)

    return declare


def _declare(made: Migration) -> None:
    known = _declared.setdefault(made.state_class, [])
    for other in known:
        if (other.source, other.target) == (made.source, made.target):
            message = f"{other} is declared already; there can be one of a version to another"
            raise ConfigurationError(message)
    known.append(made)


def migrations_of(state_class: type[State]) -> list[Migration]:
    """Return the declared migrations of a state class, by source and target."""
    known = _declared.get(state_class, [])
    return sorted(known, key=lambda each: (_numbers(each.source), _numbers(each.target)))


def chain(state_class: type[State], source: str, target: str) -> list[Migration] | None:
    """Return the steps from one version to another, each of them; None if they do not lead there.

    A step begins at the version it names, or at an earlier one of the same major version, whose
    values it can read. Where the target is below the source, the steps are ways back.
    """
    known = migrations_of(state_class)
    if _numbers(source) > _numbers(target):
        steps = chain(state_class, target, source)
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


def _numbers(version: str) -> tuple[int, int, int]:
    return numbers_of(version, "a migration")
