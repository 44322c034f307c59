"""The one order in which everything shared changes.

A unit works without a lock. When it ends, the ledger's lock is held from the look at what is newest
until its commit is appended and published. So a revocation, a counter and a write each have a place
in one order, which is the order of commits. (Optimistic concurrency control, Kung and Robinson
1981, with validation and write phase in one critical section.)

Two views. *Newest* is what has been appended: for turns, whose own commit comes later, so that they
may know it (G3). *Durable* is what is on disk: for everybody outside (G1).

Lock order: the ledger's lock may be taken with the committer's baton held; inside it come the
committer's lock and the cache's. Nobody who holds it waits for a commit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from ..batch import Batch
from ..errors import Conflict, Denied
from ..store import StoreReader
from ..tables import Change, Key, Order, Row, Table
from .cache import RowCache
from .guard import Guard, OpenGuard
from .unit import Ending, Place, Unit

logger = logging.getLogger("perdure.persistence")


RESERVED: Final = 1.0
"""Seconds for which a place is kept for somebody who was overtaken again and again."""


class Stale(Conflict):
    """Tell the runner of a unit that another was first: it may begin again."""


class Ledger:
    """Know the newest and the durable rows of all declared tables, and end units."""

    def __init__(self, store: StoreReader, *, cache_bytes: int, guard: Guard | None = None) -> None:
        """Read from ``store``; remember about ``cache_bytes`` of its rows."""
        self.store = store
        self.guard: Guard = guard or OpenGuard()
        self.lock = threading.RLock()
        self._cache = RowCache(store.row, cache_bytes)
        self._overlay: dict[Place, tuple[int, Row | None]] = {}
        self._reserved: dict[Place, tuple[object, float]] = {}  # for whom, until when
        self._freed = threading.Condition(self.lock)
        self.waiting: Callable[[], AbstractContextManager[object]] = nullcontext
        """Surrounds a wait for somebody else's reservation."""

    def durable(self, table: Table, key: Key) -> Row | None:
        """Return a row as it is on disk."""
        # What is not journaled is large or read once: chunks, the audit.
        return self._cache.get(table, key) if table.journaled else self.store.row(table, key)

    def newest(self, table: Table, key: Key) -> Row | None:
        """Return a row as the latest appended commit has left it."""
        appended = self._overlay.get((table, key))
        return appended[1] if appended is not None else self.durable(table, key)

    def under_way(self, place: Place) -> bool:
        """Tell whether the newest row of a place is not durable yet."""
        return place in self._overlay

    def appended(self, table: Table) -> dict[Key, Row | None]:
        """Return the rows of a table that are appended and not durable; None for deleted ones."""
        with self.lock:
            return {key: row for (of, key), (_, row) in self._overlay.items() if of is table}

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return durable rows in an order; see ``StoreReader.page``."""
        return self.store.page(table, order, after, limit)

    @contextmanager
    def ending(self, unit: Unit) -> Iterator[Ending]:
        """Hold the lock and give what a unit changes; the block appends and calls ``publish``.

        Raises Stale if another changed what it was made from, Denied if it lost a right meanwhile,
        or what a step raises (StateError). Then nothing may be appended of it.
        """
        with self.lock:
            self._wait_for_turn(unit)
            self._check_rights(unit)
            for place in unit.awaited():
                if self.newest(*place) != unit.reads[place]:
                    table, key = place
                    where = "/".join(str(part) for part in key)
                    raise Stale(f"{table.name} {where} was changed by another; try again")
            changes: list[Change] = []
            for place in unit.steps:
                before = self.newest(*place)
                row = unit.seen(place, before)
                if row is not before:
                    changes.append(Change(*place, row))
            yield Ending(changes, list(unit.audit))
            self.give_up(unit)

    def reserve(self, unit: Unit) -> None:
        """Keep what an overtaken unit was made from for its owner's next one, for a short while.

        Short units would overtake a long one for ever. Whoever else wants to write there waits
        until the owner's next unit has ended, or ``RESERVED`` seconds.
        """
        with self.lock:
            until = time.monotonic() + RESERVED
            for place in unit.awaited():
                self._reserved.setdefault(place, (unit.owner, until))

    def give_up(self, unit: Unit) -> None:
        """End the reservations of a unit's owner."""
        if self._reserved and unit.owner is not None:
            with self.lock:
                mine = [
                    place for place, (owner, _) in self._reserved.items() if owner is unit.owner
                ]
                for place in mine:
                    del self._reserved[place]
                self._freed.notify_all()

    def publish(self, ending: Ending, sequence: int) -> None:
        """Make the changes of an appended commit the newest; called inside ``ending``."""
        for table, key, row in ending.changes:
            if table.sequence in table.key_names:
                continue  # its place is known only now, and it is read from the store alone
            stamped = None if row is None else table.stamped(row, sequence)
            self._overlay[table, key] = (sequence, stamped)
        if ending.changes:
            self.guard.published(ending.changes, sequence)

    def took(self, batch: Batch) -> None:
        """Take note of a durable batch, before its replies leave."""
        try:
            with self.lock:
                for table, rows in batch.tables.items():
                    if not table.journaled:
                        continue
                    self._cache.took(table, rows)
                    for key in rows:
                        appended = self._overlay.get((table, key))
                        if appended is not None and appended[0] <= batch.last:
                            del self._overlay[table, key]
        except Exception:
            # Slow from now on, and never wrong.
            logger.exception("the cache of shared rows is emptied")
            self._cache.forget()

    def _wait_for_turn(self, unit: Unit) -> None:
        """Wait while a place that ``unit`` writes is reserved for another; the lock is held."""
        while self._reserved:
            waits = [
                until
                for place in unit.steps
                if (held := self._reserved.get(place)) is not None
                for owner, until in (held,)
                if owner is not unit.owner
            ]
            left = max(waits, default=0.0) - time.monotonic()
            if not waits or left <= 0:
                # Overdue ones go: their owner takes too long.
                now = time.monotonic()
                for place in [p for p, (_, until) in self._reserved.items() if until <= now]:
                    del self._reserved[place]
                return
            with self.waiting():
                self._freed.wait(left)

    def _check_rights(self, unit: Unit) -> None:
        if self.guard.epoch == unit.epoch:
            return
        for right, scope, key, operation in unit.used:
            decision = self.guard.check(unit.standing, right, scope, key)
            if not decision.allowed:
                raise refusal(unit.standing, operation, scope)
        unit.epoch = self.guard.epoch


def refusal(standing: object, operation: str, scope: object) -> Denied:
    """Return the error for a caller without the right."""
    who = getattr(standing, "principal", standing)
    return Denied(f"{who} may not {operation} {scope}; ask its owner for a grant")
