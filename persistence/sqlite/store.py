"""The SQLite adapter: one file, one writing connection, a handful of statements per batch."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from ..errors import (
    CorruptState,
    Fenced,
    NotAStore,
    StoreError,
    StoreOwned,
    StoreUnavailable,
    failing_at,
)
from ..records.chain import START, Chain
from ..records.checksums import of_field, of_record
from ..records.postings import posting
from ..records.records import Counters, Disk
from ..records.shared_tables import AUDIT, AUDIT_ANCHOR, NUMBERED, POSTINGS
from ..store.batch import Batch
from ..store.lease import NO_LEASE, Lease, Owner
from ..store.store import Store
from . import deletion, formats, schema, tables, texts, trimming, witness
from .errors import conflicting, damage, locked, malformed, translated
from .inherited import refuse_inherited
from .insert import delete, insert
from .mend import make_room, mend, vacuumed
from .place import LogLost, StoreFile, beside, looking_at, refuse_two_names
from .pool import fetch
from .reader import UNSEEN, SqliteReader
from .search import SUFFIX
from .transaction import writing
from .witness import Witness

logger = logging.getLogger("perdure.persistence")

_HEADER: Final = 100
"""Bytes no SQLite file has less of, unless it is empty."""
_OUT_OF_FILES: Final = (errno.EMFILE, errno.ENFILE)
SCRUB_SECONDS: Final = 1.0
"""Seconds between two attempts to empty the log while somebody reads in it."""
SCRUB_WAIT: Final = 0.1
"""Seconds that one attempt waits for readers."""
MOST_REWRITTEN: Final = 1 << 30
"""Bytes of a file that a close writes anew by itself: a larger one would take its time unasked."""
MEND_SECONDS: Final = 60.0
"""Seconds between two attempts to mend: each reads the whole file."""
_LEADS: Final = {
    "agents": "sqlite_autoindex_agents_1", "mailbox": "idx_mailbox_kind_key",
    "timers": "idx_timers_due",
}  # fmt: skip
"""The index by which rows of a table are found, where one that it has lost would not be missed."""
_GIVEN_UP: Final[set[tuple[Owner, str, int]]] = set()
"""Leases, by owner, file and token, that this process has done with and could not release."""
_UPSERT_VALUE: Final = "DO UPDATE SET value = excluded.value, crc = excluded.crc"


class SqliteStore(SqliteReader, Store):
    """Keep agents in one SQLite file.

    Exactly one connection writes and checkpoints; that avoids the WAL-reset bug of SQLite before
    3.51.3. It may be used from any thread, one at a time (``_writing`` sees to it).
    """

    _as_current: ClassVar[bool] = False

    def __init__(self, path: Path, *, sync: str = "power") -> None:
        """Open or create the file; nothing is written to an existing one.

        ``sync="power"`` makes a commit survive power loss, ``"process"`` only the process's end.
        """
        self._writing = threading.Lock()
        with failing_at(str(path)):
            self._opener = Owner.this_process()
        self._file = ""
        self._sync = sync
        self._next_mend = 0.0
        self._led: set[str] = set()  # tables whose indexes were seen to lead to every row
        self._counting = threading.Lock()
        self._residue = False  # the log still holds what was erased
        self._next_scrub = 0.0
        self._buried = 0  # up to where tombstones were seen to when the journal was trimmed
        self._rescued = False  # what a lost log held is in the file; a new one is not begun yet
        self.location = str(path)
        self._path = path.absolute()
        self._witness = Witness(beside(self._path, witness.SUFFIX))
        with failing_at(self.location):
            _prepare(path)
        try:
            self._connect()
            super().__init__(path)
            self._readers.place = self._place
        except BaseException:
            for name in ("_writer", "_readers"):  # as far as it came
                if hasattr(self, name):
                    getattr(self, name).close()
            raise

    def _connect(self) -> None:
        """Open the writing connection."""
        with translated(self.location, "opening"):
            self._writer = writer = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        place = StoreFile(self._path, name=self.location)
        with translated(self.location, "opening"):
            # Refuse a foreign file before a pragma could change it.
            made = schema.check(writer, self.location)
            schema.set_up_writer(writer, sync=self._sync)
            # Only what is not made takes the write lock, which a frozen owner may hold: who that
            # is, the lease must be able to tell.
            if not made:
                schema.create_or_check(writer, self.location)
        place.remember_the_log()
        self._place = place
        self._schema = 0  # its version when it was last looked at; the first save looks
        # The journal's last sequence, if we know what we have written; and under which token, and
        # what SQLite calls the data's version: only others' commits change that.
        self._last: int | None = None
        self._seen = (0, 0)

    def acquire(self, owner: Owner, *, takeover: bool = False) -> Counters:
        """Take the lease and return where numbering goes on."""
        before = self.lease
        try:
            counters = self._acquire(owner, takeover=takeover)
        except StoreError as error:
            self.lease = before  # nothing was written
            if isinstance(error, StoreUnavailable) and locked(error):
                self._refuse_locked(owner, error)
            raise
        # What they know of the tables may be from before an upgrade.
        self._readers.empty()
        schema.wait_for_locks(self._writer, schema.COMMIT_BUSY_SECONDS)
        self._scrub()
        self._say_what_is_left()
        return counters

    def _say_what_is_left(self) -> None:
        """Say that the file is to be written anew, before that takes its time at the close."""
        with contextlib.suppress(StoreError):
            disk = self.disk()
            if disk.copies is not None:
                logger.warning(
                    "%s may hold old copies of what was erased or sealed again; %s",
                    self.location, self._when_written_anew(disk),
                )  # fmt: skip

    @staticmethod
    def _when_written_anew(disk: Disk) -> str:
        size = disk.pages * disk.page
        if size > MOST_REWRITTEN:
            return f"a file of {size:,} bytes is written anew only by `perdure rewrite`"
        return f"it is written anew when the store is closed ({size:,} bytes)"

    def _refuse_locked(self, owner: Owner, error: StoreUnavailable) -> None:
        """Raise StoreOwned if who holds the file's lock is, by the lease, its owner.

        Who was stopped in the middle of a save keeps the lock, and nobody can write, so nobody
        can take over either.
        """
        with self.reading("reading the lease") as connection:
            held = self.lease_record(connection)
        if held is not None and held.holder_alive(owner, time.time()):
            who = held.owner
            raise StoreOwned(
                self.location, host=who.host, pid=who.pid, started=who.started, saving=True
            ) from error

    def _acquire(self, owner: Owner, *, takeover: bool) -> Counters:
        before = self.lease
        try:
            with self._transaction("acquiring the lease") as connection:
                last, killed = self._take(connection, owner, takeover=takeover)
                self._upgrade(connection)
                counters = self._counters(connection)
                # Behind them: what is damaged has lost rows, and has not gone back.
                self._witness.compare(connection, self._file, self.location, counters.sequence)
        except StoreUnavailable as error:
            if self.lease is before or not malformed(error):
                raise
            return self._acquire_damaged(owner, takeover=takeover)
        _GIVEN_UP.discard(last)
        self.killed = killed
        return counters

    def _acquire_damaged(self, owner: Owner, *, takeover: bool) -> Counters:
        """Take the lease by itself, as only an owner may mend, and count afterwards."""
        with self._transaction("acquiring the lease") as connection:
            last, self.killed = self._take(connection, owner, takeover=takeover)
        _GIVEN_UP.discard(last)
        try:
            self._mend(self._mends)
            with self._transaction("acquiring the lease") as connection:
                self._upgrade(connection)
                return self._counters(connection)
        except BaseException:
            self.release()
            raise

    @staticmethod
    def _upgrade(connection: sqlite3.Connection) -> None:
        definitions = schema.definitions()
        formats.upgrade(connection, partial(fetch, connection), definitions, schema.VIEWS)

    def _take(
        self, connection: sqlite3.Connection, owner: Owner, *, takeover: bool
    ) -> tuple[tuple[Owner, str, int], bool]:
        """Write the lease, and return what it was before, and whether its holder was killed.

        StoreOwned if its holder lives.
        """
        held, file = self.lease_record(connection), self.identity()
        last = (NO_LEASE.owner, file, 0) if held is None else (held.owner, file, held.token)
        stands = held is not None and last not in _GIVEN_UP
        if held is not None and stands and held.holder_alive(owner, time.time()) and not takeover:
            who = held.owner
            raise StoreOwned(self.location, host=who.host, pid=who.pid, started=who.started)
        # Before the COMMIT: an interrupt may strike behind it, and release() must know.
        self.lease, self._file = Lease(last[2] + 1, owner), file
        self._write_lease(connection, self.lease)
        return last, held is not None and (held.unseen or (stands and not held.released))

    def _write_lease(self, connection: sqlite3.Connection, lease: Lease) -> None:
        who = lease.owner
        connection.execute(
            "INSERT OR REPLACE INTO lease VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (
                lease.token, who.host, who.pid, who.started, who.realm, who.incarnation,
                time.time(), self._file,
            ),
        )  # fmt: skip

    def _counters(self, connection: sqlite3.Connection) -> Counters:
        # The journal always keeps its newest row, so numbering goes on from there.
        query = "SELECT sequence FROM journal ORDER BY sequence DESC LIMIT ?"
        newest = fetch(connection, query, (tables.NEWEST,))
        if newest != sorted(newest, reverse=True):
            # A damaged row would have us number commits anew that are there.
            raise damage("the newest rows of the journal are out of order")
        last = "SELECT coalesce(max(agent), 0) FROM {0}"
        agents = (
            connection.execute(last.format(table)).fetchone()[0]
            for table in ("agents", "tombstones")
        )
        # An earlier owner may have been killed between an erasure and the emptying of the log.
        erased = "SELECT 1 FROM tombstones WHERE erased = 1 LIMIT 1"
        self._residue = connection.execute(erased).fetchone() is not None
        sequences = [newest[0][0] if newest else 0]
        sequences += (tables.latest_in(connection, table) for table in NUMBERED)
        return Counters(max(sequences), max(agents), self._chain(connection))

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
        """Make a batch durable, all of it or nothing; a damaged file is mended first."""
        seen = self._mends
        try:
            self._commit(batch)
        except StoreUnavailable as error:
            mended = malformed(error) and self._mend(seen)
            if not mended and not conflicting(error):
                raise
            self._commit(batch, made_room=True)
        if batch.journal:
            self._witness.latest = batch.journal[-1]
        if batch.deleted and any(gone.erase for gone in batch.deleted):
            self._residue, self._next_scrub = True, 0.0
        if self._residue:
            self._scrub()

    def commit_together(self, batches: Iterable[Batch]) -> None:
        """Make many batches durable in one transaction, each made when those before are written.

        What makes them reads the store by another object: this one's lock is held.
        """
        latest = self._witness.latest
        with self._transaction("saving") as connection:
            self._check_fence(connection)
            self._last = None
            for batch in batches:
                _write(connection, batch)
                latest = batch.journal[-1] if batch.journal else latest
        self._witness.latest = latest

    def _scrub(self) -> None:
        """Empty the log if it holds what was erased as it was; later, if somebody reads in it."""
        if not self._residue or time.monotonic() < self._next_scrub:
            return
        self._next_scrub = time.monotonic() + SCRUB_SECONDS
        # It has letters of what was erased. Who searches makes it anew.
        with contextlib.suppress(OSError):
            beside(self._path, SUFFIX).unlink(missing_ok=True)
        try:
            with self._writing, translated(self.location, "emptying the log"):
                schema.wait_for_locks(self._writer, SCRUB_WAIT)
                try:
                    busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    schema.wait_for_locks(self._writer, schema.COMMIT_BUSY_SECONDS)
        except StoreError as error:  # what was to be saved is saved
            logger.warning("what was erased is still in the log: %s", error)
            return
        self._residue = bool(busy)
        if busy:
            logger.warning("what was erased is still in the log, in which somebody reads")

    def _commit(self, batch: Batch, *, made_room: bool = False) -> None:
        with self._transaction("saving") as connection:
            last = self._check_fence(connection)
            # An interrupt may strike between COMMIT and our knowing of it: the batch comes again.
            self._last = None
            if not batch.journal or batch.journal[0].sequence > last:
                if made_room:
                    make_room(connection, batch.agents)
                _write(connection, batch)
        self._last = max(last, batch.journal[-1].sequence) if batch.journal else last

    def renew(self) -> None:
        """Renew the lease; Fenced when it was lost."""
        with self._transaction("renewing the lease") as connection:
            self._check_fence(connection)
            connection.execute("UPDATE lease SET renewed = ?", (time.time(),))
        self._testify()
        self._scrub()

    def remove_deleted(self) -> bool:
        """Remove a slice of what deleted agents have left; False if there is nothing (any more)."""
        doing = "removing what deleted agents have left"
        if deletion.old_ones(self._rows):
            with self._transaction(doing) as connection:
                self._check_fence(connection)
                # As it is now: it may have made way for new mail since.
                old = deletion.old_ones(partial(fetch, connection))
                scrub = bool(old) and deletion.remove_old(connection, old[0]) and old[0].erase
        elif found := self._leftovers():
            left, _ = found[0]
            entries = deletion.to_erase(self._rows, left)
            with self._transaction(doing) as connection:
                self._check_fence(connection)
                scrub = deletion.remove(connection, left, entries) and left.erase
        else:
            return False
        if scrub:
            self._residue, self._next_scrub = True, 0.0
            self._scrub()
        return True

    def _testify(self) -> None:
        """Write down, beside the store, how far it is."""
        self._witness.write(self._file, power=self._sync == "power")

    def trim_journal(self, below: int, limit: int) -> int:
        """Fold up to ``limit`` journal rows with a sequence below ``below`` into the base."""
        with self._transaction("trimming the journal") as connection:
            self._check_fence(connection)
            done = trimming.trim(connection, below, limit, self._buried)
        self._buried = done.buried
        return done.rows

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
        if self.lease is not NO_LEASE:
            self._see_to_copies()
        super().close()
        if self.lease is not NO_LEASE:
            self._testify()
        self.release()
        self._writer.close()

    def _see_to_copies(self) -> None:
        """Write the file anew if gaps of its pages may hold copies of what is gone."""
        try:
            disk = self.disk()
            if disk.copies is None:
                return
            if disk.deleted:
                logger.warning("%s: the next owner goes on with what is erased", self.location)
            elif disk.pages * disk.page > MOST_REWRITTEN:
                logger.warning("%s: %s", self.location, self._when_written_anew(disk))
            else:
                self.write_anew()
        except StoreError as error:
            logger.warning("pages may still hold copies of what is gone: %s", error)

    def write_anew(self) -> bool:
        """Write all pages anew and empty the log, so that no copy is left of what is gone.

        SQLite overwrites what is deleted, and not what is left of a row where the page that it
        stands on was put in order before: an older copy of it, in the gap between the rows.
        Takes as long as a copy of the file, and as much room beside it. False if somebody reads in
        the log: then it is to be done again.
        """
        started = time.monotonic()
        logger.info("%s is written anew; whoever saves waits", self.location)
        self._readers.empty()
        with self._writing, translated(self.location, "writing the pages anew"):
            schema.wait_for_locks(self._writer, schema.BUSY_SECONDS)
            try:
                if not vacuumed(self._writer):
                    return False
                busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                schema.wait_for_locks(self._writer, schema.COMMIT_BUSY_SECONDS)
        if busy:
            logger.warning("somebody reads in the log, which may hold what is gone")
            return False
        with self._transaction("writing the pages anew") as connection:
            self._check_fence(connection)
            deletion.no_copies(connection)
        seconds = time.monotonic() - started
        logger.info("%s was written anew in %.1f s", self.location, seconds)
        return True

    def release(self) -> None:
        """Give the lease back if it is held still."""
        if self.lease is NO_LEASE or self._inherited():
            return
        lease, self.lease = self.lease, NO_LEASE
        owner = lease.owner
        try:
            with translated(self.location, "releasing the lease"):
                schema.wait_for_locks(self._writer, schema.BUSY_SECONDS)
            with self._transaction("releasing the lease") as connection:
                # By its owner as well: if acquiring was interrupted, another may have the number.
                connection.execute(
                    "UPDATE lease SET released = ?"
                    " WHERE token = ? AND realm = ? AND pid = ? AND incarnation = ?",
                    (
                        UNSEEN if self.killed else 1,
                        lease.token,
                        owner.realm,
                        owner.pid,
                        owner.incarnation,
                    ),
                )
        except StoreError as error:
            # On a full disk, for one. The file says that this process owns it; only we know better.
            _GIVEN_UP.add((owner, self._file, lease.token))
            logger.warning("the lease stands in the file until this process ends: %s", error)

    @contextlib.contextmanager
    def _transaction(self, doing: str) -> Iterator[sqlite3.Connection]:
        opener = self._opener
        if os.getpid() != opener.pid:
            raise StoreOwned(
                self.location, host=opener.host, pid=opener.pid, started=opener.started
            )
        with self._writing, translated(self.location, doing):
            self._look_at_the_files()
            connection = self._writer
            with writing(connection):
                yield connection

    def _leads(self, table: str) -> bool:
        return table in self._led or self.lease is NO_LEASE

    def _must_lead(self, table: str) -> None:
        """See once, before a row is taken for missing, that its index leads to every row.

        SQLite itself would never notice: it believes an index. Counting both takes no lock and
        looks at no row. Where they differ the file is mended; what was read before is read again.
        """
        if self._leads(table):
            return
        with self._counting:
            if self._leads(table):  # another looked meanwhile
                return
            with self.reading("comparing an index with its table") as connection:
                rows, entries = connection.execute(
                    f"SELECT (SELECT count(*) FROM {table} NOT INDEXED),"  # noqa: S608 - ours
                    f" (SELECT count(*) FROM {table} INDEXED BY {_LEADS[table]})"
                ).fetchone()
                if rows != entries:
                    raise damage(f"{rows} rows of {table}, and {entries} that its index leads to")
            self._led.add(table)

    def _mend(self, seen: int) -> bool:
        """Mend the file, unless that was done since it had been ``seen`` times, or lately.

        False if there is no hope that it helped.
        """
        if self.lease is NO_LEASE or self._inherited():
            return False
        with self._writing:
            if self._mends != seen:
                return True
            if time.monotonic() < self._next_mend:
                return False
            logger.error("%s is damaged and is mended; everybody who saves waits", self.location)
            self._last = None
            try:
                with translated(self.location, "mending"), self._readers.lend() as source:
                    mended = mend(self._writer, source, self._check_token)
                    with writing(self._writer):
                        if self._writer.execute("SELECT 1 FROM lease").fetchone() is None:
                            self._write_lease(self._writer, self.lease)
            except StoreError as error:
                logger.error("%s", error)  # noqa: TRY400 - the caller's error is the one to see
                return False
            finally:
                self._next_mend = time.monotonic() + MEND_SECONDS
            self._mends += 1
            logger.warning("%s: mended: %s", self.location, ", ".join(mended) or "nothing")
        return bool(mended)

    def _look_at_the_schema(self, connection: sqlite3.Connection, version: int) -> None:
        """Raise StoreUnavailable if somebody has added to the open file what acts on our tables."""
        try:
            schema.refuse_altered(connection, self.location)
        except CorruptState as error:
            raise StoreUnavailable(str(error)) from error
        self._schema = version

    def _check_token(self, connection: sqlite3.Connection) -> None:
        """Raise Fenced if another has taken the lease."""
        row = connection.execute("SELECT token FROM lease").fetchone()
        if row is not None and row[0] != self.lease.token:
            raise Fenced(self.location, token=self.lease.token, current=row[0])

    def _look_at_the_files(self) -> None:
        """Raise StoreUnavailable if the file is gone, or its log, which is begun anew then."""
        try:
            self._place.check_now_and_then()
        except LogLost as lost:
            self._rescue(lost)
            raise
        if self._rescued:
            self._begin_a_log()

    def _rescue(self, lost: LogLost) -> None:
        """Bring into the file what its lost log holds, which is still open here; begin a new log.

        Until that has been possible every save fails, and tries it again.
        """
        if not self._readers.empty():
            raise lost  # a reader holds the lost files open; a new log would stand beside theirs
        if not self._rescued:
            busy, *_ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise lost
            self._rescued = True
        self._begin_a_log()
        logger.error("%s; what was saved is in the file, and a new log is begun", lost)

    def _begin_a_log(self) -> None:
        self._writer.close()
        self._connect()
        schema.wait_for_locks(self._writer, schema.COMMIT_BUSY_SECONDS)
        self._readers.place = self._place
        self._rescued = False

    def _check_fence(self, connection: sqlite3.Connection) -> int:
        """Return the journal's last sequence; Fenced if the lease is not (or no longer) ours."""
        # Where nobody else has written since the last look there is nothing to compare. Besides, a
        # pragma within a query is compiled anew each time, and takes longer than all the rest.
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        seen = (version, self.lease.token)
        if self._last is not None and seen == self._seen:
            return self._last
        row = connection.execute(
            "SELECT token, (SELECT max(sequence) FROM journal),"
            " (SELECT schema_version FROM pragma_schema_version) FROM lease"
        ).fetchone()
        current, last, made = row or (1, 0, self._schema)
        if made != self._schema:
            self._look_at_the_schema(connection, made)
        if current != self.lease.token:
            raise Fenced(self.location, token=self.lease.token, current=current)
        self._last, self._seen = int(last or 0), seen
        return self._last


