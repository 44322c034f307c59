"""Deleted agents in the file: their rows go, and with ``erase`` what the journal has of them.

The commit that deletes an agent takes its head, so nobody finds the rest any more. Where that is
much, it goes in slices behind the commit: a row of ``leftovers`` says what is left to be done, to
this owner or the next, and readers leave out what the journal still has of an erased agent.

Mail and keys have rows of their own: a later agent of that name has its own beside them. Old keys
were set before the deletion. Old mail has ids up to the highest there was; a message of the new
life may have got its id sooner: before it is written, the old ones go at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from ..errors import CorruptState
from ..records import postings
from ..records.checksums import intact_record, of_record
from ..records.journal import mark_of, without
from ..records.kinds import Name, names_of
from ..records.records import Deletion, Message
from ..records.shared_tables import ATTEMPTS, LEFTOVERS, POSTINGS
from . import tables
from .leaving import KEYS, Old, keys_of, mail_of
from .pool import fetch
from .tables import Fetch

_BY_NUMBER: Final = ("agents", "fields", "base_fields", "quarantine")
_BY_NAME: Final = ("timers", "dead_letters", ATTEMPTS.name)
_COLLECTIONS: Final = {"log_items": ("field", "position"), "map_entries": ("field", "entry")}
ROWS: Final = 500
"""Rows that go in one transaction; a smaller agent goes with the commit that deletes it."""
BYTES: Final = 1 << 20
"""Bytes of values after which a slice ends."""
ENTRIES: Final = 20_000
"""Entries of the journal that one look goes through."""
FEW: Final = 2000
"""Entries of a journal that the commit itself goes through."""


class Leftover(NamedTuple):
    """A row of ``leftovers``."""

    agent: int
    kind: str
    key: str
    erase: int
    upto: int
    last: int
    since: float

    @property
    def scope(self) -> tuple[str, str, str]:
        """The columns of its own scope."""
        return ("agent", self.kind, self.key)


class Entries(NamedTuple):
    """Entries of the journal that are to be erased, and up to where these are all."""

    sequences: Sequence[int]
    upto: int


Named: TypeAlias = tuple[Leftover, Sequence[Name]]
"""With the names that the agent had."""


def delete(connection: sqlite3.Connection, deletions: Sequence[Deletion], last: int) -> None:
    """Delete agents, with all that belongs to their names, and few rows or the first of many.

    What the journal has of them stays. ``last`` is the commit that deletes them, or a later one.
    """
    for deletion in deletions:
        for table in _BY_NUMBER:
            connection.execute(
                f"DELETE FROM {table} WHERE agent = ?",  # noqa: S608
                (deletion.agent,),
            )
        for table in _BY_NAME:
            connection.execute(
                f"DELETE FROM {table} WHERE kind = ? AND key = ?",  # noqa: S608
                (deletion.kind, deletion.key),
            )
        left = _left_by(deletion, last)
        if not _remove_rows(connection, deletion.agent):
            _leave(connection, left)
        query = "SELECT max(id) FROM mailbox WHERE kind = ? AND key = ?"
        highest = connection.execute(query, left.scope[1:]).fetchone()[0]
        if highest is not None:
            _begin(connection, left, mail_of(deletion, highest))
        query = "SELECT 1 FROM scoped WHERE kind = ? AND id = ? AND part = ? LIMIT 1"
        if connection.execute(query, left.scope).fetchone() is not None:
            _begin(connection, left, keys_of(deletion))


def _begin(connection: sqlite3.Connection, left: Leftover, old: Old) -> None:
    """Remove a slice of what an agent had beside its state; all for a name that had no number."""
    _leave(connection, left._replace(agent=old.agent, upto=old.upto))
    remove_old(connection, old, slices=left.agent > 0)


def erase(connection: sqlite3.Connection, deletions: Sequence[Deletion], last: int) -> None:
    """Take what erased agents and their scopes held out of the journal; its entries stay.

    Looks at every entry: those of others may have changed keys of the agent's own scope.
    """
    for deletion in deletions:
        if not deletion.erase:
            continue
        copies(connection)
        left = _left_by(deletion, last)
        first = connection.execute("SELECT min(sequence) FROM journal").fetchone()[0] or last
        entries = Entries((), 0)
        if last - first < FEW:
            entries = entries_to_erase(partial(fetch, connection), left)
            _erase(connection, left, entries)
        rows = connection.execute("SELECT 1 FROM leftovers WHERE agent = ?", left[:1]).fetchone()
        if rows or entries.upto < last:
            _leave(connection, left._replace(upto=entries.upto))


def to_erase(fetch: Fetch, left: Leftover) -> Entries:
    """Return the entries that the next slice erases: none before the agent's rows are gone."""
    for table in _COLLECTIONS:
        if fetch(f"SELECT 1 FROM {table} WHERE agent = ? LIMIT 1", (left.agent,)):  # noqa: S608
            return Entries((), left.upto)
    return entries_to_erase(fetch, left)


