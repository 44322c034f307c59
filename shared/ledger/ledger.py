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

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from ...persistence.errors import Conflict, CorruptState, Isolated
from ...persistence.names.scope import Scope
from ...persistence.records.chain import summed
from ...persistence.records.shared_tables import GRANTS, SCOPED
from ...persistence.records.tables import Change, Key, Order, Row, Table
from ...persistence.store.batch import Batch
from ...persistence.store.store import StoreReader
from .cache import RowCache
from .guard import CommitCheck, Guard, OpenGuard, refusal
from .unit import EndingUnit, Place, Unit

logger = logging.getLogger("perdure.persistence")


_PAGE: Final = 1000
_SCOPE: Final = SCOPED.key - 1
"""Columns of a scope in the key of its keys."""
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long
MANY: Final = 8
"""Places of a unit from which on those that only the store knows are read together."""
RESERVED: Final = 1.0
"""Seconds for which a place is kept for somebody who was overtaken again and again."""


class Stale(Conflict):
    """Tell the runner of a unit that another was first: it may begin again."""


class _Reservation:
    """Places that are kept for an owner's next unit, in the order of those who were overtaken."""

    __slots__ = ("number", "owner", "places", "until")

    def __init__(self, number: int, owner: object, places: set[Place]) -> None:
        self.number = number
        self.owner = owner
        self.places = places
        self.until: float | None = None  # runs once somebody waits for it


