"""``perdure growth``: what uses the space."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final, TypeAlias

from ...persistence.errors import ConfigurationError
from ...persistence.records.records import Disk, Growth
from ...url import open_reader
from ..terminal.listing import Lines, behind, refuse_times, show
from ..terminal.options import GrowthAction, Listing
from ..terminal.screen import ColumnStyle, Screen, print_json, working
from ..terminal.text import moment, size

Part: TypeAlias = dict[str, Any]
"""What takes the bytes, how many rows it has and how many bytes they are."""

JOURNAL: Final = "journal"
_PARTS: Final = {
    GrowthAction.FIELDS: ("kind", "field", "table"), GrowthAction.AGENTS: ("kind", "key"),
}  # fmt: skip
"""The lists, and what each is added up by."""


def show_growth(store: str, action: GrowthAction, listing: Listing) -> None:
    """Print the bytes of values by table, by field and by agent, and those of the files."""
    refuse_times(listing, "sizes", "by size, the largest first")
    with closing(open_reader(store)) as reader:
        with working("adding up"):
            rows = reader.growth()
        disk = reader.disk()
    report = summary(store, rows, disk)
    if action is not GrowthAction.REPORT:
        names, parts = _PARTS[action], report[action.value]
        lines = _lines(names, report["values"]["bytes"])
        show(behind(parts, listing, lines.place), listing, lines)
        return
    if listing.after is not None:
        message = "`growth report` has two lists: --after goes with `growth fields` and `agents`"
        raise ConfigurationError(message)
    if listing.json:
        print_json(report)
    else:
        _print(report, Screen(), listing.limit)


def summary(store: str, rows: list[Growth], disk: Disk) -> dict[str, Any]:
    """Return the report for programs; lists are largest first."""
    total = sum(row.size for row in rows)
    journal = [row for row in rows if row.table == JOURNAL]
    history = sum(row.size for row in journal)
    return {
        "store": store,
        "disk": {
            "file": disk.file, "log": disk.log, "page": disk.page, "pages": disk.pages,
            "free_pages": disk.free_pages, "free": disk.free_pages * disk.page,
            "deleted": disk.deleted, "copies": disk.copies,
        },
        "values": {"rows": sum(row.rows for row in rows), "bytes": total},
        "journal": {
            "rows": sum(row.rows for row in journal), "bytes": history,
            "share": history / total if total else 0.0,
        },
        **{what.value: _sums(rows, *names) for what, names in _PARTS.items()},
    }  # fmt: skip


def _sums(rows: Iterable[Growth], *names: str) -> list[Part]:
    """Add up the rows that agree in ``names``, largest sum first."""
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        place = sums[tuple(getattr(row, name) for name in names)]
        place[0] += row.rows
        place[1] += row.size
    largest = sorted(sums.items(), key=lambda item: (-item[1][1], item[0]))
    return [
        {**dict(zip(names, place, strict=True)), "rows": count, "bytes": total}
        for place, (count, total) in largest
    ]


def _print(report: dict[str, Any], screen: Screen, limit: int) -> None:
    disk, values, journal = report["disk"], report["values"], report["journal"]
    screen.table(
        [("", "word"), ("", "number"), ("", "word")],
        [
            ("file", size(disk["file"]), f"{disk['pages']:,} pages of {disk['page']:,} bytes"),
            ("free pages", size(disk["free"]), f"{disk['free_pages']:,} pages, used again first"),
            ("write-ahead log", size(disk["log"]), "given back at a checkpoint"),
            ("values", size(values["bytes"]), f"in {values['rows']:,} rows"),
            ("journal", size(journal["bytes"]), f"{journal['share']:.0%} of the values"),
        ],
        head=False,
    )
    if disk["deleted"]:
        screen.say(f"of {disk['deleted']:,} deleted agents something is still to be removed")
    if disk["copies"] is not None:
        since = moment(disk["copies"])
        screen.say(f"pages may hold copies of what was erased since {since}: see perdure rewrite")
    for what, names in _PARTS.items():
        parts, lines = report[what.value], _lines(names, values["bytes"])
        if parts:
            rest = f"{len(parts):,}, the largest {limit}:" if len(parts) > limit else len(parts)
            screen.title(what.value, rest)
            screen.table(lines.columns, [lines.cells(part) for part in parts[:limit]])


def _lines(names: tuple[str, ...], total: int) -> Lines[Part]:
    def cells(part: Part) -> tuple[object, ...]:
        share = part["bytes"] / (total or 1)
        named = (part[name] for name in names)
        return *named, f"{part['rows']:,}", size(part["bytes"]), f"{share:.1%}"

    columns: list[tuple[str, ColumnStyle]] = [(name.upper(), "name") for name in names]
    columns += [("ROWS", "number"), ("SIZE", "number"), ("SHARE", "number")]
    return Lines(
        columns=columns, cells=cells, record=dict,
        place=lambda part: "/".join(part[name] for name in names), none="the store is empty",
    )  # fmt: skip
