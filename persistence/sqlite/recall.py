"""What the journal, and an index, know of rows that are lost with a page of the file."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from ..records.checksums import intact_record, of_entry, of_record
from ..records.journal import read_delta
from .insert import insert
from .salvage import Gap, Row

logger = logging.getLogger("perdure.persistence")

_STEPS: Final = {
    "(pause)": "paused", "(resume)": "active", "(stop)": "stopped", "(start)": "active",
    "(restart)": "active", "(quarantine)": "quarantined",
}  # fmt: skip
"""What the journal calls the steps that change a status, and the status afterwards."""


def names_of_agents(connection: sqlite3.Connection) -> list[Row]:
    """Return kind, key and number of agents from the index by name, which holds all three."""
    names: list[Row] = []
    try:
        names += connection.execute(
            "SELECT kind, key, agent FROM agents INDEXED BY sqlite_autoindex_agents_1"
        )
    except sqlite3.DatabaseError as error:
        logger.warning("the index of agents by name is damaged as well: %s", error)
    return names


def restore_heads(connection: sqlite3.Connection, names: list[Row]) -> None:
    """Make the heads that are lost from the journal, which knows version, sequence and status.

    Of an agent that the journal does not know, nothing is: its head gets a checksum that is wrong,
    so that it is given up and does not begin anew.
    """
    if not names:
        return
    there = {agent for (agent,) in connection.execute("SELECT agent FROM agents")}
    latest = {agent: (version, sequence) for agent, version, sequence in connection.execute(
        "SELECT agent, version, max(sequence) FROM journal GROUP BY agent"
    )}  # fmt: skip
    marks = ", ".join("?" * len(_STEPS))
    steps = dict(connection.execute(
        "SELECT agent, name FROM (SELECT agent, name, max(sequence) FROM journal"  # noqa: S608
        f" WHERE name IN ({marks}) GROUP BY agent)", tuple(_STEPS),
    ).fetchall())  # fmt: skip
    heads: list[Row] = []
    for kind, key, agent in names:
        if agent not in there:
            version, sequence = latest.get(agent, (0, 0))
            status = _STEPS[steps[agent]] if agent in steps else "active"
            head = (agent, kind, key, version, sequence, status, "")
            heads.append((*head, of_record(head) if agent in latest else -1, None, None))
    insert(connection, "INSERT OR IGNORE INTO agents", heads)


def restore_entries(connection: sqlite3.Connection, table: str, gap: Gap) -> None:
    """Put map entries into ``table`` again that the journal holds, of the agents in a gap."""
    first = gap.after[0] if gap.after else -(2**63)
    last = gap.before[0] if gap.before else 2**63 - 1
    latest: dict[tuple[int, str, str | int], str | None] = {}
    for row in connection.execute(
        "SELECT * FROM journal WHERE agent BETWEEN ? AND ? ORDER BY sequence", (first, last)
    ):
        if not intact_record(row):
            continue
        agent, delta = row[1], read_delta(row[9])
        for name, keys in delta.delete.items():
            latest.update(((agent, name, key), None) for key in keys)
        for name, puts in delta.put.items():
            latest.update(((agent, name, key), bytes(text).decode()) for key, text in puts)
    entries = [
        (*place, text, of_entry(*place, text)) for place, text in latest.items() if text is not None
    ]
    insert(connection, f"INSERT OR IGNORE INTO {table}", entries)
