"""The in-memory adapter: the whole contract without a file; gone with the object."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from ..errors import Fenced, StoreOwned
from ..records.chain import START
from ..records.checksums import of_record
from ..records.journal import read_delta, read_shape, without
from ..records.kinds import names_of
from ..records.records import (
    AgentRow,
    BaseFields,
    Counters,
    DeadLetter,
    Deletion,
    Disk,
    Growth,
    Inbox,
    JournalEntry,
    JournalRow,
    Message,
    QuarantineRow,
    StoredAgent,
    Timer,
)
from ..records.shared_tables import ATTEMPTS, AUDIT, NUMBERED, SCOPED, TOMBSTONES
from ..records.tables import Key, Order, Row, Table
from ..records.texts import StoredText
from ..store import growth as shared_growth
from ..store.batch import Batch
from ..store.growth import SHARED
from ..store.lease import NO_LEASE, Lease, LeaseRecord, Owner
from ..store.store import Listed, Store, TimerPlace
from . import listing
from .tables import MemoryTables
from .texts import MemoryTexts

_NEWEST: Final = Order(("number",), descending=True)
_ENDED: Final = Order(("sequence",))
_ALL: Final = 2**31


class MemoryStore(Store):
    """Keep agents in dictionaries; may be opened again after close(), as a file may."""

    location = "memory://"

    def __init__(self) -> None:
        """Make an empty store."""
        self._lock = threading.RLock()
        self._leases: list[LeaseRecord] = []  # at most one; a list so that twins share it
        self._heads: dict[tuple[str, str], AgentRow] = {}
        # Commits without an agent stand in the journal when they change shared rows.
        self._names: dict[int, tuple[str, str]] = {0: ("", "")}
        self._tables = MemoryTables()
        self._fields: dict[int, dict[str, tuple[str, int]]] = {}
        self._shapes: dict[int, str] = {}
        self._base: dict[int, dict[str, str]] = {}
        self._logs: dict[tuple[int, str], list[str]] = {}
        self._maps: dict[tuple[int, str], dict[str | int, str]] = {}
        self._mail: dict[int, Message] = {}
        self._timers: dict[tuple[str, str, str], Timer] = {}
        self._journal: list[JournalRow] = []
        self._dead: dict[int, DeadLetter] = {}
        self._bad: list[QuarantineRow] = []

    def twin(self) -> MemoryStore:
        """Return another opener of the same content, as a second process is of a file."""
        other = copy.copy(self)
        other.lease = NO_LEASE
        return other

    def acquire(self, owner: Owner, *, takeover: bool = False) -> Counters:
        """Take the lease and return where numbering goes on."""
        with self._lock:
            held = self._leases[0] if self._leases else None
            if held is not None and held.holder_alive(owner, time.time()) and not takeover:
                raise StoreOwned(
                    self.location, host=held.owner.host, pid=held.owner.pid,
                    started=held.owner.started,
                )  # fmt: skip
            token = (held.token if held else 0) + 1
            self._leases[:] = [LeaseRecord(token, owner, time.time(), released=False)]
            self.lease = Lease(token, owner)
            decisions = self._tables.page(AUDIT, _NEWEST, None, 1)
            chain = START.moved_to(decisions[0]) if decisions else START
            sequences = [entry.sequence for entry in self._journal[-1:]]
            sequences += (self._last(table) for table in NUMBERED)
            self.killed = held is not None and (held.unseen or not held.released)
            return Counters(sequence=max(sequences), agent=max(self._names), chain=chain)

    def _last(self, table: Table) -> int:
        """Return the latest commit that the end of a table knows of."""
        newest = self._tables.page(table, Order(table.key_names[:1], descending=True), None, 1)
        return max((int(str(row[table.names.index(table.numbers)])) for row in newest), default=0)

    def commit(self, batch: Batch) -> None:
        """Take over a batch, all of it or nothing."""
        with self._lock:
            self._check_fence()
            for deletion in batch.deleted:
                self._delete(deletion)
            self._take_state(batch)
            last = self._journal[-1].sequence if self._journal else 0
            self._journal += [row for row in batch.journal if row.sequence > last]
            for gone in batch.mail_gone:
                self._mail.pop(gone, None)
            self._mail.update((message.id, message) for message in batch.mail)
            self._timers.update((timer[:3], timer) for timer in batch.timers)
            for place in batch.timers_gone:
                self._timers.pop(place, None)
            self._dead.update((letter.id, letter) for letter in batch.dead)
            for revived in batch.revived:
                self._dead.pop(revived, None)
            self._bad += batch.quarantined
            self._tables.write(batch.tables)
            self._texts().replace(batch.replaced)
            for deletion in batch.deleted:
                if deletion.erase:
                    self._erase(deletion)

    def _take_state(self, batch: Batch) -> None:
        """Take over what changed in agents; every step may be done twice: a batch comes again."""
        for renaming in batch.renamed:
            self._heads.pop((renaming.kind, renaming.key), None)
        for head in batch.agents:
            self._heads[head.kind, head.key] = head
            self._names[head.agent] = (head.kind, head.key)
        self._shapes |= batch.shapes
        for agent, field, value, crc in batch.fields:
            self._fields.setdefault(agent, {})[field] = (value, crc)
        for (agent, field), length in batch.truncated.items():
            del self._logs.get((agent, field), [])[length:]
        for item in batch.items:
            log = self._logs.setdefault((item.agent, item.field), [])
            log[item.position : item.position + 1] = [item.value]
        for entry in batch.entries:
            self._maps.setdefault((entry.agent, entry.field), {})[entry.entry] = entry.value
        for agent, field, key in batch.removed:
            self._maps.get((agent, field), {}).pop(key, None)

    def _delete(self, deletion: Deletion) -> None:
        number, name = deletion.agent, (deletion.kind, deletion.key)
        head = self._heads.get(name)
        if head is not None and head.agent == number:
            del self._heads[name]
        self._names[number] = name
        self._fields.pop(number, None)
        self._shapes.pop(number, None)
        self._base.pop(number, None)
        collections: tuple[dict[tuple[int, str], Any], ...] = (self._logs, self._maps)
        for rows in collections:
            for place in [place for place in rows if place[0] == number]:
                del rows[place]
        self._bad[:] = [row for row in self._bad if row.agent != number]
        by_name = cast("tuple[dict[Any, Any], ...]", (self._mail, self._timers, self._dead))
        for rows in by_name:
            for place in [p for p, row in rows.items() if (row.kind, row.key) == name]:
                del rows[place]
        tried = self._tables.page(ATTEMPTS, Order(("kind", "key"), name), None, _ALL)
        self._tables.write({ATTEMPTS: {row[: ATTEMPTS.key]: None for row in tried}})
        own = self._tables.page(SCOPED, Order(("kind", "id", "part"), ("agent", *name)), None, _ALL)
        at = SCOPED.names.index("sequence")
        old = [row for row in own if int(str(row[at])) < deletion.sequence]
        self._tables.write({SCOPED: {row[: SCOPED.key]: None for row in old}})

    def _erase(self, deletion: Deletion) -> None:
        names = names_of(self.row, deletion.kind, deletion.key)
        for at, row in enumerate(self._journal):
            delta = without(row.delta, row.sequence, names, own=row.agent == deletion.agent)
            if delta != row.delta:
                fresh = row._replace(delta=delta)
                self._journal[at] = fresh._replace(crc=of_record(tuple(fresh[:-1])))

    def renew(self) -> None:
        """Check that the lease is still ours."""
        with self._lock:
            self._check_fence()

    def trim_journal(self, below: int, limit: int) -> int:
        """Fold up to ``limit`` journal rows with a sequence below ``below`` into the base."""
        with self._lock:
            self._check_fence()
            cut = min(limit, bisect_right(self._journal, below - 1, key=lambda row: row.sequence))
            for row in self._journal[:cut]:
                if self._tables.row(TOMBSTONES, (row.agent,)) is not None:
                    continue
                base = self._base.setdefault(row.agent, {})
                for name, raw in read_delta(row.delta).set.items():
                    base[name] = bytes(raw).decode()
            if cut:
                self._forget_deleted(self._journal[cut - 1].sequence)
            del self._journal[:cut]
            return cut

    def _forget_deleted(self, last: int) -> None:
        """Drop the tombstones of agents whose entries are trimmed away."""
        for row in self._tables.page(TOMBSTONES, _ENDED, None, _ALL):
            number, sequence = row[0], row[-1]
            if not isinstance(number, int) or not isinstance(sequence, int) or sequence > last:
                return
            self._tables.write({TOMBSTONES: {(number,): None}})
            self._names.pop(number, None)

    def journal_extent(self) -> tuple[int, int]:
        """Return the first and the last sequence the journal holds; (0, 0) when empty."""
        with self._lock:
            if not self._journal:
                return 0, 0
            return self._journal[0].sequence, self._journal[-1].sequence

    def load(self, kind: str, key: str) -> StoredAgent | None:
        """Return an agent's head, plain fields, shape and timers."""
        with self._lock:
            head = self._heads.get((kind, key))
            if head is None:
                return None
            shape, schema = read_shape(self._shapes.get(head.agent, "{}"))
            timers = [t for t in self._timers.values() if (t.kind, t.key) == (kind, key)]
            fields = dict(self._fields.get(head.agent, {}))
            return StoredAgent(head, fields, shape, timers, schema=schema)

    def known(self, kind: str, keys: Sequence[str]) -> set[str]:
        """Return those keys whose agents the store has."""
        with self._lock:
            return {key for key in keys if (kind, key) in self._heads}

    def remains(self, kind: str, key: str) -> AgentRow | None:
        """Return an agent's head."""
        with self._lock:
            return self._heads.get((kind, key))

    def log_items(self, agent: int, field: str, start: int, stop: int) -> list[str]:
        """Return the texts of the items from ``start`` up to ``stop``."""
        with self._lock:
            return self._logs.get((agent, field), [])[start:stop]

    def map_entry(self, agent: int, field: str, entry: str | int) -> str | None:
        """Return one entry's text or None."""
        with self._lock:
            return self._maps.get((agent, field), {}).get(entry)

    def map_page(
        self, agent: int, field: str, after: str | int | None, limit: int
    ) -> list[tuple[str | int, str]]:
        """Return up to ``limit`` entries in key order, those after ``after``."""
        with self._lock:
            entries = self._maps.get((agent, field), {})
            keys = sorted(k for k in entries if after is None or k > after)  # type: ignore[operator]
            return [(key, entries[key]) for key in keys[:limit]]

    def map_count(self, agent: int, field: str) -> int:
        """Return the number of entries."""
        with self._lock:
            return len(self._maps.get((agent, field), {}))

    def map_fields(self, agent: int) -> list[str]:
        """Return the names of the maps that have entries, in order."""
        with self._lock:
            return sorted(field for (owner, field), e in self._maps.items() if owner == agent and e)

    def inbox(self, kind: str, key: str) -> Inbox:
        """Return an agent's pending messages in the order they were sent."""
        with self._lock:
            mail = sorted(m for m in self._mail.values() if (m.kind, m.key) == (kind, key))
            return Inbox(mail, [])

    def mailed(self, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        """Return up to ``limit`` agents with pending messages, in (kind, key) order."""
        with self._lock:
            names = sorted({(m.kind, m.key) for m in self._mail.values()})
            return [name for name in names if name > after][:limit]

    def timers_between(self, after: float, until: float, limit: int) -> list[Timer]:
        """Return timers with ``after < due <= until``, earliest first."""
        with self._lock:
            due = [timer for timer in self._timers.values() if after < timer.due <= until]
            return sorted(due, key=lambda timer: timer.due)[:limit]

    def kinds(self) -> list[str]:
        """Return the kinds of the stored agents, sorted."""
        with self._lock:
            return sorted({kind for kind, _ in self._heads})

    def written_with(self, kind: str) -> dict[int, int]:
        """Return how many agents of a kind were written with which schema."""
        with self._lock:
            found = [head.agent for head in self._heads.values() if head.kind == kind]
            return dict(Counter(read_shape(self._shapes.get(n, "{}"))[1] for n in found))

    def written_otherwise(self, kind: str, schema: int, after: str, limit: int) -> list[str]:
        """Return up to ``limit`` keys behind ``after`` of agents written with another schema."""
        with self._lock:
            heads = [h for h in self._heads.values() if h.kind == kind and h.key > after]
            shapes = {h.key: read_shape(self._shapes.get(h.agent, "{}")) for h in heads}
        return sorted(k for k, (shape, of) in shapes.items() if shape and of != schema)[:limit]

    def agents(
        self, kind: str | None = None, *, after: tuple[str, str] = ("", "")
    ) -> Iterator[AgentRow]:
        """Iterate over the heads of agents in (kind, key) order."""
        with self._lock:
            heads = [self._heads[name] for name in sorted(self._heads) if name > after]
        return (head for head in heads if kind is None or head.kind == kind)

    def journal(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
        correlation: int | None = None,
        led_from: int | None = None,
    ) -> list[JournalEntry]:
        """Return up to ``limit`` entries, oldest first; with ``newest`` newest first."""
        entries = self._entries()
        if correlation is not None or led_from is not None:
            entries = [e for e in entries if listing.chained(e, correlation, led_from)]
        return listing.page(
            entries, (kind, key), attrgetter("sequence"), after, limit, newest=newest
        )

    def history(self, agent: int, before: int) -> Iterator[tuple[int, str | None]]:
        """Iterate over ``(version, delta)`` of an agent below ``before``, newest first."""
        with self._lock:
            rows = [r for r in reversed(self._journal) if r.agent == agent and r.version < before]
        return ((row.version, row.delta) for row in rows)

    def base_fields(self, agent: int) -> BaseFields:
        """Return the plain fields that the oldest kept journal row built on."""
        with self._lock:
            return BaseFields(dict(self._base.get(agent, {})), complete=True)

    def dead_letters(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[DeadLetter]:
        """Return up to ``limit`` dead letters by their ids; else as ``journal``."""
        with self._lock:
            letters = list(self._dead.values())
        return listing.page(letters, (kind, key), attrgetter("id"), after, limit, newest=newest)

    def dead_marks(self) -> list[tuple[int, int]]:
        """Return the id and the checksum of each dead letter."""
        with self._lock:
            return [(letter.id, of_record(letter)) for letter in self._dead.values()]

    def dead_digest(self) -> int:
        """Return a number that is another when the dead letters are others."""
        marks = self.dead_marks()
        return (len(marks) << 32) ^ sum(crc for _, crc in marks)

    def mailbox(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Message]:
        """Return up to ``limit`` pending messages by their ids; else as ``journal``."""
        with self._lock:
            mail = list(self._mail.values())
        return listing.page(mail, (kind, key), attrgetter("id"), after, limit, newest=newest)

    def timers(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: TimerPlace | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Timer]:
        """Return up to ``limit`` timers, those due first first; with ``newest`` due last first."""
        with self._lock:
            timers = list(self._timers.values())
        return listing.page(timers, (kind, key), listing.due_place, after, limit, newest=newest)

    def counted(self, what: Listed, kind: str | None = None, key: str | None = None) -> int:
        """Return how many there are: of all agents, of a kind, or of one agent."""
        with self._lock:
            rows: dict[Listed, Sequence[listing.Owned]] = {
                "agents": list(self._heads.values()), "journal": list(self._entries()),
                "dead_letters": list(self._dead.values()), "mailbox": list(self._mail.values()),
                "timers": list(self._timers.values()),
            }  # fmt: skip
        return sum(1 for row in rows[what] if listing.belongs(row, (kind, key)))

    def quarantined(self) -> list[QuarantineRow]:
        """Return the stored values that were set aside as bad."""
        with self._lock:
            return list(self._bad)

    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row of a declared table by its key."""
        with self._lock:
            return self._tables.row(table, key)

    def rows(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row | None]:
        """Return the rows of some keys, None for those that are not there."""
        with self._lock:
            return {key: self._tables.row(table, key) for key in keys}

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` rows of a declared table, in an order."""
        with self._lock:
            return self._tables.page(table, order, after, limit)

    def keys(self, table: Table, after: Key | None, limit: int) -> list[Key]:
        """Return up to ``limit`` primary keys of a declared table behind ``after``, in order."""
        with self._lock:
            return self._tables.keys(table, after, limit)

    def count(self, table: Table, order: Order, prefix: str = "") -> int:
        """Return how many rows of a declared table an order has, of those with a prefix."""
        with self._lock:
            return self._tables.count(table, order, prefix)

    def texts(self, containing: str = "") -> Iterator[StoredText]:
        """Iterate over the stored texts that contain ``containing``."""
        with self._lock:
            found = self._texts().texts(containing)
        return iter(found)

    def _texts(self) -> MemoryTexts:
        return MemoryTexts(
            self._fields, self._logs, self._maps, self._base, self._mail, self._timers,
            self._dead, self._journal, self._bad, self._tables,
        )  # fmt: skip

    def growth(self) -> list[Growth]:
        """Return what uses the space, by agent and field, largest first."""
        sizes: dict[tuple[int, str, str], list[int]] = {}

        def count(agent: int, field: str, table: str, values: list[str]) -> None:
            entry = sizes.setdefault((agent, field, table), [0, 0])
            entry[0] += len(values)
            entry[1] += sum(len(value.encode()) for value in values)

        with self._lock:
            for agent, fields in self._fields.items():
                for field, (value, _) in fields.items():
                    count(agent, field, "fields", [value])
            for (agent, field), items in self._logs.items():
                count(agent, field, "log_items", items)
            for (agent, field), entries in self._maps.items():
                count(agent, field, "map_entries", list(entries.values()))
            for row in self._journal:
                count(row.agent, "(journal)", "journal", [row.delta])
            rows = [
                Growth(*(self._names[agent] if agent else (SHARED, "")), field, table, number, size)
                for (agent, field, table), (number, size) in sizes.items()
            ]
            rows += shared_growth.rows(self._tables.growth())
        return sorted(rows, key=lambda row: (-row.size, row.kind, row.key, row.field))

    def disk(self) -> Disk:
        """Return zeros: nothing is on disk."""
        return Disk(file=0, log=0, page=0, pages=0, free_pages=0)

    def close(self) -> None:
        """Release the lease if it is still held; the content stays with the object."""
        self.release()

    def release(self) -> None:
        """Give the lease back if it is held still."""
        with self._lock:
            if self._leases and self._leases[0].token == self.lease.token:
                self._leases[0] = dataclasses.replace(
                    self._leases[0], released=True, unseen=self.killed
                )
            self.lease = NO_LEASE

    def _check_fence(self) -> None:
        current = self._leases[0].token if self._leases else 1
        if current != self.lease.token:
            raise Fenced(self.location, token=self.lease.token, current=current)

    def _entries(self) -> list[JournalEntry]:
        with self._lock:
            rows = [(self._names[row.agent], row) for row in self._journal]
        return [
            JournalEntry(
                row.sequence, *name, row.version, row.time, row.name, row.message, row.cause,
                row.correlation, row.delta,
            )
            for name, row in rows
        ]  # fmt: skip
