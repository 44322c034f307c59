"""The store of a run: each write is a place where the seed may fail, slow down or crash."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from ...persistence.errors import StoreUnavailable
from ...persistence.store.batch import Batch
from ...persistence.store.store import Store
from .knobs import Knobs
from .scheduler import Scheduler

MOST_FAILURES: Final = 2
"""Writes that fail one after the other: an outage is something else, which the breaker tells of."""


class Disk:
    """Count the writes of a run over all its lives, and do to them what the seed says."""

    def __init__(self, scheduler: Scheduler, knobs: Knobs, randomness: random.Random) -> None:
        """Draw from ``randomness`` which writes fail."""
        self._scheduler = scheduler
        self._knobs = knobs
        self._random = randomness
        self._failures = 0
        self.crash_after = 0
        """The write right after which the life ends; 0 for none."""
        self.writes: list[int] = []
        """The step of each write that has become durable."""

    def put_before(self, store: Store) -> None:
        """Stand between a store and those who commit to it."""
        inner = store.commit
        vars(store)["commit"] = lambda batch: self._commit(inner, batch)

    def _commit(self, inner: Callable[[Batch], None], batch: Batch) -> None:
        scheduler = self._scheduler
        task = scheduler.here()
        if task is None:
            inner(batch)
            return
        scheduler.point(task, "writes")
        if self._knobs.write_seconds:
            until = scheduler.now + self._random.random() * self._knobs.write_seconds
            scheduler.block(task, [], until, "writes")
        fails = self._fails()
        written = not fails or self._random.random() < 1 / 2
        numbers = f"{batch.commits[0].sequence} to {batch.last}" if batch.commits else "rows"
        if written:
            inner(batch)
            self.writes.append(scheduler.step)
            scheduler.note(f"write {len(self.writes)}: commits {numbers}")
            if len(self.writes) == self.crash_after:
                scheduler.crash(f"after write {self.crash_after}")
            scheduler.point(task, "has written")
        if fails:
            scheduler.note(f"a write fails, commits {numbers} are {'' if written else 'not '}there")
            raise StoreUnavailable("the simulated store failed", location="simulated")

    def _fails(self) -> bool:
        if not self._knobs.failing or self._failures >= MOST_FAILURES:
            self._failures = 0
            return False
        fails = self._random.random() < self._knobs.failing
        self._failures = self._failures + 1 if fails else 0
        return fails
