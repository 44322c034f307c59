"""The SQLite adapter: one file, one writing connection, a handful of statements per batch."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import Fenced, NotAStore, StoreError, StoreOwned, StoreUnavailable
from ..records.chain import START, Chain
from ..records.checksums import intact_record, of_base, of_field, of_record
from ..records.journal import read_delta
from ..records.records import Counters, FieldRow
from ..records.shared_tables import AUDIT, AUDIT_ANCHOR
from ..store.batch import Batch
from ..store.lease import NO_LEASE, Lease, Owner
from ..store.store import Store
from . import schema, tables, texts
from .errors import translated
from .insert import delete, insert
from .place import Place
from .pool import fetch
from .reader import LOST, SqliteReader

logger = logging.getLogger("perdure.persistence")

_HEADER: Final = 100
"""Bytes no SQLite file has less of, unless it is empty."""
_GIVEN_UP: Final[set[tuple[Owner, str, int]]] = set()
"""Leases, by owner, file and token, that this process has done with and could not release."""
_UPSERT_VALUE: Final = "DO UPDATE SET value = excluded.value, crc = excluded.crc"


class SqliteStore(SqliteReader, Store):
    """Keep agents in one SQLite file.

    Exactly one connection writes and checkpoints; that avoids the WAL-reset bug of SQLite before
    3.51.3. It may be used from any thread, one at a time (``_writing`` sees to it).
    """

    def __init__(self, path: Path, *, sync: str = "power") -> None:
        """Open or create the file; nothing is written to an existing one.

        ``sync="power"`` makes a commit survive power loss, ``"process"`` only the process's end.
        """
        self._writing = threading.Lock()
        self._opener = Owner.this_process()
        self._file = ""
        location = str(path)
        _prepare(path)
        try:
            with translated(location, "opening"):
                self._writer = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False, cached_statements=256
                )
            self._place = Place(path)
            with translated(location, "opening"):
                # Refuse a foreign file before a pragma could change it.
                schema.check(self._writer, location)
                schema.set_up_writer(self._writer, sync=sync)
                schema.create_or_check(self._writer, location)
            super().__init__(path)
        except BaseException:
            for name in ("_writer", "_readers"):  # as far as it came
                if hasattr(self, name):
                    getattr(self, name).close()
            raise

    def acquire(self, owner: Owner, *, takeover: bool = False) -> Counters:
        """Take the lease and return where numbering goes on."""
        before = self.lease
        try:
            return self._acquire(owner, takeover=takeover)
        except StoreError:
            self.lease = before  # nothing was written
            raise

    def _acquire(self, owner: Owner, *, takeover: bool) -> Counters:
        with self._transaction("acquiring the lease") as connection:
            held, file = self.lease_record(connection), self.identity()
            now = time.time()
            stands = held is not None and (held.owner, file, held.token) not in _GIVEN_UP
            if held is not None and stands and held.holder_alive(owner, now) and not takeover:
                raise StoreOwned(
                    self.location, host=held.owner.host, pid=held.owner.pid,
                    started=held.owner.started,
                )  # fmt: skip
            token = (held.token if held else 0) + 1
            connection.execute(
                "INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
                (
                    token,
                    owner.host,
                    owner.pid,
                    owner.started,
                    owner.realm,
                    owner.incarnation,
                    now,
                    file,
                ),
            )
            # The journal always keeps its newest row, so numbering goes on from there.
            last = "SELECT coalesce(max({0}), 0) FROM {1}"
            sequence, decided, agent = (
                connection.execute(last.format(column, table)).fetchone()[0]
                for column, table in (
                    ("sequence", "journal"), ("sequence", "audit"), ("agent", "agents"),
                )
            )  # fmt: skip
            # A decision of a commit without an agent has a sequence and no entry in the journal.
            counters = Counters(max(sequence, decided), agent, self._chain(connection))
            # Before the COMMIT: an interrupt may strike behind it, and release() must know.
            self.lease, self._file = Lease(token, owner), file
        if held is not None:
            _GIVEN_UP.discard((held.owner, file, held.token))
        return counters

    def _chain(self, connection: sqlite3.Connection) -> Chain:
        """Return the newest link of the audit's chain."""
        for table in (AUDIT, AUDIT_ANCHOR):
            newest = connection.execute(
                f"SELECT number, hash FROM {table.name} ORDER BY number DESC LIMIT 1"  # noqa: S608
            ).fetchone()
            if newest is not None:
                return Chain(*newest)
        return START

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, all of it or nothing."""
        with self._transaction("saving") as connection:
            last = self._check_fence(connection)
            # An interrupt may strike between COMMIT and our knowing of it: the batch comes again.
            if not batch.journal or batch.journal[0].sequence > last:
                _write(connection, batch)

    def renew(self) -> None:
        """Renew the lease; Fenced when it was lost."""
        with self._transaction("renewing the lease") as connection:
            self._check_fence(connection)
            connection.execute("UPDATE lease SET renewed = ?", (time.time(),))

    def trim_journal(self, below: int, limit: int) -> int:
        """Fold up to ``limit`` journal rows with a sequence below ``below`` into the base."""
        with self._transaction("trimming the journal") as connection:
            self._check_fence(connection)
            rows = fetch(
                connection,
                "SELECT * FROM journal WHERE sequence < ? ORDER BY sequence LIMIT ?",
                (below, limit),
            )
            base: dict[tuple[int, str], FieldRow] = {}
            for row in rows:
                agent, delta = row[1], row[9]
                if not intact_record(row):
                    # What it set is unknown, so whatever earlier entries set may be out of date.
                    connection.execute("DELETE FROM base_fields WHERE agent = ?", (agent,))
                    base = {place: row for place, row in base.items() if place[0] != agent}
                    base[agent, LOST] = FieldRow(agent, LOST, "true", of_base(agent, LOST, "true"))
                    continue
                for name, raw in read_delta(delta).set.items():
                    text = bytes(raw).decode()
                    base[agent, name] = FieldRow(agent, name, text, of_base(agent, name, text))
            insert(
                connection, "INSERT INTO base_fields", list(base.values()),
                f"ON CONFLICT {_UPSERT_VALUE}",
            )  # fmt: skip
            if rows:
                connection.execute("DELETE FROM journal WHERE sequence <= ?", (rows[-1][0],))
        return len(rows)

    def journal_extent(self) -> tuple[int, int]:
        """Return the first and the last sequence the journal holds; (0, 0) when empty."""
        # Two queries in one: SQLite looks up a lone min() or max() but scans for both together.
        first, last = self._rows(
            "SELECT (SELECT min(sequence) FROM journal), (SELECT max(sequence) FROM journal)"
        )[0]
        return int(first or 0), int(last or 0)

    def close(self) -> None:
        """Release the lease if it is still ours, and close every connection; idempotent."""
        if self._inherited():
            return
        super().close()
        self.release()
        self._writer.close()

    def release(self) -> None:
        """Give the lease back if it is held still."""
        if self.lease is NO_LEASE or self._inherited():
            return
        lease, self.lease = self.lease, NO_LEASE
        owner = lease.owner
        try:
            with self._transaction("releasing the lease") as connection:
                # By its owner as well: if acquiring was interrupted, another may have the number.
                connection.execute(
                    "UPDATE lease SET released = 1"
                    " WHERE token = ? AND realm = ? AND pid = ? AND incarnation = ?",
                    (lease.token, owner.realm, owner.pid, owner.incarnation),
                )
        except StoreError as error:
            # On a full disk, for one. The file says that this process owns it; only we know better.
            _GIVEN_UP.add((owner, self._file, lease.token))
            logger.warning("the lease stands in the file until this process ends: %s", error)

    @contextlib.contextmanager
    def _transaction(self, doing: str) -> Iterator[sqlite3.Connection]:
        connection = self._writer
        if self._inherited():
            opener = self._opener
            raise StoreOwned(
                self.location, host=opener.host, pid=opener.pid, started=opener.started
            )
        with self._writing, translated(self.location, doing):
            self._place.check_now_and_then()
            try:
                # Inside: an interrupt may strike as soon as the call is made.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A failed BEGIN has begun none, and a failed COMMIT may have ended it already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _inherited(self) -> bool:
        """Tell whether this process is a fork of the one that opened the file.

        A fork shares the connections and the token with its parent, who goes on writing; SQLite
        allows it neither to use nor to close them.
        """
        return os.getpid() != self._opener.pid

    def _check_fence(self, connection: sqlite3.Connection) -> int:
        """Return the journal's last sequence; Fenced if the lease is not (or no longer) ours."""
        row = connection.execute(
            "SELECT token, (SELECT max(sequence) FROM journal) FROM lease"
        ).fetchone()
        current, last = row or (1, 0)
        if current != self.lease.token:
            raise Fenced(self.location, token=self.lease.token, current=current)
        return int(last or 0)


