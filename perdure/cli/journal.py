"""``perdure journal``: the commits, oldest first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Final

from ..persistence.records.records import JournalEntry
from ..persistence.store.store import StoreReader
from ..url import open_reader
from .listing import tell_more
from .screen import ColumnStyle, Screen, print_json
from .text import moment
from .values import changes, parse

FOLLOW_SECONDS: Final = 0.25
"""A store has no way to tell another process of a commit, so following means to look again."""
_PAGE: Final = 500

COLUMNS: Final[list[tuple[str, ColumnStyle]]] = [
    ("SEQUENCE", "number"), ("TIME (UTC)", "word"), ("AGENT", "name"), ("HANDLED", "name"),
    ("CHANGES", "value"),
]  # fmt: skip


def show_journal(
    store: str,
    *,
    kind: str | None,
    key: str | None,
    after: int | None,
    limit: int,
    follow: bool,
    json: bool,
) -> None:
    """Print the newest commits, or those after a sequence, and with ``follow`` those to come."""
    with closing(open_reader(store)) as reader:
        found = reader.journal(kind, key, after=after, limit=limit + 1, newest=after is None)
        more, entries = len(found) > limit, found[:limit]
        if after is None:
            entries.reverse()
        widths = _print(entries, json=json)
        if follow:
            last = entries[-1].sequence if entries else after or 0
            for fresh in _following(reader, kind, key, last):
                _print_lines(fresh, widths, json=json)
        elif not entries and not json:
            Screen(error=True).say("no such commits in the journal")
        elif more:
            tell_more("a larger --limit" if after is None else f"--after {entries[-1].sequence}")


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


def _following(
    reader: StoreReader, kind: str | None, key: str | None, last: int
) -> Iterator[list[JournalEntry]]:
    while True:
        entries = reader.journal(kind, key, after=last, limit=_PAGE)
        if entries:
            last = entries[-1].sequence
            yield entries
        else:
            time.sleep(FOLLOW_SECONDS)


def _print(entries: list[JournalEntry], *, json: bool) -> list[int]:
    """Print a page; return how wide its columns are, for the lines that follow."""
    widths = [len(name) for name, _ in COLUMNS]
    if json:
        _print_lines(entries, widths, json=True)
    elif entries:
        rows = [row(entry) for entry in entries]
        Screen().table(COLUMNS, rows)
        widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
        widths = [max(width, len(name)) for width, (name, _) in zip(widths, COLUMNS, strict=True)]
    return widths


def _print_lines(entries: Iterable[JournalEntry], widths: list[int], *, json: bool) -> None:
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
            for cell, width, (_, style) in zip(cells, widths, COLUMNS, strict=True)
        ]
        screen.say("  ".join(padded))
    screen.console.file.flush()