def entries_to_erase(fetch: Fetch, left: Leftover) -> Entries:
    """Return a slice of the entries that are to be erased; looks at many, without a transaction."""
    if not left.erase:
        return Entries((), left.last)
    (first,) = fetch("SELECT min(sequence) FROM journal", ())[0]
    after = max(left.upto, (first or left.last) - 1)
    until = min(left.last, after + ENTRIES)
    marks = [mark_of(each.scope) for each in names(fetch, left)]
    rows = fetch(
        "SELECT sequence, length(delta) FROM journal WHERE sequence > ? AND sequence <= ?"  # noqa: S608 - no values
        f" AND (agent = ?{' OR instr(delta, ?) > 0' * len(marks)}) ORDER BY sequence LIMIT ?",
        (after, until, left.agent, *marks, ROWS),
    )
    taken = _within([row[1] for row in rows])
    sequences = [int(row[0]) for row in rows[:taken]]
    whole = taken == len(rows) < ROWS
    return Entries(sequences, until if whole else sequences[-1])


def _within(sizes: Sequence[int | None]) -> int:
    """Return how many rows of some sizes make a slice; one at least."""
    total = 0
    for taken, size in enumerate(sizes, 1):
        total += size or 0
        if total >= BYTES:
            return taken
    return len(sizes)


def remove(connection: sqlite3.Connection, left: Leftover, entries: Entries) -> bool:
    """Remove a slice: of the agent's rows first, then of what the journal holds of it.

    Tells whether that was the last one.
    """
    if left.erase:
        copies(connection)
    if not _remove_rows(connection, left.agent):
        return False
    _erase(connection, left, entries)
    done = entries.upto >= left.last
    row = None if done else left._replace(upto=entries.upto)
    tables.write(connection, LEFTOVERS, {(left.agent,): row})
    return done


def old_ones(fetch: Fetch) -> list[Old]:
    """Return the deleted agents of which there are mail or keys to be removed."""
    rows = fetch("SELECT agent, kind, key, erase, upto FROM leftovers WHERE agent < 0", ())
    return [Old(*row) for row in rows]


def remove_old(connection: sqlite3.Connection, old: Old, *, slices: bool = True) -> bool:
    """Remove a slice of a deleted agent's mail or keys, or all; tell whether nothing is left."""
    if old.erase:
        copies(connection)
    given: list[object] = [old.kind, old.key, old.upto]
    condition = f"FROM {old.table} WHERE {old.whose}"
    if slices:
        place, held = old.columns
        rows = connection.execute(
            f"SELECT {place}, length({held}) {condition} ORDER BY {place} LIMIT ?", (*given, ROWS)
        ).fetchall()
        taken = _within([row[1] for row in rows])
        slices = taken == ROWS or taken < len(rows)
        if slices:
            condition += f" AND {place} <= ?"
            given.append(rows[taken - 1][0])
    connection.execute(f"DELETE {condition}", given)
    if not slices:
        tables.write(connection, LEFTOVERS, {(old.agent,): None})
    return not slices


