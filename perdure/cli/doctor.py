"""``perdure doctor``: is everything in a store as it was written?"""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import Any

from ..persistence.upkeep.doctor import LeaseState, Report, examine
from ..url import open_reader
from .exits import ExitCode
from .screen import Screen, print_json, working
from .text import moment, size


def examine_store(store: str, *, limit: int, json: bool) -> ExitCode:
    """Examine every row of a store; PROBLEMS if something is damaged."""
    with closing(open_reader(store)) as reader, working("examining", total=1) as work:

        def progress(table: str, done: int, total: int) -> None:
            work.at(done, total, f"examining {table}")

        report = examine(reader, progress)
    if json:
        print_json(record(report))
    else:
        _print(report, Screen(), limit)
    return ExitCode.DONE if report.healthy else ExitCode.PROBLEMS


def record(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    return {"healthy": report.healthy, **dataclasses.asdict(report)}


def _print(report: Report, screen: Screen, limit: int) -> None:
    rows = sum(report.counts.values())
    orphans = {table: count for table, count in report.orphans.items() if count}
    pairs: list[tuple[object, object]] = [
        ("store", report.location),
        ("examined", f"{rows:,} rows in {report.seconds:.1f} s"),
        ("file", f"{size(report.file_bytes)}, write-ahead log {size(report.wal_bytes)}"),
        ("journal", f"sequences {report.journal_first:,} to {report.journal_last:,}"),
        ("owner", _owner(report.lease)),
        ("SQLite", report.sqlite_version + _advice(wal_bug=report.wal_bug)),
    ]  # fmt: skip
    pairs += [(name, f"{count:,}") for name, count in report.counts.items() if count]
    pairs += [("orphans", f"{count:,} in {table}") for table, count in orphans.items()]
    screen.table([("", "word"), ("", "name")], pairs, head=False)
    _print_damage(report, screen, limit)
    screen.say()
    if report.healthy:
        screen.say("Healthy: every checksum matches.", "bold green")
    else:
        advice = (
            "a system builds damaged pages and indexes again when it meets them, and agents fall"
            " back on the journal where it holds a copy; else restore a backup."
        )
        screen.say(f"DAMAGED: {advice}", "bold red")


def _print_damage(report: Report, screen: Screen, limit: int) -> None:
    if report.damage:
        screen.title("the file", f"{len(report.damage):,} complaints of SQLite")
        for complaint in report.damage[:limit]:
            screen.say(f"  {complaint}")
    if report.audit:
        screen.title("the audit", f"{len(report.audit):,} faults")
        for number, what in report.audit[:limit]:
            screen.say(f"  row {number} {what}" if number else f"  {what}")
    if report.bad:
        screen.title("checksums that do not match", f"{report.bad_rows:,}")
        screen.table(
            [("TABLE", "word"), ("KIND", "name"), ("KEY", "name"), ("PLACE", "name")],
            [(row.table, row.kind, row.key, row.place) for row in report.bad[:limit]],
        )


def _owner(lease: LeaseState | None) -> str:
    if lease is None:
        return "never had one"
    who = f"process {lease.owner.pid} on {lease.owner.host}, started {lease.owner.started}"
    if lease.alive:
        return who
    return f"none; the last was {who}" + (
        "" if lease.released else f", and ended without a goodbye after {moment(lease.renewed)} UTC"
    )


def _advice(*, wal_bug: bool) -> str:
    if not wal_bug:
        return ""
    return ": other programs must not write to the file (its WAL bug is mended in 3.51.3)"
