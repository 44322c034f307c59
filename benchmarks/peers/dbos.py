"""DBOS: a workflow of one step for each turn, on SQLite.

Set-up: a SQLite system database as its documentation describes (``system_database_url =
sqlite:///...``). A workflow that is called returns after three transactions: its start, the output
of its step, its end. DBOS leaves the journal mode alone, so there are two set-ups, both with
SQLite's default ``synchronous=FULL``:

- ``delete``: what one gets, a rollback journal; twelve flushes for each workflow.
- ``wal``: the same file switched to the write-ahead log before DBOS opens it (the mode is a
  property of the file); three flushes for each workflow. DBOS does not document this; it is
  correct, two to three times as fast, and so what the row is judged against.

DBOS can enqueue workflows in batches, but each workflow still records its step and its end in
transactions of its own. Eight callers were slower than one, since SQLite has one writer. The admin
server and telemetry are off, the log is at its quietest.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from dbos import DBOS, DBOSConfig

from ..workload import AGENTS, burner, closed_loop, owner

_open: list[int] = [0] * AGENTS


@DBOS.step()
def assign(desk: int, owner: str) -> tuple[int, str]:
    """Take an assignment; the result is what DBOS makes durable."""
    _open[desk] += 1
    return _open[desk], owner


@DBOS.workflow()
def work(desk: int, owner: str) -> tuple[int, str]:
    """Run the one step."""
    result: tuple[int, str] = assign(desk, owner)
    return result


def turns(
    folder: Path, *, seconds: float, journal: Literal["wal", "delete"], burning: bool = False
) -> dict[str, float]:
    """Call the workflow once for each turn."""
    path = folder / "system.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.close()
    config: DBOSConfig = {
        "name": "benchmark",
        "system_database_url": f"sqlite:///{path}",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        with burner(on=burning):
            return closed_loop(lambda number: work(number % AGENTS, owner(number)), seconds)
    finally:
        DBOS.destroy()