def _prepare(path: Path) -> None:
    """Make an empty file if there is none; refuse what cannot be a store without touching it."""
    if not path.parent.is_dir():
        message = f"{path.parent} is not a directory; create it before opening {path.name}"
        raise StoreUnavailable(message)
    if path.is_dir():
        message = f"{path} is a directory; name a file in it"
        raise StoreUnavailable(message)
    try:
        # SQLite would make the file, too; least permission for one that holds people's data.
        if not path.exists():
            path.touch(mode=0o600)
        size = path.stat().st_size
    except OSError as error:
        message = f"{path} cannot be created: {error.strerror}; make its directory writable"
        raise StoreUnavailable(message) from error
    if 0 < size < _HEADER:
        # SQLite would take a file of one byte for an empty one.
        message = f"{path} is not a SQLite file; choose another path"
        raise NotAStore(message)
    if size:
        _refuse_foreign(path)


def _refuse_foreign(path: Path) -> None:
    """Look at a file before a writing connection, which would checkpoint another program's WAL.

    As immutable first, which leaves no files beside it but is blind to a WAL.
    """
    for access in ("mode=ro&immutable=1", "mode=ro"):
        with contextlib.suppress(StoreUnavailable), translated(str(path), "opening"):
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?{access}", uri=True)
            with contextlib.closing(connection):
                if schema.check(connection, str(path)):
                    return


