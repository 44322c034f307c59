"""``perdure journal``: the commits, oldest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from operator import attrgetter
from typing import Final

from ...persistence.errors import ConfigurationError
from ...persistence.records.records import JournalEntry
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.listing import Lines, show
from ..terminal.options import Listing
from ..terminal.screen import Screen, print_json
from ..terminal.text import moment
from ..terminal.values import changes, parse
from .census import AgentFilter

FOLLOW_SECONDS: Final = 0.25
"""A store has no way to tell another process of a commit, so following means to look again."""
_PAGE: Final = 500


def show_journal(store: str, wanted: AgentFilter, listing: Listing, *, follow: bool) -> None:
    """Print a page of the commits, and with ``follow`` those to come."""
    if follow and listing.newest:
        raise ConfigurationError("--follow goes on at the end of the journal: leave out --newest")
    after = listing.number()
    tail = after is None and listing.newest is None
    with closing(open_reader(store)) as reader:
        # A page that is full is told of more; who follows is shown them.
        found = reader.journal(
            *wanted.name, after=after, limit=listing.limit + (not follow),
            newest=tail or bool(listing.newest),
        )  # fmt: skip
        quiet = follow and not found
        shown = [] if quiet else show(found, listing, LINES, tail=tail)
        if follow:
            sys.stdout.flush()
            widths = _widths(shown)
            last = max((entry.sequence for entry in found), default=after or 0)
            for fresh in _following(reader, wanted, last):
                print_lines(fresh, widths, json=listing.json)


def record(entry: JournalEntry) -> dict[str, object]:
    """Return a commit for programs."""
    return {**entry._asdict(), "delta": parse(entry.delta, _where(entry))}


def row(entry: JournalEntry) -> tuple[object, ...]:
    """Return a commit for people."""
    what = changes(parse(entry.delta, _where(entry)))
    agent = f"{entry.kind}/{entry.key}" if entry.kind else ""
    return entry.sequence, moment(entry.time), agent, entry.name or "on_receive", what


def _where(entry: JournalEntry) -> str:
    return f"journal entry {entry.sequence} of {entry.kind}/{entry.key}"


def _following(reader: StoreReader, wanted: AgentFilter, last: int) -> Iterator[list[JournalEntry]]:
    while True:
        entries = reader.journal(*wanted.name, after=last, limit=_PAGE)
        if entries:
            last = entries[-1].sequence
            yield entries
        else:
            time.sleep(FOLLOW_SECONDS)


def _widths(page: Sequence[JournalEntry]) -> list[int]:
    """Return how wide the columns of a page were printed, for the lines that follow."""
    rows = [[name for name, _ in LINES.columns], *map(row, page)]
    return [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]


def print_lines(entries: Iterable[JournalEntry], widths: list[int], *, json: bool) -> None:
    """Print without a heading, and let it out at once: somebody may be reading along.

    Each column is as wide as it was, and grows for good when something wider comes.
    """
    screen = Screen()
    for entry in entries:
        if json:
            print_json(record(entry))
            continue
        cells = [str(cell) for cell in row(entry)]
        widths[:] = [max(width, len(cell)) for width, cell in zip(widths, cells, strict=True)]
        widths[-1] = 0  # nothing stands behind the last
        padded = [
            cell.rjust(width) if style == "number" else cell.ljust(width)
            for cell, width, (_, style) in zip(cells, widths, LINES.columns, strict=True)
        ]
        screen.say("  ".join(padded))
    screen.console.file.flush()


LINES: Final = Lines(
    columns=[
        ("SEQUENCE", "number"), ("TIME (UTC)", "word"), ("AGENT", "name"), ("HANDLED", "name"),
        ("CHANGES", "value"),
    ],
    cells=row, record=record, place=attrgetter("sequence"), none="no such commits in the journal",
)  # fmt: skip
