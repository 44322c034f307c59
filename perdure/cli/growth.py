"""``perdure growth``: what uses the space."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from ..persistence.records.records import Disk, Growth
from ..url import open_reader
from .screen import Screen, print_json, working
from .text import size

JOURNAL = "journal"


def show_growth(store: str, *, limit: int, json: bool) -> None:
    """Print the bytes of values by table, by field and by agent, and those of the files."""
    with closing(open_reader(store)) as reader:
        with working("adding up"):
            rows = reader.growth()
        disk = reader.disk()
    report = summary(store, rows, disk)
    if json:
        print_json(report)
    else:
        _print(report, Screen(), limit)


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
        },
        "values": {"rows": sum(row.rows for row in rows), "bytes": total},
        "journal": {
            "rows": sum(row.rows for row in journal), "bytes": history,
            "share": history / total if total else 0.0,
        },
        "fields": _sums(rows, "kind", "field", "table"),
        "agents": _sums(rows, "kind", "key"),
    }  # fmt: skip


def _sums(rows: Iterable[Growth], *names: str) -> list[dict[str, Any]]:
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
    total = values["bytes"] or 1
    for what, names in (("fields", ("kind", "field", "table")), ("agents", ("kind", "key"))):
        _print_part(what, names, report[what], total=total, screen=screen, limit=limit)


def _print_part(
    what: str,
    names: tuple[str, ...],
    parts: list[dict[str, Any]],
    *,
    total: int,
    screen: Screen,
    limit: int,
) -> None:
    if not parts:
        return
    rest = f"{len(parts):,}, the largest {limit}:" if len(parts) > limit else len(parts)
    screen.title(what, rest)
    screen.table(
        [
            *((name.upper(), "name") for name in names),
            ("ROWS", "number"), ("SIZE", "number"), ("SHARE", "number"),
        ],
        [
            (*(part[name] for name in names), f"{part['rows']:,}", size(part["bytes"]),
             f"{part['bytes'] / total:.1%}")
            for part in parts[:limit]
        ],
    )  # fmt: skip
