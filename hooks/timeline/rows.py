"""Rows of a store as events."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...persistence.audit.entries import AuditEntry
from ...persistence.records.records import NOT_KNOWN, DeadLetter, JournalEntry
from ...persistence.records.shared_tables import ARTIFACTS
from ...persistence.secrets.masking import masked
from ..history.record import HookRecord
from .event import Event
from .kinds import EventKind

_rows: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_tables: Final = msgspec.json.Decoder(dict[str, list[msgspec.Raw]]).decode
_row: Final = msgspec.json.Decoder(list[Any]).decode


def events_of(entry: JournalEntry, unknown: int) -> list[Event]:
    """Return a commit, and the artifacts that it made."""
    return [turn_of(entry, unknown), *artifacts_of(entry)]


def turn_of(entry: JournalEntry, unknown: int) -> Event:
    """Return a commit as an event; up to the commit ``unknown`` its cause is not known."""
    cause = entry.cause if entry.sequence > unknown else NOT_KNOWN
    return Event(
        entry.sequence, EventKind.TURN, 0, entry.kind, entry.key, entry.name or "on_receive",
        entry.time, entry.message, cause, entry.correlation, masked(entry.delta),
    )  # fmt: skip


def artifacts_of(entry: JournalEntry) -> list[Event]:
    """Return the artifacts a commit made."""
    if '"artifacts":[' not in entry.delta:
        return []
    try:
        rows = _tables(_rows(entry.delta)["rows"]).get(ARTIFACTS.name, [])
        found = [dict(zip(ARTIFACTS.names, _row(raw), strict=True)) for raw in rows]
    except (msgspec.DecodeError, KeyError, ValueError):
        return []  # the text stood in a value
    return [
        Event(
            entry.sequence, EventKind.ARTIFACT, row["number"], entry.kind, entry.key,
            f"{row['name']} version {row['version']}", entry.time, entry.message, entry.sequence,
            entry.correlation, masked(msgspec.json.encode(row).decode()),
        )
        for row in found
    ]  # fmt: skip


def hook_event(record: HookRecord) -> Event:
    """Return an execution of a hook as an event."""
    told = {
        "point": record.point, "hook": record.hook, "version": record.version,
        "outcome": record.outcome, "told": msgspec.Raw(record.context.encode()),
        "answer": msgspec.Raw((record.result or "null").encode()), "error": record.error,
    }  # fmt: skip
    cause = record.sequence if record.cause is None else record.cause
    return Event(
        record.sequence, EventKind.HOOK, record.position, record.kind, record.key,
        f"{record.hook}: {record.outcome}", record.time, record.message, cause, record.correlation,
        masked(msgspec.json.encode(told).decode()), record.seconds,
    )  # fmt: skip


def decision_event(entry: AuditEntry, cause: int) -> Event:
    """Return a decision about access as an event."""
    who = entry.who
    agent = (who.id, who.part) if who.kind == "agent" else ("", "")
    told = {
        "who": str(who), "scope": str(entry.scope), "key": entry.key, "outcome": entry.outcome,
        "operation": entry.operation, "reason": entry.reason, "times": entry.times,
    }  # fmt: skip
    return Event(
        entry.sequence, EventKind.DECISION, entry.number, *agent,
        f"{entry.operation} {entry.scope} {entry.outcome}", entry.time, 0, cause,
        entry.correlation, masked(msgspec.json.encode(told).decode()),
    )  # fmt: skip


def letter_event(letter: DeadLetter, sequence: int, unknown: int) -> Event:
    """Return a dead letter as an event, behind the last commit before it died."""
    # Of a message that an agent sent, all releases have kept the cause.
    cause = letter.cause or (0 if sequence > unknown else NOT_KNOWN)
    told = {
        "body": msgspec.Raw((letter.body or "null").encode()), "reason": letter.reason,
        "attempts": letter.attempts, "sent": letter.sent,
    }  # fmt: skip
    return Event(
        sequence, EventKind.LETTER, letter.id, letter.kind, letter.key,
        letter.name or "on_receive", letter.died, letter.id, cause, letter.correlation,
        masked(msgspec.json.encode(told).decode()),
    )  # fmt: skip