def _prepare(path: Path) -> None:
    """Make an empty file if there is none; refuse what cannot be a store without touching it."""
    with looking_at(path):
        in_folder, is_folder = path.parent.is_dir(), path.is_dir()
    if not in_folder:
        message = f"{path.parent} is not a directory; create it before opening {path.name}"
        raise StoreUnavailable(message)
    if is_folder:
        message = f"{path} is a directory; name a file in it"
        raise StoreUnavailable(message)
    try:
        # SQLite would make the file, too; least permission for one that holds people's data.
        if not path.exists():
            path.touch(mode=0o600)
        size = path.stat().st_size
    except OSError as error:
        advice = "" if error.errno in _OUT_OF_FILES else "; make its directory writable"
        message = f"{path} cannot be created: {error.strerror}{advice}"
        raise StoreUnavailable(message) from error
    refuse_two_names(path)
    refuse_inherited(path)
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
    if batch.deleted:
        deletion.delete(connection, batch.deleted, batch.last)
    if batch.agents:
        _write_state(connection, batch)
    if batch.journal:
        insert(connection, "INSERT INTO journal", batch.journal)
    if batch.passing:
        _write_passing(connection, batch)
    for table, places in batch.tables.items():
        tables.write(connection, table, places)
    if batch.replaced:
        texts.replace(connection, batch.replaced)
        deletion.copies(connection)
    if batch.deleted:
        deletion.erase(connection, batch.deleted, batch.last)  # behind the batch's own entries


