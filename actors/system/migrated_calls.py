"""What waits for the agents of a kind, rewritten for the methods that its class has now."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import Final

from ...persistence.errors import MigrationFailed, PerdureError
from ...persistence.records.records import Commit, DeadLetter, Message, Timer
from ...persistence.schema.evolution import Evolution
from ...persistence.schema.rewrite import MIGRATE
from ...persistence.schema.trial import MigrationFailure, MigrationReport
from ...persistence.schema.waiting import method_of, timers_of
from ...persistence.store.store import StoreReader

PAGE: Final = 500


class WaitingCalls:
    """The messages, dead letters and timers of one kind."""

    def __init__(
        self, store: StoreReader, evolution: Evolution, kind: str, version: str | None
    ) -> None:
        """Bring them to the methods of the kind's class, or to those of another version."""
        self.kind = kind
        self._store = store
        self._evolution = evolution
        self._goal = None if version is None else evolution.messages_of(kind, version)

    def tried(self, report: MigrationReport) -> None:
        """Compute what becomes of each, and change nothing."""
        for letter in self._letters():
            dead = isinstance(letter, DeadLetter)
            try:
                changed = self._letter(letter) != letter
                if not dead:
                    self._refuse_lost(Message(*letter[:8]), f"message {letter.id}")
            except PerdureError as error:
                if dead:
                    report.left[f"{self.kind}, dead letters"] += 1
                else:
                    failure = MigrationFailure(letter.kind, letter.key, str(error))
                    report.failures.append(failure)
            else:
                report.waiting[self.kind] += changed
        for timer in timers_of(self._store, self.kind):
            try:
                report.waiting[self.kind] += self._evolution.timer(timer, self._goal) != timer
                self._refuse_lost(timer, f"timer {timer.name}")
            except PerdureError as error:
                report.failures.append(MigrationFailure(timer.kind, timer.key, str(error)))
        if not report.waiting[self.kind]:
            del report.waiting[self.kind]

    def _refuse_lost(self, row: Message | Timer, what: str) -> None:
        """Raise MigrationFailed for what the class of today would be refused for."""
        lost = self._evolution.lost(row) if self._goal is None else ()
        if lost:
            told = "; ".join(map(str, lost))
            raise MigrationFailed(f"{row.kind}/{row.key}, {what}", method_of(row), told, "")

    def letters(self) -> Iterator[Commit]:
        """Iterate over commits that rewrite messages and dead letters, the newest first.

        Each says how far down they are of the new schema: so what a killed run has done is not done
        again.
        """
        registry = self._evolution.registry
        goal = self._goal or self._evolution.messages_of(self.kind)
        letters = self._letters()
        while page := [*islice(letters, PAGE)]:
            commit = Commit(name=MIGRATE)
            effects = commit.with_effects()
            fresh = [each for each in map(self._kept, page) if each is not None]
            effects.sends = [each for each in fresh if isinstance(each, Message)]
            effects.dead = [each for each in fresh if isinstance(each, DeadLetter)]
            effects.rows = [registry.cover(self.kind, goal, page[-1].id)]
            yield commit

    def timers(self) -> Iterator[tuple[str, list[Timer]]]:
        """Iterate over the agents whose timers are rewritten, with those.

        Whoever commits them has set them, and by the new schema.
        """
        registry = self._evolution.registry
        registry.use(
            registry.enter(self.kind, self._goal or self._evolution.messages_of(self.kind))
        )
        found: dict[str, list[Timer]] = defaultdict(list)
        for timer in timers_of(self._store, self.kind):
            fresh = self._evolution.timer(timer, self._goal)
            if fresh != timer:
                found[timer.key].append(fresh._replace(cause=0))
        yield from found.items()

    def _kept(self, letter: Message | DeadLetter) -> Message | DeadLetter | None:
        """Return a letter as it is to be stored; None if it stays as it is."""
        try:
            fresh = self._letter(letter)
        except PerdureError:
            return None  # a dead one: it can be read, and that is all
        return None if fresh == letter else fresh

    def _letter(self, letter: Message | DeadLetter) -> Message | DeadLetter:
        fresh = self._evolution.message(Message(*letter[:8]), self._goal)
        return letter._replace(name=fresh.name, body=fresh.body)

    def _letters(self) -> Iterator[Message | DeadLetter]:
        both = (self._mail(), self._dead())
        return heapq.merge(*both, key=attrgetter("id"), reverse=True)

    def _mail(self) -> Iterator[Message]:
        after = None
        while page := self._store.mailbox(self.kind, after=after, limit=PAGE, newest=True):
            yield from page
            after = page[-1].id

    def _dead(self) -> Iterator[DeadLetter]:
        after = None
        while page := self._store.dead_letters(self.kind, after=after, limit=PAGE, newest=True):
            yield from page
            after = page[-1].id
