"""A store that fails as a test says, and outlives the systems that open it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ..persistence.errors import ConfigurationError, StoreError, StoreUnavailable
from ..persistence.memory.store import MemoryStore
from ..persistence.sqlite.store import SqliteStore
from ..persistence.store.batch import Batch
from ..persistence.store.lease import NO_LEASE, Owner
from ..persistence.store.store import Store

HELD_SECONDS: Final = 30.0
"""Real seconds for which a commit is held at the most: a test that forgets it must end."""
DEAD: Final = "the process of this system was killed by the test"


class _Life:
    """What the store of one life adds to the store as it is; stands before its class."""

    faults: FaultyStore
    dead = False

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, or fail as the test says."""
        with self.faults.gate:
            if self.dead:
                raise StoreUnavailable(DEAD)
            self.faults.before(batch)
        self.faults.wait()
        with self.faults.gate:  # in one with the look: who is struck dead here commits nothing
            if self.dead:
                raise StoreUnavailable(DEAD)
            super().commit(batch)  # type: ignore[misc]  # of the class behind
        self.faults.after(batch)


class MemoryLife(_Life, MemoryStore):
    """A store in memory, as one life of the process has it."""


class SqliteLife(_Life, SqliteStore):
    """A store in a file, as one life of the process has it."""


class FaultyStore:
    """A store that outlives systems, and fails on command: each opening is another life of it.

    In memory, or in a SQLite file. What fails, fails with StoreUnavailable, so the system tries
    again by its clock, and opens its breaker as it would anywhere.
    """

    def __init__(self, path: Path | None = None, *, sync: str = "process") -> None:
        """Keep what is stored in memory, or in the file at ``path``."""
        self.path = path
        self._sync = sync
        self._memory = MemoryLife()
        self.gate = threading.RLock()
        self._open = threading.Event()
        self._open.set()
        self._waiting = threading.Event()
        self._failing: StoreError | None = None
        self._left = 0
        self._share, self._chance = 0.0, random.Random(0)  # noqa: S311 - faults by a seed, no secrets
        self._seconds = 0.0
        self.commits = 0
        """Commits that have become durable, in all lives."""
        self.failures = 0
        """Batches that were refused as commanded."""
        self.life: Store | None = None
        """The store as the latest system has it."""
        self.on_commit: list[Callable[[Batch], object]] = []
        """Called with each batch once it is durable, on the thread that has written it."""
        self.on_fault: list[Callable[[str], object]] = []
        """Called with what has happened to the store."""

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else f"at {self.path}"
        failing = f", failing: {self._failing}" if self._failing is not None else ""
        return f"<FaultyStore {where}, {self.commits} commits{failing}>"

    def open(self) -> Store:
        """Return the store for a system to open: its next life."""
        life: MemoryLife | SqliteLife
        if self.path is None:
            life = self._memory = self._memory.twin()  # type: ignore[assignment]  # a copy of it
        else:
            life = SqliteLife(self.path, sync=self._sync)
        life.faults, life.dead = self, False
        self.life = life
        return life

    def kill(self) -> None:
        """End the present life as a kill does: nothing of it is committed any more.

        The lease stays with it, as with a process that was killed.
        """
        life: Any = self.life
        self._open.set()
        with self.gate:
            life.dead = True

    @staticmethod
    def bury(life: Store) -> None:
        """Give back what a killed life has still open; the lease is not released."""
        life.lease = NO_LEASE
        with contextlib.suppress(StoreError, sqlite3.Error):
            life.close()

    # What the test says.

    def fail(self, *, next: int | None = None, error: StoreError | None = None) -> None:  # noqa: A002 - reads as it is meant
        """Refuse the ``next`` commits to be written, or all until ``mend()``."""
        if next is not None and next < 1:
            raise ConfigurationError(f"fail(next={next}): give a number of attempts, 1 or more")
        self._left = -1 if next is None else next
        self._failing = error or StoreUnavailable("the store is down, as the test says")
        self._tell("the store fails" if next is None else f"the store fails, {next} times")

    def fill(self) -> None:
        """Refuse every commit, as a full disk does, until ``mend()``."""
        self.fail(error=StoreUnavailable("saving failed: database or disk is full"))

    def fail_at_random(self, share: float, *, seed: int) -> None:
        """Refuse a share of all attempts, chosen by a seed, until ``mend()``."""
        if not 0 <= share < 1:
            raise ConfigurationError(f"fail_at_random({share}): give a share from 0 to below 1")
        self._share, self._chance = share, random.Random(seed)  # noqa: S311 - as above
        self._tell(f"the store fails at random, {share:.0%} by seed {seed}")

    def slow(self, seconds: float) -> None:
        """Have each commit take so many real seconds more, until ``mend()``."""
        self._seconds = seconds
        self._tell(f"the store is slow by {seconds:g} s")

    @contextlib.contextmanager
    def held(self) -> Iterator[threading.Event]:
        """Let nothing become durable before the end of the block; the event: something waits."""
        self._waiting.clear()
        self._open.clear()
        try:
            yield self._waiting
        finally:
            self._open.set()

    def lose_lease(self) -> None:
        """Have another owner take the store over: the system that has it open is fenced off."""
        other: Store
        other = self._memory.twin() if self.path is None else SqliteStore(self.path)
        other.acquire(Owner.this_process(), takeover=True)
        other.close()
        self._tell("another owner has taken the store over")

    def mend(self) -> None:
        """Take commits again, all and at once."""
        self._failing, self._left, self._share, self._seconds = None, 0, 0.0, 0.0
        self._tell("the store is back")

    # What the lives ask.

    def before(self, batch: Batch) -> None:
        """Raise what the test has said; the caller holds the gate."""
        error = self._failing
        if error is not None and self._left != 0:
            self._left -= 1
            if self._left == 0:
                self._failing = None
        elif self._share and self._chance.random() < self._share:
            error = StoreUnavailable("the store failed by chance, as the test says")
        else:
            return
        self.failures += 1
        self._tell(f"a save fails ({error}): {', '.join(c.name for c in batch.commits)}")
        raise error

    def wait(self) -> None:
        """Take the time that the test has said."""
        if self._seconds:
            time.sleep(self._seconds)
        if not self._open.is_set():
            self._waiting.set()
            self._open.wait(HELD_SECONDS)

    def after(self, batch: Batch) -> None:
        """Take note that a batch is durable."""
        self.commits += len(batch.commits)
        for told in self.on_commit:
            told(batch)

    def _tell(self, what: str) -> None:
        for told in self.on_fault:
            told(what)
