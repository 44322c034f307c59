"""``perdure agents``: every agent of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from ...persistence.records.records import AgentRow
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.listing import Lines, latest, show
from ..terminal.options import Listing
from ..terminal.screen import working
from .census import AgentFilter, everybody, newcomer

_STRIDE: Final = 1000
"""Agents read between two updates of the progress display."""


def list_agents(store: str, wanted: AgentFilter, listing: Listing) -> None:
    """Print a page of the agents that are wanted."""
    with closing(open_reader(store)) as reader:
        show(_found(reader, wanted, listing), listing, LINES)


def record(row: AgentRow) -> dict[str, object]:
    """Return an agent's head for programs."""
    return {
        "kind": row.kind, "key": row.key, "status": row.status, "reason": row.reason,
        "version": row.version, "sequence": row.sequence,
    }  # fmt: skip


def _found(reader: StoreReader, wanted: AgentFilter, listing: Listing) -> Iterable[AgentRow]:
    behind = None if listing.after is None else listing.after.partition("/")[::2]
    rows = _matching(reader, wanted)
    if not listing.newest:
        return (row for row in rows if behind is None or (row.kind, row.key) > behind)
    if behind is None:
        return latest(rows, listing, _committed, None)
    stored = reader.load(*behind)
    last = newcomer(*behind) if stored is None else stored.head
    return latest(rows, listing, _committed, _committed(last))


def _matching(reader: StoreReader, wanted: AgentFilter) -> Iterator[AgentRow]:
    with working("looking through the agents") as progress:
        for number, row in enumerate(everybody(reader, wanted.kind), 1):
            if number % _STRIDE == 0:
                progress.at(number, what=f"looking through the agents: {number:,}")
            if wanted.fits(row):
                yield row


def _committed(row: AgentRow) -> tuple[int, str, str]:
    return row.sequence, row.kind, row.key


def _cells(row: AgentRow) -> tuple[object, ...]:
    version, sequence = row.version or "-", row.sequence or "never"
    return row.kind, row.key, row.status, version, sequence, row.reason


def _place(row: AgentRow) -> str:
    return f"{row.kind}/{row.key}"


LINES: Final = Lines(
    columns=[
        ("KIND", "name"), ("KEY", "name"), ("STATUS", "word"), ("VERSION", "number"),
        ("LAST COMMIT", "number"), ("REASON", "value"),
    ],
    cells=_cells, record=record, place=_place, none="no such agents", spare=True,
)  # fmt: skip
