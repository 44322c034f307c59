"""``perdure doctor``: is everything in a store as it was written?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from operator import attrgetter
from typing import Any, Final

from ...persistence.errors import ConfigurationError
from ...persistence.upkeep.doctor import LeaseState, Report, examine
from ...persistence.upkeep.findings import NOTICES, RUNBOOK, Code, code_of, code_of_row, codes
from ...url import open_reader
from ..terminal.exits import ExitCode
from ..terminal.listing import Lines, refuse_times, show
from ..terminal.options import DoctorAction, Listing
from ..terminal.screen import Screen, print_json, working
from ..terminal.text import count, moment, size


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is damaged."""

    number: int
    """Its place among the findings, from 1 up."""
    code: str
    """The section of the runbook."""
    where: str
    """The table, or what else it is part of."""
    kind: str
    key: str
    what: str


def examine_store(store: str, action: DoctorAction, listing: Listing) -> ExitCode:
    """Examine every row of a store; PROBLEMS if something is damaged."""
    refuse_times(listing, "findings", "as they were found")
    if action is DoctorAction.REPORT and listing.after is not None:
        raise ConfigurationError("--after goes with `doctor findings`, the list of what is damaged")
    after = listing.number() or 0
    with closing(open_reader(store)) as reader, working("examining", total=1) as work:

        def progress(table: str, done: int, total: int) -> None:
            work.at(done, total, f"examining {table}")

        report = examine(reader, progress)
    if action is DoctorAction.FINDINGS:
        show(islice(findings(report), after, None), listing, _FINDINGS)
        unnamed = report.bad_rows - len(report.bad)
        if unnamed:
            Screen(error=True).say(f"{count(unnamed, 'bad row is', 'bad rows are')} only counted")
    elif listing.json:
        print_json(record(report))
    else:
        _print(report, Screen(), listing.limit)
    return ExitCode.DONE if report.healthy else ExitCode.PROBLEMS


def findings(report: Report) -> Iterator[Finding]:
    """Iterate over what is damaged, numbered: the file, the audit, then the rows."""
    file = [(code_of(complaint), "the file", "", "", complaint) for complaint in report.damage]
    audit = [
        (Code.AUDIT, "audit", "", "", f"row {n} {what}" if n else what) for n, what in report.audit
    ]
    if report.gone is not None:
        file.append((Code.GONE, "the file", "", "", str(report.gone)))
    rows = [(code_of_row(row), row.table, row.kind, row.key, row.place) for row in report.bad]
    for number, (code, *found) in enumerate([*file, *audit, *rows], 1):
        yield Finding(number, code.value, *found)


def record(report: Report) -> dict[str, Any]:
    """Return the report for programs."""
    return {"healthy": report.healthy, "codes": codes(report), **dataclasses.asdict(report)}


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
        sections = ", ".join(code for code in codes(report) if code not in NOTICES)
        screen.say(f"DAMAGED: what to do is in {RUNBOOK}: {sections}.", "bold red")


def _print_damage(report: Report, screen: Screen, limit: int) -> None:
    if report.damage:
        screen.title("the file", f"{len(report.damage):,} complaints of SQLite")
        for complaint in report.damage[:limit]:
            screen.say(f"  {complaint}")
    if report.gone is not None:
        screen.title("the witness", "the store went back in time")
        screen.say(f"  {report.gone}")
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


_FINDINGS: Final = Lines(
    columns=[
        ("NUMBER", "number"), ("CODE", "word"), ("WHERE", "word"), ("KIND", "name"),
        ("KEY", "name"), ("WHAT", "value"),
    ],
    cells=attrgetter("number", "code", "where", "kind", "key", "what"), record=dataclasses.asdict,
    place=attrgetter("number"), none="no such findings",
)  # fmt: skip