def _write_passing(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write what comes and goes, and in one row that it did: for recoveries to a moment."""
    if row := posting(batch.commits):
        tables.write(connection, POSTINGS, {row[:1]: row})
    if batch.mail_gone or batch.mail:
        _write_mail(connection, batch)
    if batch.timers or batch.timers_gone:
        _write_timers(connection, batch)
    if batch.dead or batch.revived or batch.quarantined:
        _write_failures(connection, batch)


def _write_mail(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.mail_gone:
        delete(connection, "mailbox", ("id",), [(gone,) for gone in batch.mail_gone])
    if batch.mail:
        deletion.make_way(connection, batch.mail)
        mail = [(*message, of_record(message)) for message in batch.mail]
        insert(connection, "INSERT OR REPLACE INTO mailbox", mail)


def _write_timers(connection: sqlite3.Connection, batch: Batch) -> None:
    if batch.timers:
        timers = [(*timer, of_record(timer)) for timer in batch.timers]
        insert(connection, "INSERT OR REPLACE INTO timers", timers)
    if batch.timers_gone:
        delete(connection, "timers", ("kind", "key", "name"), batch.timers_gone)


def _write_failures(connection: sqlite3.Connection, batch: Batch) -> None:
    dead = [(*letter, of_record(letter)) for letter in batch.dead]
    insert(connection, "INSERT OR REPLACE INTO dead_letters", dead)
    delete(connection, "dead_letters", ("id",), [(gone,) for gone in batch.revived])
    insert(connection, "INSERT INTO quarantine", batch.quarantined)


def _write_state(connection: sqlite3.Connection, batch: Batch) -> None:
    for renaming in batch.renamed:
        connection.execute(
            "UPDATE agents SET kind = ? WHERE agent = ?", (renaming.becomes, renaming.agent)
        )
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
    if batch.fields:
        insert(connection, "INSERT INTO fields", batch.fields, f"ON CONFLICT {_UPSERT_VALUE}")
    if batch.truncated or batch.items or batch.entries or batch.removed:
        _write_collections(connection, batch)


def _write_collections(connection: sqlite3.Connection, batch: Batch) -> None:
    for (agent, field), length in batch.truncated.items():
        connection.execute(
            "DELETE FROM log_items WHERE agent = ? AND field = ? AND position >= ?",
            (agent, field, length),
        )
    # What a damaged row has left behind the end of a log is in nobody's way.
    insert(connection, "INSERT OR REPLACE INTO log_items", batch.items)
    insert(connection, "INSERT INTO map_entries", batch.entries, f"ON CONFLICT {_UPSERT_VALUE}")
    delete(connection, "map_entries", ("agent", "field", "entry"), batch.removed)
