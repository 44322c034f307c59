"""Read a SQLite store through read-only connections, one per reading thread at a time."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final, ParamSpec, TypeVar

from ..errors import CorruptState, NotAStore, StoreUnavailable, failing_at
from ..records import journal as recovery
from ..records.checksums import intact, intact_record, of_base, of_entry, of_item
from ..records.journal import WRITTEN_WITH
from ..records.records import (
    AgentRow,
    BaseFields,
    DeadLetter,
    Disk,
    Growth,
    Inbox,
    JournalEntry,
    Message,
    QuarantineRow,
    StoredAgent,
    Timer,
)
from ..records.shared_tables import LEFTOVERS
from ..records.tables import Key, Order, Row, Table
from ..records.texts import StoredText
from ..store import growth as shared_growth
from ..store.lease import LeaseRecord, Owner
from ..store.store import Listed, StoreReader, TimerPlace
from . import (
    listing,
    schema,
    tables,
    witness,
)
from . import (
    rows as sqlite_rows,
)
from . import (
    texts as sqlite_texts,
)
from .deletion import Leftover, Named, hidden, names
from .errors import FROM_THE_DRIVER, Mended, damage, damaged, translate
from .history import entries_back
from .inherited import closed, inherited, opened, refuse_inherited
from .insert import LARGEST, padded
from .leaving import LIVING_MAIL
from .place import beside, identified, looking_at, refuse_two_names
from .pool import ReaderPool, fetch
from .search import SUFFIX, TextIndex
from .transaction import snapshot

logger = logging.getLogger("perdure.persistence")

LOST: Final = ""
"""The field of a base row that says: an entry that could not be read was trimmed away."""
UNSEEN: Final = 2
"""What stands for a lease that was released by one who has not seen to what a killed one left."""
_MANY: Final = 10**6
_LEASE: Final = (int, str, int, str, str, str, float, int, str)
"""The types of a lease's values; the row has no checksum."""


P = ParamSpec("P")
R = TypeVar("R")


