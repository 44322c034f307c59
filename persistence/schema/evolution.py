"""The schemas of a store and of the classes it was opened with: what becomes of each agent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import CorruptState, IncompatibleSchema
from ..records.records import StoredAgent
from ..state.state import Layout, State
from ..store.store import StoreReader
from .comparison import compare
from .migration import Migration, chain
from .registry import Registered, Registry
from .rewrite import Rewriting, Rewritten
from .schema import FIRST, Schema, numbers_of, schema_of


@dataclass(frozen=True, slots=True)
class Stored:
    """A class whose agents a store may hold."""

    kind: str
    state_class: type[State]
    lenient: bool = False
    """What it cannot read goes back to what it can: nothing to be refused."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How agents come from one schema to another."""

    old: Schema | None
    source: str
    steps: Sequence[Migration] | None
    """None: no migrations lead there."""
    alive: frozenset[str]
    """Fields that newer classes of the same major version have written."""
    suspects: frozenset[str]
    """Fields whose values may not fit the class as they are."""


class Evolution:
    """Know for each kind the schema of its class, and the way there from every stored one."""

    def __init__(self, registry: Registry, classes: Iterable[Stored]) -> None:
        """Enter the schemas of the classes into the registry."""
        self.registry = registry
        self._classes = {each.kind: each for each in classes}
        self._numbers = {
            kind: registry.enter(kind, schema_of(each.state_class))
            for kind, each in self._classes.items()
        }
        self._plans: dict[tuple[str, int], _Plan] = {}

    def number(self, kind: str) -> int:
        """Return the number of the schema of a kind's class."""
        return self._numbers[kind]

    def used(self, kind: str) -> int:
        """Return that number, and have the schema stored with the next commit."""
        number = self._numbers[kind]
        self.registry.use(number)
        return number

    def rewritten(
        self, reader: StoreReader, stored: StoredAgent, layout: Layout, *, largest: int
    ) -> Rewritten | None:
        """Return what must be committed before a class can read an agent; None if nothing.

        Costs one comparison of numbers where the agent was written with the class's own schema.
        MigrationFailed and CorruptState as ``Rewriting.run``.
        """
        kind = stored.head.kind
        number = self._numbers[kind]
        if stored.schema == number or not stored.shape:
            return None
        plan = self._plan(kind, stored.schema)
        if plan.steps is None or (plan.steps and _lost(stored)):
            raise CorruptState(f"{kind}/{stored.head.key}", self._why(plan, kind))
        rewriting = Rewriting(
            reader, stored, layout, plan.old, plan.alive, suspects=plan.suspects, largest=largest
        )
        return rewriting.run(plan.steps, number)

    def _why(self, plan: _Plan, kind: str) -> str:
        target = schema_of(self._classes[kind].state_class).version
        if plan.steps is None:
            return (
                f"it was written by version {plan.source}, and no migrations lead from there to"
                f" version {target}; declare them, or run the class that wrote it"
            )
        return "which version has written it was lost with its shape; restore a backup"

    def _plan(self, kind: str, written: int) -> _Plan:
        plan = self._plans.get((kind, written))
        if plan is None:
            plan = self._plans[kind, written] = self._made_plan(kind, written)
        return plan

    def _made_plan(self, kind: str, written: int) -> _Plan:
        state_class = self._classes[kind].state_class
        target = state_class.schema_version
        entry = self.registry.get(written)
        if entry is None:  # what an earlier release has written, by classes without a version
            steps = chain(state_class, FIRST, target) if not written else []
            return _Plan(None, FIRST, steps, frozenset(), frozenset())
        source = entry.schema.version
        begin = numbers_of(source, kind)
        newer = [
            each.schema
            for each in self.registry.of(kind)
            if (there := numbers_of(each.schema.version, kind))[0] == begin[0] and there > begin
        ]
        alive = frozenset(member.name for schema in newer for member in schema.members)
        found = compare(entry.schema, schema_of(state_class)).hindering
        suspects = frozenset(re.split(r"[.\[]", each.path, maxsplit=1)[0] for each in found)
        steps = chain(state_class, source, target)
        return _Plan(entry.schema, source, steps, alive, suspects)

    def refuse_incompatible(self, reader: StoreReader) -> None:
        """Refuse classes that cannot read what agents in a store were written with.

        IncompatibleSchema names every difference and says what to do. Where each class's schema is
        the last that was used, that was looked at before, and it costs a comparison of
        fingerprints.
        """
        problems: list[str] = []
        for kind, each in self._classes.items():
            known = self.registry.of(kind)
            if each.lenient or not known or known[-1].number == self._numbers[kind]:
                continue
            suspects = [old for old in known if self._unreadable(old, each)]
            if suspects:
                there = reader.written_with(kind)
                for old in suspects:
                    count = there.get(old.number, 0)
                    problems += self._differences(old, each, count) if count else []
        if problems:
            raise IncompatibleSchema(reader.location, problems)

    def _unreadable(self, old: Registered, now: Stored) -> bool:
        """Tell whether a class cannot read what was written with a schema, not even migrated."""
        if old.number == self._numbers[now.kind]:
            return False
        steps = self._plan(now.kind, old.number).steps
        if steps:
            return False
        return steps is None or bool(compare(old.schema, schema_of(now.state_class)).level)

    def _differences(self, old: Registered, now: Stored, count: int) -> list[str]:
        new = schema_of(now.state_class)
        there = f"{old.kind} {old.schema.version}, {count:,} agent{'s' if count > 1 else ''}"
        found = [f"{there}: {each}" for each in compare(old.schema, new).hindering]
        return found or [f"{there}: no migrations lead to version {new.version}"]


def _lost(stored: StoredAgent) -> bool:
    """Tell whether it is not known any more which schema an agent was written with."""
    return any(row.place == "(shape)" for row in stored.damaged)
