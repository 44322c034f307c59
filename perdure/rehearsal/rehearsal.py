"""Load every stored agent and every pending message under some code, and change nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

from ..actors.agent.blueprint import Blueprint, Catalogue
from ..actors.system.migrated_values import Types, kept_values
from ..persistence.errors import PerdureError
from ..persistence.records.records import Message, StoredAgent, Timer
from ..persistence.schema.evolution import Evolution
from ..persistence.schema.registry import Registry
from ..persistence.schema.waiting import mail_of, method_of, timers_of
from ..persistence.store.store import StoreReader
from .report import Outcome, Rehearsal, Tried
from .values import unreadable

Progress = Callable[[int, int, str], None]
"""Is told how many agents and messages were tried, out of how many, and what is at work."""


class Rehearsing:
    """One rehearsal: a store that is only read, and the classes of a program."""

    def __init__(
        self, reader: StoreReader, catalogue: Catalogue, *, largest: int,
        types: Types = ({}, {}), tell: Progress | None = None,
    ) -> None:  # fmt: skip
        """Compute the schemas of the classes; nothing is read yet."""
        self._reader = reader
        self._catalogue = catalogue
        self._aliases = catalogue.aliases()
        self._largest = largest
        self._tell = tell
        self._evolution = Evolution(Registry.only_read(reader), catalogue.stored())
        self._kept = kept_values(reader, self._evolution.registry, types)
        self._done = 0

    def run(self, *, migrate: bool) -> Rehearsal:
        """Try everything.

        With ``migrate`` agents of other schemas are migrated first, in memory; without, they
        count as skipped where a migration would run.
        """
        begun = time.perf_counter()
        kinds = set(self._catalogue.kinds())
        total = self._reader.counted("agents") + self._reader.counted("mailbox")
        total += self._reader.counted("timers")
        tried: list[Tried] = []
        for outcome in self._everything(kinds, migrate=migrate):
            tried.append(outcome)
            self._done += 1
            if self._tell is not None:
                self._tell(self._done, total, outcome.kind)
        return Rehearsal(tuple(tried), time.perf_counter() - begun)

    def _everything(self, kinds: set[str], *, migrate: bool) -> Iterator[Tried]:
        for head in self._reader.agents():
            if self._now(head.kind) not in kinds:
                yield Tried("agent", head.kind, head.key, "", "failed", _no_class(head.kind))
            else:
                yield self._agent(head.kind, head.key, migrate=migrate)
        for message in mail_of(self._reader):
            name = f"{method_of(message)} {message.id}"
            yield self._call("message", message, name, kinds, migrate=migrate)
        for timer in timers_of(self._reader):
            yield self._call("timer", timer, f"timer {timer.name}", kinds, migrate=migrate)
        for kept in self._kept:
            for scope, key, moved, problem in kept.each():
                left = moved and not migrate
                outcome: Outcome = "failed" if problem else "skipped" if left else "ok"
                told = problem or ("it takes a migration" if left else "")
                yield Tried(kept.told, scope, key, "", outcome, told, moved)

    def _now(self, kind: str) -> str:
        """Return the kind that agents of a kind are carried over to."""
        return self._aliases.get(kind, kind)

    def _agent(self, kind: str, key: str, *, migrate: bool) -> Tried:
        try:
            stored = self._reader.load(kind, key)
            if stored is None:
                return Tried("agent", kind, key)
            head = stored.head._replace(kind=self._now(kind))
            stored = dataclasses.replace(stored, head=head)
            return self._loaded(stored, migrate=migrate)
        except PerdureError as error:
            return Tried("agent", kind, key, "", "failed", str(error))

    def _loaded(self, stored: StoredAgent, *, migrate: bool) -> Tried:
        """Read an agent as its class would, or the values that its migrations make."""
        kind, key = stored.head.kind, stored.head.key
        moved = self._evolution.rewritten(self._reader, stored, largest=self._largest)
        if moved is not None and moved.steps and not migrate:
            told = f"it takes a migration: {'; '.join(moved.steps)}"
            return Tried("agent", kind, key, "", "skipped", told)
        layout = self._catalogue.of_kind(kind).layout
        problem = unreadable(self._reader, stored, layout, moved)
        if problem:
            return Tried("agent", kind, key, "", "failed", problem)
        return Tried("agent", kind, key, migrated=moved is not None and bool(moved.steps))

    def _call(
        self, what: str, row: Message | Timer, name: str, kinds: set[str], *, migrate: bool
    ) -> Tried:
        if self._now(row.kind) not in kinds:
            return Tried(what, row.kind, row.key, name, "failed", _no_class(row.kind))
        blueprint: Blueprint = self._catalogue.of_kind(self._now(row.kind))
        try:
            method, body = self._fresh(row)
            steps = (method, body) != (_method(row), row.body)
            if steps and not migrate:
                told = f"{row.kind}/{row.key}, {name}: it takes a migration"
                return Tried(what, row.kind, row.key, name, "skipped", told)
            blueprint.calls.decode(method, body, row.key)
            lost = "; ".join(map(str, self._evolution.lost(row)))
            if lost:
                told = f"{row.kind}/{row.key}, {name}: {lost}"
                return Tried(what, row.kind, row.key, name, "failed", told)
        except (PerdureError, ValueError, TypeError, AttributeError) as error:
            told = f"{row.kind}/{row.key}, {name}: it no longer decodes: {error}"
            return Tried(what, row.kind, row.key, name, "failed", told)
        return Tried(what, row.kind, row.key, name, migrated=steps)

    def _fresh(self, row: Message | Timer) -> tuple[str, str]:
        """Return the method and the body of a call as the classes have them."""
        if isinstance(row, Message):
            message = self._evolution.message(row)
            return message.name, message.body
        timer = self._evolution.timer(row)
        return timer.method, timer.body


def _method(row: Message | Timer) -> str:
    return row.name if isinstance(row, Message) else row.method


def _no_class(kind: str) -> str:
    return f"the code has no class of kind {kind}; give it, or say aliases = [{kind!r}] in another"


def rehearse(
    reader: StoreReader, catalogue: Catalogue, *, largest: int, migrate: bool,
    types: Types = ({}, {}), tell: Progress | None = None,
) -> Rehearsal:  # fmt: skip
    """Try everything in a store under the classes of a program; see ``Rehearsing``."""
    return Rehearsing(reader, catalogue, largest=largest, types=types, tell=tell).run(
        migrate=migrate
    )
