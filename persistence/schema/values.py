"""Values that are stored as a whole, by a declared type: read as that is declared today.

They do not name their schema. Whoever writes one puts its commit's number beside it, and the
registry knows since which commit which schema was written with.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import MigrationFailed, UnknownSchema
from ..secrets.tokens import PREFIX
from .comparison import Difference, compare
from .migration import Migration, chain
from .registry import Registered, Registry
from .schema import FIRST, Family, schema_of_values


class StoredValues:
    """The values of one pattern, or the metadata of one."""

    def __init__(self, registry: Registry, family: Family, pattern: str, declared: object) -> None:
        """Enter the schema of the declared type into the registry."""
        self.schema = schema_of_values(family, declared)
        self.pattern = pattern
        self._registry = registry
        self._declared = declared if isinstance(declared, type) else object
        self._number = registry.enter(pattern, self.schema)
        self._goal = self.schema
        self.unused = True
        """Whether nobody has asked for its type yet."""

    def aim(self, version: str) -> None:
        """Have values brought to another version than that of the type, by the ways back.

        Who writes them is of that version from then on. UnknownSchema if the store knows none.
        """
        known = [
            each.schema
            for each in self._registry.of(self.pattern, self.schema.family)
            if each.schema.version == version
        ]
        if not known:
            message = (
                f"the store knows no version {version!r} of the {self.schema.family} {self.pattern}"
            )
            raise UnknownSchema(message)
        self._goal = known[-1]
        self._number = self._registry.enter(self.pattern, self._goal)

    @property
    def aimed(self) -> bool:
        """Whether values are brought to another version than that of the type."""
        return self._goal is not self.schema

    def use(self) -> None:
        """Have the schema stored with the next commit: a value may be written by it."""
        self._registry.use(self._number)
        self.unused = False

    @property
    def aged(self) -> bool:
        """Whether there may be values of another schema."""
        return bool(self._earlier()) or bool(chain(self._declared, FIRST, self.schema.version))

    def fresh(self, text: str, sequence: int, where: str) -> str:
        """Return a stored text as the type of today reads it.

        MigrationFailed names the place, the step and the path of what cannot be taken.
        """
        if not sequence or self._registry.is_new(sequence=sequence):
            return text
        written = self._registry.of_commit(self.pattern, self.schema.family, sequence)
        if written is not None and written.fingerprint == self._goal.fingerprint:
            return text
        steps = self._steps(written)
        if steps is None:
            assert written is not None
            reason = f"no migrations lead from {written.schema.version} to {self._goal.version}"
            raise MigrationFailed(where, "value", reason, "")
        return _migrated(text, steps, where) if steps else text

    def brought(self, text: str, version: str, where: str) -> str:
        """Return a text of another store as the type of today reads it; as ``fresh`` does."""
        steps = chain(self._declared, version, self.schema.version)
        if steps is None:
            reason = f"no migrations lead from {version} to {self.schema.version}"
            raise MigrationFailed(where, "value", reason, "")
        return _migrated(text, steps, where) if steps else text

    def hindering(self) -> list[tuple[Registered, list[Difference]]]:
        """Return the schemas whose values the type of today cannot read, and why."""
        found = []
        for old in self._earlier():
            steps = self._steps(old)
            differences = compare(old.schema, self.schema).hindering
            if steps is None or (not steps and differences):
                found.append((old, differences))
        return found

    def written_with(self, sequence: int) -> Registered | None:
        """Return what a commit has written a value under; None if that is not known."""
        return self._registry.of_commit(self.pattern, self.schema.family, sequence)

    def _earlier(self) -> list[Registered]:
        known = self._registry.of(self.pattern, self.schema.family)
        return [each for each in known if each.fingerprint != self.schema.fingerprint]

    def _steps(self, written: Registered | None) -> list[Migration] | None:
        if written is not None:
            return chain(self._declared, written.schema.version, self._goal.version)
        return chain(self._declared, FIRST, self._goal.version) or []


def _migrated(text: str, steps: list[Migration], where: str) -> str:
    data: Any = msgspec.json.decode(text)
    for step in steps:
        if not isinstance(data, dict):
            raise MigrationFailed(
                where, "value", f"it is {type(data).__name__}, no record", str(step)
            )
        if PREFIX in text:
            reason = "it holds a sealed secret, which is bound to its place: write it again"
            raise MigrationFailed(where, "value", reason, str(step))
        try:
            made = step.up(data)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise MigrationFailed(where, "value", reason, str(step)) from error
        data = data if made is None else made
    try:
        return msgspec.json.encode(data).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MigrationFailed(where, "value", str(error), str(steps[-1])) from error
