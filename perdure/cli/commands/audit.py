"""``perdure audit``: decisions about access, whether their chain is whole, and its head."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from operator import attrgetter
from typing import Final

from ...persistence.audit.entries import SEALED, AuditEntry, Filter, entries
from ...persistence.audit.succession import sealing
from ...persistence.audit.verification import AuditReport, verify
from ...persistence.errors import ConfigurationError, ScopeError
from ...persistence.names.scope import Principal, Scope
from ...persistence.secrets.keys import KeyProvider
from ...persistence.store.batch import Batch
from ...persistence.store.lease import Owner
from ...shared.access.audit import head_of
from ...url import open_reader, open_store
from ..terminal.exits import ExitCode
from ..terminal.listing import Lines, show
from ..terminal.options import AuditAction, Listing
from ..terminal.screen import Screen, print_json
from ..terminal.text import count, moment
from .keys import provider_of

OUTCOMES: Final = ("allowed", "refused", "undone", SEALED)
"""Of decisions, and of the rows that say which key holds."""


@dataclasses.dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the options of ``list`` say."""

    who: str | None
    scope: str | None
    outcome: str | None
    operation: str | None
    correlation: int | None


def handle(
    store: str,
    action: AuditAction,
    wanted: AuditFilter,
    listing: Listing,
    *,
    keys: str | None,
    head: str | None,
) -> ExitCode:
    """Do what was asked for."""
    json = listing.json
    if action is AuditAction.LIST:
        _list(store, wanted, listing)
        return ExitCode.DONE
    if action is AuditAction.HEAD:
        _head(store, json=json)
        return ExitCode.DONE
    provider = None if keys is None else provider_of(keys)
    if action is AuditAction.SEAL:
        _seal(store, provider, json=json)
        return ExitCode.DONE
    return _verify(store, provider, head, json=json)


def _list(store: str, wanted: AuditFilter, listing: Listing) -> None:
    chosen, after = _filter(wanted), listing.number()
    tail = after is None and listing.newest is None
    with closing(open_reader(store)) as reader:
        newest = tail or bool(listing.newest)
        show(entries(reader, chosen, after=after, newest=newest), listing, _LINES, tail=tail)


def record(entry: AuditEntry) -> dict[str, object]:
    """Return a decision for programs."""
    values = {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry)}
    return {**values, "who": str(entry.who), "scope": str(entry.scope)}


def _row(entry: AuditEntry) -> tuple[object, ...]:
    operation = entry.operation if entry.times == 1 else f"{entry.operation} ({entry.times}x)"
    return (
        entry.number, moment(entry.time), entry.outcome, entry.who, operation, entry.scope,
        entry.key, entry.reason,
    )  # fmt: skip


def _filter(wanted: AuditFilter) -> Filter:
    try:
        who = None if wanted.who is None else Principal.parse(wanted.who)
        scope = None if wanted.scope is None else Scope.parse(wanted.scope)
    except ScopeError as error:
        raise ConfigurationError(str(error)) from None
    if wanted.outcome is not None and wanted.outcome not in OUTCOMES:
        message = f"--outcome {wanted.outcome!r:.40} is none; use {', '.join(OUTCOMES)}"
        raise ConfigurationError(message)
    return Filter(who, scope, wanted.outcome, wanted.operation, wanted.correlation)


def _head(store: str, *, json: bool) -> None:
    with closing(open_reader(store)) as reader:
        head = head_of(reader)
    if json:
        print_json({"head": head})
    else:
        Screen().say(head)


def _seal(url: str, keys: KeyProvider | None, *, json: bool) -> None:
    if keys is None:
        message = "`audit seal` needs --keys: a file, env:VARIABLE or keyring:SERVICE"
        raise ConfigurationError(message)
    open_reader(url).close()  # opening for writing would make a store where there is none
    with closing(open_store(url, sync="power")) as store:
        counters = store.acquire(Owner.this_process())
        commit = sealing(store, keys, time.time())
        if commit is not None:
            commit.sequence = counters.sequence + 1
            store.commit(Batch([commit], counters.chain))
        head = head_of(store)
    if json:
        print_json({"sealed": commit is not None, "key": keys.current(), "head": head})
    elif commit is None:
        Screen(error=True).say(f"the key {keys.current()} holds already")
    else:
        Screen().say(f"The key {keys.current()} holds from here on.")
        Screen().say(f"head {head}")


def _verify(store: str, keys: KeyProvider | None, head: str | None, *, json: bool) -> ExitCode:
    with closing(open_reader(store)) as reader:
        report = verify(reader, keys, head)
    if json:
        faults = [fault._asdict() for fault in report.faults]
        values = {f.name: getattr(report, f.name) for f in dataclasses.fields(report)}
        print_json({"intact": report.intact, **values, "faults": faults})
    else:
        _tell(report)
    return ExitCode.DONE if report.intact else ExitCode.PROBLEMS


def _tell(report: AuditReport) -> None:
    screen = Screen()
    for number, what in report.faults:
        screen.say(f"row {number} {what}" if number else what, "bold red")
    rows = count(report.rows, "decision", "decisions")
    if report.unchecked:
        some = count(report.unchecked, "decision is", "decisions are")
        screen.say(
            f"NOT VERIFIED: {some} sealed with a key that was not given, and checked for order and"
            " checksum only; use --keys.",
            "bold red",
        )
    if report.intact:
        screen.say(f"Intact: {rows}, {report.first} to {report.last}.", "bold green")
    elif report.faults:
        screen.say(f"NOT INTACT: {count(len(report.faults), 'fault', 'faults')} in {rows}.")
    screen.say(f"head {report.head}")


_LINES: Final = Lines(
    columns=[
        ("NUMBER", "number"), ("TIME (UTC)", "word"), ("OUTCOME", "word"), ("WHO", "name"),
        ("OPERATION", "name"), ("SCOPE", "name"), ("KEY", "name"), ("WHY", "name"),
    ],
    cells=_row, record=record, place=attrgetter("number"),
    none="no such decisions in the audit",
)  # fmt: skip
