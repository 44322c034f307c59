"""The schemas of a store and of the classes it was opened with: what becomes of each agent."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import CorruptState, IncompatibleSchema, UnknownSchema
from ..records.records import Message, StoredAgent, Timer
from ..state.state import Layout
from ..store.store import StoreReader
from .calls import CallMigration, StoredCall
from .comparison import Difference, compare
from .fitting import WAYS
from .migration import Migration, chain, migrations_of
from .registry import Registered, Registry
from .rewrite import Rewriting, Rewritten
from .schema import FIRST, Schema, numbers_of, schema_of
from .target import Target, target_from, target_of
from .waiting import Takers

logger = logging.getLogger("perdure.persistence")


@dataclass(frozen=True, slots=True)
class Stored:
    """A class whose agents a store may hold."""

    kind: str
    layout: Layout
    messages: Schema
    """The schema of the messages that its agents take."""
    lenient: bool = False
    """What it cannot read goes back to what it can: nothing to be refused."""
    aliases: tuple[str, ...] = ()
    """Kinds it had before."""
    agent_class: type = object
    """The class itself, which migrations of messages are declared of."""

    @property
    def schema(self) -> Schema:
        """The schema of its state."""
        return schema_of(self.layout.state_class)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How agents come from one schema to another."""

    old: Schema | None
    source: str
    target: Target
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
            kind: registry.enter(kind, each.schema) for kind, each in self._classes.items()
        }
        self._letters = {
            kind: registry.enter(kind, each.messages) for kind, each in self._classes.items()
        }
        """The numbers of the schemas of messages."""
        self._takers = {
            kind: Takers(registry, (kind, *each.aliases), each.agent_class, each.messages)
            for kind, each in self._classes.items()
        }
        self._plans: dict[tuple[int, int], _Plan] = {}

    def kinds(self) -> list[str]:
        """Return the kinds that there are classes of."""
        return list(self._classes)

    def number(self, kind: str, version: str | None = None) -> int:
        """Return the number of the schema of a kind's class, or of its latest of a version.

        UnknownSchema if the store knows none of that version.
        """
        if version is None or version == self._classes[kind].schema.version:
            return self._numbers[kind]
        for each in reversed(self.registry.of(kind)):
            if each.schema.version == version:
                return each.number
        raise UnknownSchema(f"the store knows no version {version!r} of {kind}")

    def used(self, kind: str) -> int:
        """Return the number of a class's schema, and have it stored with the next commit."""
        number = self._numbers[kind]
        self.registry.use(number)
        return number

    def written_to(self, kind: str) -> None:
        """Have the schema of a kind's messages stored with the next commit: one is sent to it."""
        self.registry.use(self._letters[kind])

    def messages_of(self, kind: str, version: str | None = None) -> Schema:
        """Return the schema of the messages of a kind's class, or its latest of a version.

        UnknownSchema if the store knows none of that version.
        """
        now = self._classes[kind].messages
        if version is None or version == now.version:
            return now
        for each in reversed(self.registry.of(kind, "messages")):
            if each.schema.version == version:
                return each.schema
        raise UnknownSchema(f"the store knows no version {version!r} of the messages of {kind}")

    def message(self, message: Message, goal: Schema | None = None) -> Message:
        """Return a stored message as the methods of its class take it; itself if it is one.

        MigrationFailed as ``CallMigration.run``.
        """
        if goal is None and self.registry.is_new(letter=message.id):
            return message
        written = self.registry.of_letter(message.kind, message.id)
        name, body = self._call(message, message.name, f"message {message.id}", written, goal)
        return message._replace(name=name, body=body)

    def timer(self, timer: Timer, goal: Schema | None = None) -> Timer:
        """Return a stored timer as the methods of its class take it; as ``message`` does."""
        if goal is None and (not timer.cause or self.registry.is_new(sequence=timer.cause)):
            return timer
        written = self.registry.of_commit(timer.kind, "messages", timer.cause)
        method, body = self._call(timer, timer.method, f"timer {timer.name}", written, goal)
        return timer._replace(method=method, body=body)

    def _call(
        self, row: Message | Timer, name: str, what: str, written: Registered | None,
        goal: Schema | None,
    ) -> StoredCall:  # fmt: skip
        now, call = self._class_of(row.kind), StoredCall(name, row.body)
        wanted = goal or now.messages
        if written is not None and written.fingerprint == wanted.fingerprint:
            return call
        way = CallMigration(now.agent_class, None if written is None else written.schema, wanted)
        return way.run(call, f"{row.kind}/{row.key}, {what}")[0]

    def _class_of(self, kind: str) -> Stored:
        """Return the class of a kind, or of one that a class had before."""
        return self._classes.get(kind) or next(
            each for each in self._classes.values() if kind in each.aliases
        )

    def entered(self, kind: str, schema: Schema | None) -> int:
        """Return the number of a schema of another store; that of the class if it is not known."""
        if schema is None:
            return self.used(kind)
        number = self.registry.enter(kind, schema)
        self.registry.use(number)
        return number

    def rewritten(
        self, reader: StoreReader, stored: StoredAgent, *, largest: int
    ) -> Rewritten | None:
        """Return what must be committed before a class can read an agent; None if nothing.

        Costs one comparison of numbers where the agent was written with the class's own schema.
        MigrationFailed and CorruptState as ``Rewriting.run``.
        """
        number = self._numbers[stored.head.kind]
        if stored.schema == number or not stored.shape:
            return None
        return self.moved(reader, stored, number, largest=largest)

    def moved(
        self, reader: StoreReader, stored: StoredAgent, goal: int, *, largest: int
    ) -> Rewritten | None:
        """Return what brings an agent to a schema of its kind; None if it is read as it is."""
        kind = stored.head.kind
        plan = self._plan(kind, stored.schema, goal)
        if plan.steps is None or (plan.steps and _lost(stored)):
            raise CorruptState(f"{kind}/{stored.head.key}", _why(plan))
        rewriting = Rewriting(
            reader, stored, plan.target, plan.old, plan.alive, suspects=plan.suspects,
            largest=largest,
        )  # fmt: skip
        return rewriting.run(plan.steps, goal)

    def _plan(self, kind: str, written: int, goal: int) -> _Plan:
        plan = self._plans.get((written, goal))
        if plan is None or not written:
            plan = self._plans[written, goal] = self._made_plan(kind, written, goal)
        return plan

    def _made_plan(self, kind: str, written: int, goal: int) -> _Plan:
        now = self._classes[kind]
        schema, target = now.schema, target_of(now.layout)
        if goal != self._numbers[kind]:
            entry = self.registry.get(goal)
            assert entry is not None
            schema, target = entry.schema, target_from(entry.schema)
        state_class, entry = now.layout.state_class, self.registry.get(written)
        if entry is None:  # what an earlier release has written, by classes without a version
            steps = chain(state_class, FIRST, schema.version) if not written else []
            return _Plan(None, FIRST, target, steps, frozenset(), frozenset())
        source = entry.schema.version
        found = compare(entry.schema, schema).hindering
        suspects = frozenset(re.split(r"[.\[]", each.path, maxsplit=1)[0] for each in found)
        steps = chain(state_class, source, schema.version)
        return _Plan(entry.schema, source, target, steps, self._alive(entry), suspects)

    def _alive(self, entry: Registered) -> frozenset[str]:
        """Return the fields that newer classes of the same major version have written."""
        begin = numbers_of(entry.schema.version, entry.kind)
        newer = [
            each.schema
            for each in self.registry.of(entry.kind)
            if (there := numbers_of(each.schema.version, each.kind))[0] == begin[0]
            and there > begin
        ]
        return frozenset(member.name for schema in newer for member in schema.members)

    def refuse_incompatible(self, reader: StoreReader) -> None:
        """Refuse classes that cannot read what agents in a store were written with.

        IncompatibleSchema names every difference and says what to do. Where each class's schema is
        the last that was used, that was looked at before, and it costs a comparison of
        fingerprints.
        """
        problems: list[str] = []
        for kind, each in self._classes.items():
            known = [old for name in (kind, *each.aliases) for old in self.registry.of(name)]
            if each.lenient or not known or known[-1].number == self._numbers[kind]:
                continue
            suspects = [old for old in known if self._unreadable(old, each)]
            if suspects:
                there: dict[int, int] = {}
                for name in (kind, *each.aliases):
                    there |= reader.written_with(name)
                for old in suspects:
                    count = there.get(old.number, 0)
                    problems += self._differences(old, each, count) if count else []
        changed = [each for each in self._classes.values() if self._takes_others(each)]
        problems += [told for each in changed for told in self._takers[each.kind].refused(reader)]
        if problems:
            raise IncompatibleSchema(reader.location, problems)
        for each in changed:
            self._look_at_messages(reader, each)

    def lost(self, row: Message | Timer) -> list[Difference]:
        """Return the differences for which a class is refused while a message or timer waits."""
        return self._takers[self._class_of(row.kind).kind].lost(row)

    def _takes_others(self, now: Stored) -> bool:
        """Tell whether the messages that were sent last have another schema than the class."""
        names = (now.kind, *now.aliases)
        known = [old for name in names for old in self.registry.of(name, "messages")]
        return bool(known) and known[-1].number != self._letters[now.kind]

    def _look_at_messages(self, reader: StoreReader, now: Stored) -> None:
        """Say which methods may not take what waits for them: it would go to the dead letters."""
        kind, known = now.kind, self.registry.of(now.kind, "messages")
        if not known:
            return
        found = compare(known[-1].schema, now.messages).hindering
        if known[-1].schema.version == now.messages.version:
            found = [
                each for each in found if each.change not in WAYS
            ]  # each message was looked at
        if found and migrations_of(now.agent_class):
            return  # what is declared takes them; the rehearsal tries it
        if found and (reader.counted("mailbox", kind) or reader.counted("timers", kind)):
            told = "; ".join(map(str, found))
            logger.warning(
                "%s: messages or timers of %s wait, and its methods have changed: %s; what they do"
                " not take goes to the dead letters, and perdure rehearse names it",
                reader.location, kind, told,
            )  # fmt: skip

    def _unreadable(self, old: Registered, now: Stored) -> bool:
        """Tell whether a class cannot read what was written with a schema, not even migrated."""
        if old.number == self._numbers[now.kind]:
            return False
        steps = self._plan(now.kind, old.number, self._numbers[now.kind]).steps
        if steps:
            return False
        return steps is None or bool(compare(old.schema, now.schema).level)

    def _differences(self, old: Registered, now: Stored, count: int) -> list[str]:
        new = now.schema
        there = f"{old.kind} {old.schema.version}, {count:,} agent{'s' if count > 1 else ''}"
        found = [f"{there}: {each}" for each in compare(old.schema, new).hindering]
        return found or [f"{there}: no migrations lead to version {new.version}"]


def refuse_incompatible(reader: StoreReader, classes: Iterable[Stored]) -> None:
    """Refuse classes that cannot read what is stored, as ``Evolution.refuse_incompatible``."""
    Evolution(Registry.only_read(reader), classes).refuse_incompatible(reader)


def _why(plan: _Plan) -> str:
    if plan.steps is None:
        return (
            f"it was written by version {plan.source}, and no migrations lead from there to"
            f" version {plan.target.version}; declare them, or run the class that wrote it"
        )
    return "which version has written it was lost with its shape; restore a backup"


def _lost(stored: StoredAgent) -> bool:
    """Tell whether it is not known any more which schema an agent was written with."""
    return any(row.place == "(shape)" for row in stored.damaged)
