"""``perdure agents``: every agent of a store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ..persistence.records.records import AgentRow
from ..persistence.store.store import StoreReader
from ..url import open_reader
from .census import everybody
from .listing import page, tell_more
from .screen import ColumnStyle, Screen, print_json, working

_STRIDE: Final = 1000
"""Agents read between two updates of the progress display."""


def list_agents(
    store: str, *, kind: str | None, status: str | None, after: str | None, limit: int, json: bool
) -> None:
    """Print the agents of a kind and status, up to ``limit`` of them."""
    with closing(open_reader(store)) as reader:
        behind = None if after is None else after.partition("/")[::2]
        rows = (
            row
            for row in _matching(reader, kind, status)
            if behind is None or (row.kind, row.key) > behind
        )
        if json:
            last = None
            for last in itertools.islice(rows, limit):
                print_json(record(last))
            more = last is not None and next(rows, None) is not None
        else:
            found, more = page(rows, limit)
            last = found[-1] if found else None
            _print(found)
    if more and last is not None:
        tell_more(f"--after {last.kind}/{last.key}")


def record(row: AgentRow) -> dict[str, object]:
    """Return an agent's head for programs."""
    return {
        "kind": row.kind, "key": row.key, "status": row.status, "reason": row.reason,
        "version": row.version, "sequence": row.sequence,
    }  # fmt: skip


def _matching(reader: StoreReader, kind: str | None, status: str | None) -> Iterator[AgentRow]:
    with working("looking through the agents") as progress:
        for number, row in enumerate(everybody(reader, kind), 1):
            if number % _STRIDE == 0:
                progress.at(number, what=f"looking through the agents: {number:,}")
            if status is None or row.status == status:
                yield row


def _print(rows: list[AgentRow]) -> None:
    if not rows:
        Screen(error=True).say("no such agents")
        return
    columns: list[tuple[str, ColumnStyle]] = [
        ("KIND", "name"), ("KEY", "name"), ("STATUS", "word"), ("VERSION", "number"),
        ("LAST COMMIT", "number"),
    ]  # fmt: skip
    cells = [[r.kind, r.key, r.status, r.version or "-", r.sequence or "never"] for r in rows]
    if any(row.reason for row in rows):
        columns.append(("REASON", "value"))
        cells = [[*cell, row.reason] for cell, row in zip(cells, rows, strict=True)]
    Screen().table(columns, cells)