def reads_again(read: Callable[P, R]) -> Callable[P, R]:
    """Let a method read once more where the first time led to the file being mended."""

    @functools.wraps(read)
    def twice(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except Mended:
            return read(*args, **kwargs)

    return twice


class SqliteReader(StoreReader):
    """Read a store, also one that a live process owns."""

    _as_current: ClassVar[bool] = True
    """A file of an earlier format is seen as one of today; who owns it makes it one."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` read-only; NotAStore, StoreTooNew or StoreUnavailable if that fails."""
        self.location = str(path)
        # The program may change its directory, and errors go on to name the file as it did.
        self._path = path.absolute()
        self._readers = ReaderPool(self._path, as_current=self._as_current)
        self._mends = 0
        """Times that the file was mended."""
        self._process = os.getpid()
        with looking_at(path):
            there = path.is_file()
        if not there:
            message = f"{path} does not exist; name the file of an existing store"
            raise StoreUnavailable(message, location=self.location)
        with failing_at(self.location):
            refuse_two_names(path)
            refuse_inherited(path)
        opened(self, path)
        try:
            with self.reading("opening") as connection:
                if not schema.check(connection, self.location):
                    message = f"{path} is empty, not a perdure store; name another file"
                    raise NotAStore(message)  # noqa: TRY301 - the pool is closed all the same
        except BaseException:
            SqliteReader.close(self)
            raise

    @contextlib.contextmanager
    def reading(self, doing: str = "reading") -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection for the block; driver errors raised in it become ours."""
        if self._inherited():
            raise inherited(self.location)
        seen = self._mends
        try:
            with self._readers.lend() as connection:
                yield connection
        except StoreUnavailable as error:
            error.location = error.location or self.location
            raise
        except FROM_THE_DRIVER as error:
            if damaged(error) and self._mend(seen):
                message = f"{self.location}: {doing} failed: the file was damaged; it is mended"
                raise Mended(message, location=self.location) from error
            raise translate(error, self.location, doing) from error

    def _inherited(self) -> bool:
        """Tell whether this process is a fork of the one that opened the file.

        A fork shares the connections and the token with its parent, who goes on writing; SQLite
        allows it neither to use nor to close them.
        """
        return os.getpid() != self._process

    def _mend(self, _seen: int) -> bool:
        """Mend the file, unless it was mended more than ``_seen`` times; who only reads can not."""
        return False

    @reads_again
    def load(self, kind: str, key: str) -> StoredAgent | None:
        """Return an agent's head, plain fields (unverified), shape and timers."""
        leads = self._leads("agents")
        stored = self._load(kind, key)
        if stored is None and not leads:
            self._must_lead("agents")  # or an agent that its index has lost would begin anew
            stored = self._load(kind, key)
        return stored

    def _load(self, kind: str, key: str) -> StoredAgent | None:
        with self.reading() as connection:
            stored = sqlite_rows.agent(connection, kind, key)
            if stored is not None and stored.damaged:
                # What mends it takes further looks, which must see the same state of the store.
                with snapshot(connection):
                    stored = sqlite_rows.agent(connection, kind, key)
        return stored

    @reads_again
    def load_many(self, kind: str, keys: Sequence[str]) -> list[StoredAgent]:
        """Return those agents that are sound, read together: three statements for many."""
        found: list[StoredAgent] = []
        with self.reading() as connection:
            for start in range(0, len(keys), LARGEST):
                found += sqlite_rows.agents(connection, kind, keys[start : start + LARGEST])
        return found

    @reads_again
    def known(self, kind: str, keys: Sequence[str]) -> set[str]:
        """Return those keys whose agents the store has: by the index alone."""
        leads = self._leads("agents")
        found = self._known(kind, keys)
        if not leads and not found.issuperset(keys):
            self._must_lead("agents")
            found = self._known(kind, keys)
        return found

    def _known(self, kind: str, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(keys), LARGEST):
            size, given = padded([(key,) for key in keys[start : start + LARGEST]], 1)
            query = f"SELECT key FROM agents WHERE kind = ? AND key IN ({', '.join('?' * size)})"  # noqa: S608
            found.update(key for (key,) in self._rows(query, (kind, *given)))
        return found

    def _leads(self, _table: str) -> bool:
        """Tell whether an index is believed; asked before a read, which may be older than a look.

        Its owner looks once, others do not.
        """
        return True

    def _must_lead(self, _table: str) -> None:
        """Raise if the index of a table has lost rows."""

    @reads_again
    def remains(self, kind: str, key: str) -> AgentRow | None:
        """Return an agent's number, and its latest commit as the journal knows it."""
        with self.reading() as connection, snapshot(connection):
            query = "SELECT agent, kind, key FROM agents WHERE kind = ? AND key = ?"
            heads = fetch(connection, query, (kind, key))
            return sqlite_rows.remains(connection, kind, key, heads[0]) if heads else None

    @reads_again
    def log_items(self, agent: int, field: str, start: int, stop: int) -> list[str]:
        """Return the texts of the items from ``start`` up to ``stop``, verified and complete."""
        with self.reading() as connection:
            rows = fetch(
                connection,
                "SELECT position, value, crc FROM log_items WHERE agent = ? AND field = ?"
                " AND position >= ? AND position < ? ORDER BY position",
                (agent, field, start, stop),
            )
        if len(rows) == stop - start and all(
            intact(of_item, agent, field, position, value, crc) for position, value, crc in rows
        ):
            return [value for _, value, _ in rows]
        return self._recover_items(agent, field, range(start, stop), rows)

    def map_entry(self, agent: int, field: str, entry: str | int) -> str | None:
        """Return one entry's text, verified, or None."""
        query = "SELECT value, crc FROM map_entries WHERE agent = ? AND field = ? AND entry = ?"
        rows = self._rows(query, (agent, field, entry))
        return self._verified_entry(agent, field, entry, *rows[0]) if rows else None

    @reads_again
    def map_page(
        self, agent: int, field: str, after: str | int | None, limit: int
    ) -> list[tuple[str | int, str]]:
        """Return up to ``limit`` verified entries in key order, those after ``after``."""
        condition, parameters = ("AND entry > ?", (after,)) if after is not None else ("", ())
        with self.reading() as connection:
            rows = fetch(
                connection,
                "SELECT entry, value, crc FROM map_entries WHERE agent = ? AND field = ?"  # noqa: S608
                f" {condition} ORDER BY entry LIMIT ?",
                (agent, field, *parameters, limit),
            )
        return [
            (entry, self._verified_entry(agent, field, entry, value, crc))
            for entry, value, crc in rows
        ]

    def map_count(self, agent: int, field: str) -> int:
        """Return the number of entries."""
        query = "SELECT count(*) FROM map_entries WHERE agent = ? AND field = ?"
        return int(self._rows(query, (agent, field))[0][0])

    def map_fields(self, agent: int) -> list[str]:
        """Return the names of the maps that have entries, in order."""
        # One b-tree descent per map, not one step per entry.
        query = (
            "WITH RECURSIVE names(field) AS ("
            " SELECT min(field) FROM map_entries WHERE agent = ? UNION ALL"
            " SELECT (SELECT min(field) FROM map_entries WHERE agent = ?"
            "  AND field > names.field) FROM names WHERE names.field IS NOT NULL)"
            " SELECT field FROM names WHERE field IS NOT NULL"
        )
        return [str(field) for (field,) in self._rows(query, (agent, agent))]

    def inbox(self, kind: str, key: str) -> Inbox:
        """Return an agent's pending messages, in the order they were sent, and the spoilt ones."""
        query = f"SELECT * FROM mailbox WHERE kind = ? AND key = ? AND {LIVING_MAIL} ORDER BY id"  # noqa: S608 - our own text
        return sqlite_rows.inbox(kind, key, self._rows(query, (kind, key)))

    @reads_again
    def mailed(self, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        """Return up to ``limit`` agents with pending messages, in (kind, key) order."""
        self._must_lead("mailbox")
        query = (
            "SELECT DISTINCT kind, key FROM mailbox WHERE (kind, key) > (?, ?)"  # noqa: S608 - same
            f" AND {LIVING_MAIL} ORDER BY kind, key LIMIT ?"
        )
        return [(kind, key) for kind, key in self._rows(query, (*after, limit))]

    @reads_again
    def timers_between(self, after: float, until: float, limit: int) -> list[Timer]:
        """Return timers with ``after < due <= until``, earliest first."""
        self._must_lead("timers")
        query = "SELECT * FROM timers WHERE due > ? AND due <= ? ORDER BY due LIMIT ?"

        def read(number: int) -> list[Any]:
            return self._rows(query, (after, until, number))

        return sqlite_rows.records(Timer, read, limit)

    def kinds(self) -> list[str]:
        """Return the kinds of the stored agents, sorted; a look into the index for each."""
        found: list[str] = []
        while True:
            after = found[-1] if found else ""
            rows = self._rows("SELECT min(kind) FROM agents WHERE kind > ?", (after,))
            kind = None if not rows or rows[0][0] is None else str(rows[0][0])
            if kind is None or kind <= after:  # not behind it: the name, or the index, is damaged
                return found
            found.append(kind)

    @reads_again
    def written_with(self, kind: str) -> dict[int, int]:
        """Return how many agents of a kind were written with which schema."""
        with self.reading() as connection:
            # A shape that is damaged counts as not known: loading such an agent says more.
            query = (
                "SELECT coalesce(iif(json_valid(shape), json_extract(shape, ?), 0), 0), count(*)"
                " FROM agents WHERE kind = ? GROUP BY 1"
            )
            return dict(fetch(connection, query, (f'$."{WRITTEN_WITH}"', kind)))

    @reads_again
    def written_otherwise(self, kind: str, schema: int, after: str, limit: int) -> list[str]:
        """Return up to ``limit`` keys behind ``after`` of agents written with another schema."""
        with self.reading() as connection:
            query = (
                "SELECT key FROM agents WHERE kind = ? AND key > ? AND shape NOT IN ('', '{}')"
                " AND coalesce(iif(json_valid(shape), json_extract(shape, ?), 0), 0) <> ?"
                " ORDER BY key LIMIT ?"
            )
            rows = fetch(connection, query, (kind, after, f'$."{WRITTEN_WITH}"', schema, limit))
        return [key for (key,) in rows]

    def agents(
        self, kind: str | None = None, *, after: tuple[str, str] = ("", "")
    ) -> Iterator[AgentRow]:
        """Iterate over the heads of agents in (kind, key) order, without loading them all."""
        place = after if kind is None else max(after, (kind, ""))
        if kind is not None and place[0] != kind:
            return
        # A condition of its own for one kind: the search then ends with that kind.
        where = "(kind, key) > (?, ?)" if kind is None else "kind = ? AND key > ?"
        while True:
            rows = self._rows(
                f"SELECT {sqlite_rows.HEAD} FROM agents"  # noqa: S608
                f" WHERE {where} ORDER BY kind, key LIMIT 1000",
                place,
            )
            if not rows:
                return
            for row in rows:
                head = sqlite_rows.record(AgentRow, row)
                if head is None:
                    with self.reading() as connection:
                        head, _ = sqlite_rows.head(connection, row[1], row[2], row)
                yield head
            place = (rows[-1][1], rows[-1][2])

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
        """Return up to ``limit`` verified entries, oldest first; with ``newest`` newest first."""
        if kind is None or key is None or (correlation, led_from) != (None, None):
            whose, chain = (kind, key), (correlation, led_from)
            found = self._rows(
                *listing.journal(whose, chain, after=after, limit=limit, newest=newest)
            )
            left = self._leftovers()
            return [_entry(row[0], row[1], row[2:], left) for row in found]
        if newest:
            entries = self._entries_of(kind, key, 0)
            behind = (e for e in entries if after is None or e.sequence < after)
            return list(islice(behind, max(limit, 0)))
        first = deque(self._entries_of(kind, key, after or 0), maxlen=max(limit, 0))
        return list(reversed(first))

    def history(self, agent: int, before: int) -> Iterator[tuple[int, str | None]]:
        """Iterate over ``(version, delta)`` of an agent below ``before``, newest first."""
        left = self._leftovers()
        for row, good in entries_back(self.reading, agent, 0):
            version = row[2] if isinstance(row[2], int) else 0
            if version < before:
                yield version, hidden(left, agent, row[0], row[9]) if good else None

    def base_fields(self, agent: int) -> BaseFields:
        """Return the plain fields that the oldest kept journal row built on, without bad ones."""
        rows = self._rows("SELECT field, value, crc FROM base_fields WHERE agent = ?", (agent,))
        good = {
            field: value for field, value, crc in rows if intact(of_base, agent, field, value, crc)
        }
        return BaseFields(good, complete=len(good) == len(rows) and good.pop(LOST, None) is None)

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
        behind = None if after is None else (after,)
        return self._listed(
            DeadLetter, "dead_letters", (kind, key), behind, limit=limit, newest=newest
        )

    def dead_marks(self) -> list[tuple[int, int]]:
        """Return the id and the checksum of each dead letter."""
        return [(int(one), int(crc)) for one, crc in self._rows("SELECT id, crc FROM dead_letters")]

    def dead_digest(self) -> int:
        """Return a number that is another when the dead letters are others."""
        query = "SELECT count(*), coalesce(sum(crc), 0) FROM dead_letters"
        count, total = self._rows(query)[0]
        return (int(count) << 32) ^ int(total)

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
        behind = None if after is None else (after,)
        return self._listed(Message, "mailbox", (kind, key), behind, limit=limit, newest=newest)

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
        return self._listed(Timer, "timers", (kind, key), after, limit=limit, newest=newest)

    def counted(self, what: Listed, kind: str | None = None, key: str | None = None) -> int:
        """Return how many there are: of all agents, of a kind, or of one agent."""
        if what == "journal" and kind is not None and key is not None:
            return sum(1 for _ in self._entries_of(kind, key, 0))
        return int(self._rows(*listing.counted(what, kind, key))[0][0])

    def quarantined(self) -> list[QuarantineRow]:
        """Return the stored values that were set aside as bad."""
        return [QuarantineRow(*row) for row in self._rows("SELECT * FROM quarantine ORDER BY time")]

    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row of a declared table by its key, verified."""
        return tables.read(self._rows, table, key)

    def rows(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row | None]:
        """Return the verified rows of some keys, None for those that are not there."""
        return tables.read_many(self._rows, table, keys)

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` verified rows of a declared table, in an order."""
        return tables.page(self._rows, table, order, after, limit)

    def keys(self, table: Table, after: Key | None, limit: int) -> list[Key]:
        """Return up to ``limit`` primary keys of a declared table behind ``after``, in order."""
        return tables.keys(self._rows, table, after, limit)

    def count(self, table: Table, order: Order, prefix: str = "") -> int:
        """Return how many rows of a declared table an order has, of those with a prefix."""
        return tables.count(self._rows, table, order, prefix)

    def texts(self, containing: str = "") -> Iterator[StoredText]:
        """Iterate over the stored texts that contain ``containing``."""
        return sqlite_texts.texts(self._rows, containing)

    def text_index(self) -> TextIndex | None:
        """Open the index of texts beside the file; None where it can be neither read nor made."""
        try:
            return TextIndex(beside(self._path, SUFFIX))
        except StoreUnavailable as error:
            logger.info("there is no index of texts: %s", error)
            return None

    def growth(self) -> list[Growth]:
        """Return what uses the space, by agent and field, largest first."""
        parts = {
            "fields": "field, 1 AS number, length(CAST(value AS BLOB)) AS size",
            "log_items": "field, 1 AS number, length(CAST(value AS BLOB)) AS size",
            "map_entries": "field, 1 AS number, length(CAST(value AS BLOB)) AS size",
            "journal": "'(journal)' AS field, 1 AS number, length(CAST(delta AS BLOB)) AS size",
        }
        union = " UNION ALL ".join(
            f"SELECT agent, '{table}' AS place, {columns} FROM {table}"  # noqa: S608
            for table, columns in parts.items()
        )
        # Loaded for this report only: it brings in pandas where that is installed, half a second.
        import sqlite_utils  # noqa: PLC0415

        with self.reading() as connection:
            rows = sqlite_utils.Database(connection, execute_plugins=False).query(
                "SELECT coalesce(agents.kind, tombstones.kind,"  # noqa: S608
                f" '{shared_growth.SHARED}') AS kind,"
                " coalesce(agents.key, tombstones.key, '') AS key,"
                " field, place, sum(number) AS number, sum(size) AS size"
                f" FROM ({union}) AS part LEFT JOIN agents ON agents.agent = part.agent"
                " LEFT JOIN tombstones ON tombstones.agent = part.agent"
                " GROUP BY part.agent, place, field"
            )
            found = [
                Growth(r["kind"], r["key"], r["field"], r["place"], r["number"], r["size"])
                for r in rows
            ]
        sums = [
            (table, (kind, scope, part), number, size)
            for table, query in shared_growth.queries()
            for kind, scope, part, number, size in self._rows(query)
        ]
        found += shared_growth.rows(sums)
        return sorted(found, key=lambda row: (-row.size, row.kind, row.key, row.field))

    def disk(self) -> Disk:
        """Return what the store takes on disk."""
        with self.reading() as connection, snapshot(connection):
            page, pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
        # Sizes come from the directory: opening the live file here would drop SQLite's locks.
        file, log = _size(self._path), _size(beside(self._path, "-wal"))
        mark = self.row(LEFTOVERS, (0,))
        copies = None if mark is None else float(str(mark[-1]))
        deleted = len(self._rows("SELECT DISTINCT kind, key FROM leftovers WHERE agent <> 0"))
        return Disk(file, log, page, pages, free, deleted, copies)

    def identity(self) -> str:
        """Return what tells this file from every other of this host; "" if nobody can say."""
        return identified(self._path)

    def testimony(self) -> witness.Testimony | None:
        """Return what stands beside the store of how far it was; None if there is nothing."""
        path = beside(self._path, witness.SUFFIX)
        return witness.Witness(path).read(self.identity())

    def lease_record(self, connection: sqlite3.Connection) -> LeaseRecord | None:
        """Return who holds the lease, or held it last; damage if the row cannot be that."""
        row = connection.execute(
            "SELECT token, host, pid, started, realm, incarnation, renewed, released, file"
            " FROM lease"
        ).fetchone()
        if row is None:
            return None
        if not all(map(isinstance, row, _LEASE)):
            # Who owns the store cannot be said, so nobody may take it for free.
            raise damage("the row of the lease has values of other types than it was given")
        token, host, pid, started, realm, incarnation, renewed, released, file = row
        owner = Owner(host, pid, started, realm, incarnation)
        copied = file != self.identity()
        return LeaseRecord(token, owner, renewed, bool(released), released == UNSEEN, copied)

    def close(self) -> None:
        """Give back every resource; idempotent."""
        if self._inherited():
            return
        self._readers.close()
        closed(self)

    @reads_again
    def _rows(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        with self.reading() as connection:
            return fetch(connection, query, tuple(parameters))

    def _listed(
        self,
        record: type[sqlite_rows.R],
        what: Listed,
        agent: listing.Whose,
        after: tuple[object, ...] | None,
        *,
        limit: int,
        newest: bool,
    ) -> list[sqlite_rows.R]:
        def read(number: int) -> list[Any]:
            return self._rows(*listing.page(what, agent, after, number, newest=newest))

        return sqlite_rows.records(record, read, limit)

    def _entries_of(self, kind: str, key: str, after: int) -> Iterator[JournalEntry]:
        """Iterate over one agent's entries above ``after``, newest first."""
        # Of the agent that is there, then of those of that name which were deleted before it.
        dead = "SELECT agent FROM tombstones WHERE kind = ? AND key = ? ORDER BY sequence DESC"
        rows = self._rows("SELECT agent FROM agents WHERE kind = ? AND key = ?", (kind, key))
        rows += self._rows(dead, (kind, key))
        left = self._leftovers()
        for (agent,) in rows:
            for row, _ in entries_back(self.reading, agent, after):
                yield _entry(kind, key, row, left)

    def _leftovers(self) -> list[Named]:
        """Return the deleted agents of which something is still to be removed."""
        rows = self.page(LEFTOVERS, Order(("agent",)), (0,), _MANY)
        left = [Leftover(*row) for row in rows]  # type: ignore[arg-type]  # as they are declared
        return [(each, names(self._rows, each)) for each in left]

    def _verified_entry(
        self, agent: int, field: str, entry: str | int, value: str, crc: int
    ) -> str:
        if intact(of_entry, agent, field, entry, value, crc):
            return value
        text = recovery.find_entry(self._walk(agent), field, entry, crc)
        return _replaced(f"agent {agent}, state.{field}[{entry!r}]", text)

    def _recover_items(
        self, agent: int, field: str, positions: range, rows: list[tuple[int, str, int]]
    ) -> list[str]:
        stored = {position: (value, crc) for position, value, crc in rows}
        texts: list[str] = []
        for position in positions:
            value, crc = stored.get(position, ("", None))
            if not intact(of_item, agent, field, position, value, crc):
                copy = recovery.find_item(self._walk(agent), field, position, crc)
                value = _replaced(f"agent {agent}, state.{field}[{position}]", copy)
            texts.append(value)
        return texts

    def _walk(self, agent: int) -> recovery.Walk:
        rows = self._rows("SELECT version FROM agents WHERE agent = ?", (agent,))
        version = int(rows[0][0]) if rows else 0
        return recovery.Walk(agent, self.history(agent, version + 1), version)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _replaced(where: str, text: str | None) -> str:
    if text is None:
        raise CorruptState(where, "its checksum does not match and the journal holds no copy")
    logger.warning("%s failed its checksum; the journal's copy is used", where)
    return text


def _entry(kind: str, key: str, row: Sequence[Any], left: Sequence[Named]) -> JournalEntry:
    sequence, agent, version, _, *rest, _ = row
    entry = JournalEntry(sequence, kind, key, version, *rest)
    if not intact_record(row):
        where = f"journal entry {entry.sequence} of {entry.kind}/{entry.key}"
        raise CorruptState(where, "its checksum does not match")
    return entry._replace(delta=hidden(left, agent, sequence, entry.delta)) if left else entry
