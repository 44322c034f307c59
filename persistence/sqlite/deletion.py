"""Deleted agents in the file: their rows go, and with ``erase`` what the journal has of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ..records.checksums import intact_record, of_record
from ..records.journal import mark_of, without
from ..records.records import Deletion
from ..records.shared_tables import ATTEMPTS

_BY_NUMBER: Final = ("agents", "fields", "log_items", "map_entries", "base_fields", "quarantine")
_BY_NAME: Final = ("mailbox", "timers", "dead_letters", ATTEMPTS.name)


def delete(connection: sqlite3.Connection, deletions: Sequence[Deletion]) -> None:
    """Delete the rows of agents; what the journal has of them stays."""
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


def erase(connection: sqlite3.Connection, deletions: Sequence[Deletion]) -> None:
    """Take what erased agents and their scopes held out of the journal; its entries stay.

    Looks at every entry: those of others may have changed keys of the agent's own scope.
    """
    for deletion in deletions:
        if not deletion.erase:
            continue
        scope = ("agent", deletion.kind, deletion.key)
        rows = connection.execute(
            "SELECT * FROM journal WHERE agent = ? OR instr(delta, ?) > 0",
            (deletion.agent, mark_of(scope)),
        ).fetchall()
        for row in rows:
            own = row[1] == deletion.agent
            if not own and not intact_record(row):
                continue  # what it says is not known
            fresh = (*row[:9], without(row[9], scope, own=own))
            connection.execute(
                "UPDATE journal SET delta = ?, crc = ? WHERE sequence = ?",
                (fresh[9], of_record(fresh), row[0]),
            )
