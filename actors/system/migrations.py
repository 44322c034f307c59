"""Every stored agent is brought to the schema of its class, or back to an earlier one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final, NamedTuple, Protocol

from ...lifecycle.status import stored_status
from ...persistence.errors import ConfigurationError, CorruptState, StoreUnavailable
from ...persistence.records.records import AgentRow, Commit, StoredAgent
from ...persistence.schema.evolution import Evolution
from ...persistence.schema.rewrite import MIGRATE, Rewritten
from ...persistence.schema.trial import (
    MigrationReport,
    Progress,
    Tell,
    Trials,
    loaded,
    stale_keys,
    tried,
)
from ...shared.ledger.desk import Desk
from ...shared.scopes.schemas import Schemas
from ..cell.cell import Surroundings
from ..cell.loading import say
from ..talk.control import Verb
from .cells import CommitAsleep, Keeper
from .migrated_calls import WaitingCalls
from .migrated_values import METADATA, VALUES, KeptValues
from .post import PostOffice, refuse_agents

BATCH: Final = 2_000
"""Agents whose commits are waited for together."""


class _Way(NamedTuple):
    """How agents of a kind come to their goal."""

    evolution: Evolution
    goal: int
    trials: Trials


class MigrationHome(Surroundings, Protocol):
    """The system whose agents are migrated."""

    post: PostOffice
    desk: Desk
    schemas: Schemas
    metadata: Schemas
    evolution: Evolution

    @property
    def keeper(self) -> Keeper:
        """Where the cells are kept."""
        ...


class Migrations:
    """Migrate the agents of a store that is open; one run at a time."""

    def __init__(self, home: MigrationHome) -> None:
        """Work on the store of ``home``."""
        self._home = home
        self._one = threading.Lock()
        self.kept = (
            KeptValues(home.store, VALUES, home.schemas),
            KeptValues(home.store, METADATA, home.metadata),
        )
        """What is stored by types that are declared for it."""

    def run(
        self,
        evolution: Evolution,
        *,
        kinds: Sequence[str] | None = None,
        version: str | None = None,
        messages: str | None = None,
        values: Sequence[KeptValues] = (),
        dry: bool = False,
        tell: Tell | None = None,
    ) -> MigrationReport:
        """Migrate the agents of kinds; where one cannot be, none is, and the report names all.

        ``evolution`` knows the classes: those of this system, or of a program that nothing runs of.
        Then what waits for them is rewritten, too; else it is migrated when it is delivered.
        """
        refuse_agents("migrate the store")
        if not self._one.acquire(blocking=False):
            raise ConfigurationError("a migration of this store is under way; wait for its end")
        try:
            goals = {
                kind: evolution.number(kind, version)
                for kind in (evolution.kinds() if kinds is None else kinds)
            }
            store = self._home.store
            calls = [WaitingCalls(store, evolution, kind, messages) for kind in goals]
            self._home.desk.wait()
            trials = None if dry else Trials()
            more: list[WaitingCalls | KeptValues] = [*calls, *values]
            report = self._tried(evolution, goals, more, tell if dry else None, trials)
            report.dry = dry
            if trials is not None and report.complete:
                self._take(evolution, goals, trials, tell)
                for kept in values:
                    kept.rewrite(self._home.desk, _telling(tell, report, kept.told))
                for each in calls if evolution is not self._home.evolution else ():
                    self._rewrite(each)
        except StoreUnavailable as error:
            message = f"the migration has stopped, and the next run goes on with it: {error}"
            raise StoreUnavailable(message, full=error.full, location=error.location) from error
        else:
            return report
        finally:
            self._one.release()

    def _tried(
        self, evolution: Evolution, goals: dict[str, int],
        more: Sequence[WaitingCalls | KeptValues], tell: Tell | None, trials: Trials | None,
    ) -> MigrationReport:  # fmt: skip
        """Compute what becomes of everything, and change nothing."""
        store, largest = self._home.store, self._home.largest_value
        progress = Progress(store, goals, tell)
        report = tried(store, evolution, goals, progress, largest=largest, trials=trials)
        for each in more:
            each.tried(report)
        return report

    def _take(
        self, evolution: Evolution, goals: dict[str, int], trials: Trials, tell: Tell | None
    ) -> None:
        """Migrate every agent, in batches; what is done is not done again after a kill."""
        progress = Progress(self._home.store, goals, tell)
        done: list[str] = []
        for kind, keys in stale_keys(self._home.store, goals):
            running = evolution is self._home.evolution
            asleep = self._home.keeper.asleep(kind, keys) if running else nullcontext(_always)
            with asleep as commit:
                left = self._together(_Way(evolution, goals[kind], trials), kind, keys, commit)
            references = [self._home.reference(kind, key) for key in left]
            for future in [self._home.post.control(each, Verb.MIGRATE) for each in references]:
                future.get()
            done += [kind] * len(keys)
            if len(done) >= BATCH:  # one page is read while another is written
                self._settle(done, progress)
        self._settle(done, progress)

    def _settle(self, done: list[str], progress: Progress) -> None:
        self._home.desk.wait()
        for kind in done:
            progress.step(kind)
        done.clear()

    def _together(
        self, way: _Way, kind: str, keys: Sequence[str], commit: CommitAsleep
    ) -> list[str]:
        """Commit for all agents that have no cell; return the others, whose cells see to them."""
        left: list[str] = []
        for key, stored in loaded(self._home.store, kind, keys):
            if isinstance(stored, CorruptState):
                raise stored
            if stored is None or stored.schema == way.goal:
                continue
            try:
                done = self._commit(way, stored, commit)
            except CorruptState:
                if commit is _always:
                    raise
                done = False  # it may have woken up since it was read; else its cell says this
            if not done:
                left.append(key)
        return left

    def _rewrite(self, calls: WaitingCalls) -> None:
        """Rewrite what waits for a kind: messages in batches, the timers of each agent at once."""
        home = self._home
        for commit in calls.letters():
            home.supervisor.append(commit)
            home.desk.wait()
        for key, timers in calls.timers():
            stored = home.store.load(calls.kind, key)
            if stored is not None:
                head = stored.head
                status = stored_status(f"{head.kind}/{head.key}", head.status)
                commit = Commit(head.kind, key, status, head.reason, home.clock.now(), MIGRATE)
                commit.with_effects().timers = timers
                home.supervisor.writer(head).submit(commit)
        home.desk.wait()

    def _commit(self, way: _Way, stored: StoredAgent, commit: CommitAsleep) -> bool:
        """Commit what becomes of an agent, all of it or nothing; False if it has a cell by now."""
        home, head = self._home, stored.head
        made = way.trials.take(stored)
        if made is None:
            moved = way.evolution.moved(home.store, stored, way.goal, largest=home.largest_value)
            made = moved or Rewritten.unchanged(stored, way.goal)
        way.evolution.registry.use(way.goal)
        status = stored_status(f"{head.kind}/{head.key}", head.status)
        done = Commit(head.kind, head.key, status, head.reason, home.clock.now(), made.name)
        done.delta = made.delta
        writer = home.supervisor.writer(head)
        if not commit(head, lambda: writer.submit(done)):
            return False
        say(f"{head.kind}/{head.key}", made)
        return True


def _always(_head: AgentRow, append: Callable[[], int]) -> bool:
    """Commit for an agent of a class that is not running."""
    return bool(append())


def _telling(tell: Tell | None, report: MigrationReport, told: str) -> Callable[[int], None]:
    """Return what hands on how many values are done, out of those that the trial has found."""
    total = report.values[f"{told}s"]
    return lambda done: None if tell is None else tell(done, max(done, total), f"{told}s")
