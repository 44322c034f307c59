"""Mend a damaged file while it is open: indexes and tables are built again from what can be read.

Nothing is rebuilt in its old place, which may be what is damaged: a table is copied to new pages,
the schema is led to them, and the old pages are given up. What a row says is not judged here, its
checksum does that when it is read.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..records.records import AgentRow
from . import schema
from .formats import definitions_in
from .insert import insert
from .pool import tolerant
from .recall import names_of_agents, restore_entries, restore_heads
from .salvage import Gap, Row, Salvage
from .transaction import writing

logger = logging.getLogger("perdure.persistence")

_NEW: Final = "perdure_mended"
_ORDER: Final = {"quarantine": 0, "agents": 2}
"""What was lost is noted in the quarantine, and heads are made from what the others hold."""
Check = Callable[[sqlite3.Connection], object]
Note = tuple[str, str, str]
"""The place, what could be read of it, and the reason."""


def mend(connection: sqlite3.Connection, source: sqlite3.Connection, check: Check) -> list[str]:
    """Build again what is damaged; return what that was, nothing if the file is sound.

    Damaged tables are read through ``source``: a connection that has met damage in a transaction
    writes no more in it.
    ``check`` raises in a transaction whose owner has lost the store. What is lost for good is
    noted in the quarantine, under agent 0.
    """
    mended: list[str] = []
    with tolerant(source), _undefended(connection):
        definitions = definitions_in(connection, schema.definitions())
        tables = [name for name, sql in definitions.items() if sql.startswith("CREATE TABLE")]
        for table in sorted(tables, key=lambda name: _ORDER.get(name, 1)):
            if _sound(connection, table):
                continue
            if not _reindexed(connection, table, check):
                with writing(connection):
                    check(connection)
                    _note(connection, _rebuilt(connection, source, table, definitions[table]))
            mended.append(table)
        if not _sound(connection) and vacuumed(connection):
            mended.append("free pages")
    return mended


@contextlib.contextmanager
def _undefended(connection: sqlite3.Connection) -> Iterator[None]:
    """Allow the block to write into the schema."""
    schema.defend(connection, on=False)
    connection.execute("PRAGMA writable_schema = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA writable_schema = OFF")
        schema.defend(connection, on=True)


def _sound(connection: sqlite3.Connection, table: str = "") -> bool:
    """Ask SQLite about a table with its indexes, or about the whole file."""
    query = f"PRAGMA integrity_check({table})" if table else "PRAGMA integrity_check"
    try:
        return connection.execute(query).fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False


def vacuumed(connection: sqlite3.Connection) -> bool:
    """Copy everything to pages in order; False where a table of somebody else is damaged."""
    # In a file, not in memory: it is a copy of the whole store.
    connection.execute("PRAGMA temp_store = FILE")
    try:
        connection.execute("VACUUM")
    except sqlite3.DatabaseError as error:
        logger.warning("the pages of the file cannot be put in order: %s", error)
        return False
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")
    return True


def _reindexed(connection: sqlite3.Connection, table: str, check: Check) -> bool:
    """Build the indexes of a table again, which is all there is to do if the table is sound."""
    try:
        with writing(connection):
            check(connection)
            connection.execute(f"REINDEX {table}")
    except sqlite3.DatabaseError:
        return False
    return _sound(connection, table)


def _rebuilt(
    connection: sqlite3.Connection, source: sqlite3.Connection, table: str, definition: str
) -> list[Note]:
    """Copy a table to new pages, as far as it can be read; return what could not be kept."""
    names = names_of_agents(source) if table == "agents" else []
    connection.execute(definition.replace(table, _NEW, 1))
    columns = [(name, key) for _, name, _, _, _, key in
               connection.execute(f"PRAGMA table_info({_NEW})").fetchall()]  # fmt: skip
    key = [name for name, place in sorted(columns, key=lambda column: column[1]) if place]
    marks = ", ".join("?" * len(columns))
    notes: list[Note] = []

    def take(rows: list[Row]) -> None:
        for row in rows:
            added = connection.execute(
                f"INSERT OR IGNORE INTO {_NEW} VALUES ({marks})",  # noqa: S608
                row,
            )
            if added.rowcount != 1:
                notes.append((table, repr(row), "its place is taken, or its values are no row's"))

    gap = Salvage(source, table, key or ["rowid"], take).run()
    if gap is not None:
        notes.append((_between(table, gap), "", "a page of the file cannot be read"))
        if table == "map_entries":
            restore_entries(connection, _NEW, gap)
    _lead_to_new_pages(connection, table)
    restore_heads(connection, names)
    return notes


def _between(table: str, gap: Gap) -> str:
    after, before = ("/".join(map(str, key)) if key else "" for key in (gap.after, gap.before))
    return f"{table} between {after or 'the first'} and {before or 'the last'}"


def _lead_to_new_pages(connection: sqlite3.Connection, table: str) -> None:
    """Exchange the pages of a table for those of its copy, and build its indexes on them."""
    indexes = [sql for (sql,) in connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table,),
    )]  # fmt: skip
    made = "SELECT name, rootpage FROM sqlite_schema WHERE tbl_name = ?"
    for name, page in connection.execute(made, (_NEW,)).fetchall():
        connection.execute(
            "UPDATE sqlite_schema SET rootpage = ? WHERE name = ?",
            (page, name.replace(_NEW, table)),
        )
    connection.execute("DELETE FROM sqlite_schema WHERE tbl_name = ?", (_NEW,))
    connection.execute(
        "DELETE FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table,),
    )
    connection.execute("PRAGMA writable_schema = RESET")
    for sql in indexes:
        connection.execute(sql)
    connection.execute("PRAGMA writable_schema = ON")


def _note(connection: sqlite3.Connection, notes: list[Note]) -> None:
    now = time.time()
    for note in notes:
        logger.error("%s: %s; what is left of it is kept in quarantine", note[0], note[2])
    insert(connection, "INSERT INTO quarantine", [(0, *note, now) for note in notes])


def make_room(connection: sqlite3.Connection, heads: Sequence[AgentRow]) -> None:
    """Set aside heads that an index had lost, where other agents have begun in their places."""
    for head in heads:
        other = (head.kind, head.key, head.agent)
        where = "kind = ? AND key = ? AND agent <> ?"
        rows = connection.execute(f"SELECT * FROM agents WHERE {where}", other).fetchall()  # noqa: S608
        if rows:
            connection.execute(f"DELETE FROM agents WHERE {where}", other)  # noqa: S608
            reason = "the index had lost it, and an agent began anew in its place"
            _note(connection, [(f"{head.kind}/{head.key}", repr(row), reason) for row in rows])