def _write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write a batch; most have rows of a few kinds only, and a lone caller waits for this."""
    if batch.agents:
        _write_state(connection, batch)
    if batch.journal:
        insert(connection, "INSERT INTO journal", batch.journal)
    if batch.mail_gone:
        delete(connection, "mailbox", ("id",), [(gone,) for gone in batch.mail_gone])
    if batch.mail:
        mail = [(*message, of_record(message)) for message in batch.mail]
        insert(connection, "INSERT OR REPLACE INTO mailbox", mail)
    if batch.timers:
        timers = [(*timer, of_record(timer)) for timer in batch.timers]
        insert(connection, "INSERT OR REPLACE INTO timers", timers)
    if batch.timers_gone:
        delete(connection, "timers", ("kind", "key", "name"), batch.timers_gone)
    if batch.dead or batch.revived or batch.quarantined:
        _write_failures(connection, batch)
    for table, places in batch.tables.items():
        rows = [row for row in places.values() if row is not None]
        gone = [key for key, row in places.items() if row is None]
        tables.write(connection, table, rows, gone)
    if batch.replaced:
        texts.replace(connection, batch.replaced)


def _write_failures(connection: sqlite3.Connection, batch: Batch) -> None:
    dead = [(*letter, of_record(letter)) for letter in batch.dead]
    insert(connection, "INSERT OR REPLACE INTO dead_letters", dead)
    delete(connection, "dead_letters", ("id",), [(gone,) for gone in batch.revived])
    insert(connection, "INSERT INTO quarantine", batch.quarantined)


def _write_state(connection: sqlite3.Connection, batch: Batch) -> None:
    heads: list[tuple[object, ...]] = []
    for head in batch.agents:
        shape = batch.shapes.get(head.agent)
        shape_crc = None if shape is None else of_field(head.agent, "", shape)
        heads.append((*head, of_record(head), shape, shape_crc))
    insert(
        connection, "INSERT INTO agents", heads,
        "ON CONFLICT (agent) DO UPDATE SET version = excluded.version,"
        " sequence = excluded.sequence, status = excluded.status, reason = excluded.reason,"
        " crc = excluded.crc, shape = coalesce(excluded.shape, shape),"
        " shape_crc = coalesce(excluded.shape_crc, shape_crc)",
    )  # fmt: skip
    insert(connection, "INSERT INTO fields", batch.fields, f"ON CONFLICT {_UPSERT_VALUE}")
    for (agent, field), length in batch.truncated.items():
        connection.execute(
            "DELETE FROM log_items WHERE agent = ? AND field = ? AND position >= ?",
            (agent, field, length),
        )
    insert(connection, "INSERT INTO log_items", batch.items)
    insert(connection, "INSERT INTO map_entries", batch.entries, f"ON CONFLICT {_UPSERT_VALUE}")
    delete(connection, "map_entries", ("agent", "field", "entry"), batch.removed)