class Ledger:
    """Know the newest and the durable rows of all declared tables, and end units."""

    def __init__(self, store: StoreReader, *, cache_bytes: int, guard: Guard | None = None) -> None:
        """Read from ``store``; remember about ``cache_bytes`` of its rows."""
        self.store = store
        self.guard: Guard = guard or OpenGuard()
        self.watch: CommitCheck | None = None
        self.lock = threading.RLock()
        self._cache = RowCache(store.row, cache_bytes)
        self._overlay: dict[Place, tuple[int, Row | None]] = {}
        self._ended: dict[Key, int] = {}
        """Scopes that ended with a commit that is not durable yet: no key of before is there."""
        self._line: list[_Reservation] = []
        self._tickets = itertools.count()
        self._freed = threading.Condition(self.lock)
        self._holder = 0  # the thread that is inside ``ending``
        self._later: list[Callable[[], None]] = []
        self.waiting: Callable[[], AbstractContextManager[object]] = nullcontext
        """Surrounds a wait for somebody else's reservation."""
        self.on_contents: Callable[[list[tuple[Table, str]], int], None] = _nothing
        """Told under the lock which contents go along with a commit, and its sequence."""
        self.depends: Callable[[object, object], bool] = _never
        """Tells whether an owner's unit cannot end before another owner's does."""

    def durable(self, table: Table, key: Key) -> Row | None:
        """Return a row as it is on disk."""
        # What is not journaled is large or read once: chunks, the audit.
        return self._cache.get(table, key) if table.journaled else self.store.row(table, key)

    def newest(self, table: Table, key: Key) -> Row | None:
        """Return a row as the latest appended commit has left it."""
        appended = self._overlay.get((table, key))
        if appended is not None:
            return appended[1]
        if self._ended and self.ended(table, key):
            return None
        return self._cache.get(table, key) if table.journaled else self.store.row(table, key)

    def no_row(self, table: Table, key: Key) -> None:
        """Take note that there is no such row: its key was just made. Nobody looks for it then."""
        self._cache.took(table, {key: None})

    def under_way(self, place: Place) -> bool:
        """Tell whether the newest row of a place is not durable yet."""
        return place in self._overlay or (bool(self._ended) and self.ended(*place) > 0)

    def scopes_ended(self) -> dict[Key, int]:
        """Return the scopes that are about to end, by their columns, with the commits."""
        return {**self._ended}

    def ended(self, table: Table, key: Key) -> int:
        """Return the commit that is about to end the scope of a key; 0 if none does."""
        return self._ended.get(key[:_SCOPE], 0) if table is SCOPED else 0

    def holds(self, unit: Unit) -> bool:
        """Tell whether what a unit was made from is still the newest; good for this moment only."""
        return all(
            self._newest_for(unit, place)[0] == unit.reads[place] for place in unit.awaited()
        )

    def appended(self, table: Table) -> dict[Key, Row | None]:
        """Return the rows of a table that are appended and not durable; None for deleted ones."""
        with self.lock:
            return {key: row for (of, key), (_, row) in self._overlay.items() if of is table}

    def places(self, table: Table, prefix: Key, most: int | None = None) -> set[Key]:
        """Return the keys of a table's newest rows that begin with ``prefix``; hold the lock.

        All, or so many that they are more than ``most``.
        """
        width, found = len(prefix), set[Key]()
        after: Key = (*prefix, *("" for _ in table.key_names[width:]))
        enough = None if most is None else most + len(self._overlay)
        while not self.ended(table, prefix) and (page := self.store.keys(table, after, _PAGE)):
            found.update(key for key in page if key[:width] == prefix)
            if page[-1][:width] != prefix or (enough is not None and len(found) > enough):
                break
            after = page[-1]
        for (of, key), (_, row) in self._overlay.items():
            if of is table and key[:width] == prefix:
                (found.discard if row is None else found.add)(key)
        return found

    def session_of(self, correlation: int) -> str:
        """Return the session that a chain of messages belongs to, or ""."""
        # Only sessions have correlations below 0: nothing is looked up for the others.
        watch = self.watch
        return watch.session_of(correlation) if correlation < 0 and watch is not None else ""

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return durable rows in an order; see ``StoreReader.page``."""
        return self.store.page(table, order, after, limit)

    def end_idle(self, unit: Unit) -> bool:
        """End a unit that has nothing to commit and whose rights all hold; tell whether."""
        return unit.end_idle(self.guard.epoch)

    @contextmanager
    def ending(self, unit: Unit) -> Iterator[EndingUnit]:
        """Hold the lock and give what a unit changes; the block appends and calls ``publish``.

        Raises Stale if another changed what it was made from, Denied if it lost a right meanwhile,
        Isolated if its principal was cut off, TransactionEnded if it has ended already, or what a
        step raises (StateError). Then nothing may be appended of it.

        A thread that holds the unit may wait for this lock, so the unit is taken first: in the
        other order each could wait for the other.
        """
        later: list[Callable[[], None]] = []
        try:
            with unit, self.lock:
                changes = self._checked(unit)
                if self.watch is not None and changes:
                    self.watch.check(changes)
                audit = summed(unit.audit) if unit.audit else []
                ending = EndingUnit(changes, audit, unit.contents, unit.history)
                unit.ended = True
                self._holder = threading.get_ident()
                try:
                    yield ending
                finally:
                    self._holder = 0
                    later, self._later = self._later, later
                    commit = ending.commit
                    if commit is not None and commit.sequence and not ending.published:
                        # Interrupted just behind the append (Ctrl-C): the commit stands.
                        self.publish(ending, commit.sequence)
                    if self._line:
                        self.free(unit.owner)
        finally:
            for call in later:
                call()

    def _checked(self, unit: Unit) -> list[Change]:
        """Return what a unit changes, or raise why it may not; the lock is held."""
        if self._line:
            self._wait_for_turn(unit)
        self._check_rights(unit)
        if unit.reads or unit.overlapped:
            self._check_reads(unit)
        changes: list[Change] = []
        stored = self._read_ahead(unit.steps) if len(unit.steps) >= MANY else {}
        for place, steps in list(unit.steps.items()):
            if place in stored:
                before, lost = stored[place], False
            else:
                before, lost = self._newest_for(unit, place)
            if unit.witness is not None:
                unit.witness.saw(*place, before)
            row = before
            for step in steps:  # whatever they gave before
                row = step(row)
            if row is not before or lost:
                changes.append(_new(Change, (*place, row)))
        return changes

    def check(self, change: Change) -> None:
        """Raise what would keep a change from being committed now, whatever else it comes with."""
        if self.watch is not None:
            with self.lock:
                self.watch.check([change])

    def defer(self, call: Callable[[], None]) -> None:
        """Make a call that must not be made under the lock: at once, or when the unit has ended."""
        if self._holder == threading.get_ident():
            self._later.append(call)
        else:
            call()

    def reserve(self, unit: Unit) -> None:
        """Keep what an overtaken unit was made from for its owner's next one, for a short while.

        Short units would overtake a long one for ever, and of many that meet, chance would leave
        one behind for long. Whoever else wants to write there waits until the owner's next unit has
        ended, or ``RESERVED`` seconds. Reservations stand in line: one waits for those before it
        alone, so there is no circle.
        """
        places = unit.undone.union(unit.awaited())
        if not places or unit.owner is None:
            return
        with self.lock:
            for held in self._line:
                if held.owner is unit.owner:
                    held.places |= places
                    return
            self._line.append(_Reservation(next(self._tickets), unit.owner, places))

    def give_up(self, unit: Unit) -> None:
        """End the reservation of a unit's owner."""
        self.free(unit.owner)

    def free(self, owner: object) -> None:
        """End an owner's reservation."""
        if self._line and owner is not None:
            with self.lock:
                self._line = [held for held in self._line if held.owner is not owner]
                self._freed.notify_all()

    def publish(self, ending: EndingUnit, sequence: int) -> None:
        """Make the changes of an appended commit the newest; called inside ``ending``."""
        for table, key, row in ending.changes:
            if table.placeless:
                continue  # its place is known only now, and it is read from the store alone
            stamped = None if row is None else table.stamped(row, sequence)
            self._overlay[table, key] = (sequence, stamped)
        if ending.scope is not None:
            self._end(ending.scope, sequence)
        ending.published = True
        if ending.contents:
            names = [(change.table, str(change.key[0])) for change in ending.contents]
            self.on_contents(names, sequence)
        if ending.changes:
            self.guard.published(ending.changes, sequence)
            if self.watch is not None:
                self.watch.published(ending.changes)

    def _end(self, scope: Key, sequence: int) -> None:
        """Take note that no key of a scope is there any more."""
        self._ended[scope] = sequence
        for table, key in list(self._overlay):
            if table is SCOPED and key[:_SCOPE] == scope:
                self._overlay[table, key] = (sequence, None)

    def _took_ended(self, last: int) -> None:
        """Forget what is remembered of scopes that ended: the store has no key of before."""
        done = {scope for scope, sequence in self._ended.items() if sequence <= last}
        if done:
            # In this order: who looks without the lock finds each key in one of them.
            self._cache.forget()
            self._ended = {s: sequence for s, sequence in self._ended.items() if s not in done}
            self._overlay = {
                (table, key): held
                for (table, key), held in self._overlay.items()
                if table is not SCOPED or key[:_SCOPE] not in done or held[0] > last
            }

    def took(self, batch: Batch) -> None:
        """Take note of a durable batch, before its replies leave."""
        try:
            with self.lock:
                if self._ended:
                    self._took_ended(batch.last)
                for table, rows in batch.tables.items():
                    if not table.journaled:
                        continue
                    self._cache.took(table, rows)
                    for key in rows:
                        place = (table, key)
                        appended = self._overlay.get(place)
                        if appended is not None and appended[0] <= batch.last:
                            del self._overlay[place]
        except Exception:
            # Slow from now on, and never wrong.
            logger.exception("the cache of shared rows is emptied")
            self._cache.forget()

    def _wait_for_turn(self, unit: Unit) -> None:
        """Wait while a place that ``unit`` writes is reserved for another; the lock is held."""
        mine = [held.number for held in self._line if held.owner is unit.owner]
        # Without a reservation, behind those that are there now: others come later than this.
        ticket = mine[0] if mine and unit.owner is not None else next(self._tickets)
        while True:
            ahead = [
                held
                for held in self._line
                if held.number < ticket
                and held.owner is not unit.owner
                and not held.places.isdisjoint(unit.steps)
                and not self.depends(held.owner, unit.owner)
            ]
            if not ahead:
                return
            first, now = ahead[0], time.monotonic()
            if first.until is None:
                first.until = now + RESERVED
            if first.until <= now:
                self._line.remove(first)  # its owner takes too long
                self._freed.notify_all()
                continue
            with self.waiting():
                self._freed.wait(first.until - now)

    def _read_ahead(self, places: Collection[Place]) -> dict[Place, Row | None]:
        """Return the newest rows of those places that only the store knows, by one look for all.

        They stay so while the lock is held: a row is taken out of the overlay under it.
        """
        unknown: dict[Table, list[Key]] = {}
        for table, key in self._cache.unknown(places):
            if self._ended and self.ended(table, key):
                continue
            if table.journaled and (table, key) not in self._overlay:
                unknown.setdefault(table, []).append(key)
        found: dict[Place, Row | None] = {}
        for table, keys in unknown.items():
            for key, row in self.store.rows(table, keys).items():
                found[table, key] = row
        return found

    def _newest_for(self, unit: Unit, place: Place) -> tuple[Row | None, bool]:
        """Return what a unit's steps begin with, and whether a damaged row is lost with it."""
        try:
            return self.newest(*place), False
        except CorruptState as error:
            if place not in unit.replaced:
                raise
            logger.error("a damaged row is replaced: %s", error)  # noqa: TRY400 - no defect
            return None, True

    def _check_reads(self, unit: Unit) -> None:
        if unit.overlapped:
            raise Stale("a part of this turn used what another part has undone; try again")
        for place in unit.awaited():
            if self._newest_for(unit, place)[0] != unit.reads[place]:
                raise Stale(f"{_named(place)} was changed by another; try again")

    def _check_rights(self, unit: Unit) -> None:
        """Refuse a unit of somebody who was cut off, or who has lost a right that it has used."""
        who = unit.standing.principal
        if self.guard.excludes(who):
            message = f"{who} is isolated and commits nothing; it must be restored"
            raise Isolated(message)
        if self.guard.epoch == unit.epoch:
            return
        unit.epoch = self.guard.epoch
        reasons: dict[tuple[object, ...], str] = {}
        needed: Counter[int] = Counter()
        for use in unit.used:
            decision = unit.ask(self.guard, use)
            reasons[use.scope.columns, use.key or "", use.operation] = decision.reason
            needed.update(decision.uses)
            unpaid = any(
                needed[number] > len(unit.steps.get((GRANTS, (number,)), ()))
                for number in decision.uses
            )
            if unpaid or not decision.allowed:
                # One that has come since may allow it, but not if each use of it counts.
                decision = decision._replace(allowed=False)
                unit.audit.append(self.guard.record(unit.standing, use, decision))
                raise refusal(unit.standing, use.operation, use.scope, isolated=decision.isolated)
        # The audit names what allows it where it stands, which may have come after the call.
        unit.audit = [
            record
            if record.outcome != "allowed"
            else record._replace(
                reason=reasons.get((record.scope, record.key, record.operation), record.reason)
            )
            for record in unit.audit
        ]


def _never(_owner: object, _other: object) -> bool:
    return False


def _nothing(_names: list[tuple[Table, str]], _sequence: int) -> None:
    """Take note of nothing."""


def _named(place: Place) -> str:
    table, key = place
    if table is SCOPED:
        *scope, name = map(str, key)
        return f"{Scope(*scope)} {name!r}"
    return f"{table.name} {'/'.join(map(str, key))}"