def make_way(connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
    """Remove the old mail that new messages to the same names could not be told from."""
    for old in old_ones(partial(fetch, connection)):
        if old.agent > KEYS and any(
            (m.kind, m.key) == (old.kind, old.key) and m.id <= old.upto for m in messages
        ):
            remove_old(connection, old, slices=False)


def _left_by(deletion: Deletion, last: int) -> Leftover:
    agent, kind, key, erase, _ = deletion
    return Leftover(agent, kind, key, int(erase), 0, last, time.time())


def copies(connection: sqlite3.Connection) -> None:
    """Remember, in the transaction that makes them, that pages may hold copies of what is gone."""
    if connection.execute("SELECT 1 FROM leftovers WHERE agent = 0").fetchone() is None:
        _leave(connection, Leftover(0, "", "", 1, 0, 0, time.time()))


def no_copies(connection: sqlite3.Connection) -> None:
    """Take note that all pages were written anew."""
    tables.write(connection, LEFTOVERS, {(0,): None})


def hidden(left: Sequence[Named], agent: int, sequence: int, delta: str) -> str:
    """Return an entry's delta as it will be when all that is being erased is."""
    for each, known in left:
        own = each.agent == agent
        if each.erase and (own or any(mark_of(name.scope) in delta for name in known)):
            delta = without(delta, sequence, known, own=own)
    return delta


def names(fetch: Fetch, left: Leftover) -> list[Name]:
    """Return the names of an agent of which something is left."""
    try:
        return names_of(partial(tables.read, fetch), left.kind, left.key)
    except CorruptState:  # refused where an erasure begins; what is under way holds nobody up
        return [Name(left.kind, left.key, left.last)]


def _leave(connection: sqlite3.Connection, left: Leftover) -> None:
    tables.write(connection, LEFTOVERS, {(left.agent,): left})


def _remove_rows(connection: sqlite3.Connection, agent: int) -> bool:
    """Delete items and entries of an agent, up to some; tell whether none is left."""
    for table, (field, place) in _COLLECTIONS.items():
        rows = connection.execute(
            f"SELECT {field}, {place}, length(value) FROM {table} WHERE agent = ?"  # noqa: S608
            f" ORDER BY {field}, {place} LIMIT ?",
            (agent, ROWS),
        ).fetchall()
        taken = _within([row[2] for row in rows])
        if rows:
            connection.execute(
                f"DELETE FROM {table} WHERE agent = ? AND ({field}, {place}) <= (?, ?)",  # noqa: S608
                (agent, *rows[taken - 1][:2]),
            )
        if taken == ROWS or taken < len(rows):
            return False
    return True


def _erase(connection: sqlite3.Connection, left: Leftover, entries: Entries) -> None:
    known = names(partial(fetch, connection), left)
    _erase_postings(connection, left, known, entries.upto)
    for sequence in entries.sequences:
        row = connection.execute("SELECT * FROM journal WHERE sequence = ?", (sequence,)).fetchone()
        own = row is not None and row[1] == left.agent
        if row is None or not (own or intact_record(row)):
            continue  # trimmed meanwhile, or what it says is not known
        fresh = (*row[:9], without(row[9], sequence, known, own=own))
        connection.execute(
            "UPDATE journal SET delta = ?, crc = ? WHERE sequence = ?",
            (fresh[9], of_record(fresh), sequence),
        )


def _erase_postings(
    connection: sqlite3.Connection, left: Leftover, known: Sequence[Name], upto: int
) -> None:
    """Take what came and went of an agent out of the rows of the commits behind ``left.upto``."""
    rows = connection.execute(
        "SELECT * FROM postings WHERE sequence > ? AND first <= ?", (left.upto, upto)
    ).fetchall()
    for *row, crc in rows:
        whole = tuple(row)
        if not tables.intact(POSTINGS, (*whole, crc)):
            tables.write(connection, POSTINGS, {whole[:1]: None})  # what it says is not known
        elif (fresh := postings.without(whole, known)) is not None:
            tables.write(connection, POSTINGS, {whole[:1]: fresh})
