"""What the history keeps of a turn, put into the commit that ends it."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from ...hooks.history.record import HookRecord, as_json, put_deferred, record_of
from ...hooks.history.recording import POINT, Recorder, Recording, recorded, written
from ...hooks.hook import HookRun
from ...persistence.errors import told
from ...persistence.records.records import Commit, Effects
from ...persistence.records.tables import Change, Value
from ...shared.ledger.unit import Unit
from ..pool.mailbox import MailHold
from ..talk.turn import Letter, Turn
from .cell import AgentCell


def put_notes(cell: AgentCell, turn: Turn, commit: Commit, error: BaseException | None) -> None:
    """Have what hooks did kept with a commit, and the whole turn if it is recorded.

    Of a turn that is played again nothing leaves behind that.
    """
    notes, office = turn.notes, cell.home.hooks
    assert notes is not None
    runs, tape = notes.runs, notes.tape
    notes.runs, notes.tape = [], None
    letter, cause = turn.letter, None if error is None else turn.letter.cause
    records: list[HookRecord] = []
    later: list[HookRun] = []
    for run in runs:
        if not run.deferred:
            records.append(record_of(run, office.redact, letter.id, cause))
        elif error is None or not run.vain:
            later.append(run)
    if tape is not None:
        records.append(_recorded(cell, turn, tape, commit, error))
    commit.history = records
    notes.deferred = put_deferred(commit, later, office.now()) if later else False
    if tape is not None and tape.last:
        turn.sends, turn.steps = (), ()
        cell.hold(MailHold.ENDED)  # nothing comes behind it


def _recorded(
    cell: AgentCell, turn: Turn, tape: Recorder, commit: Commit, error: BaseException | None
) -> HookRecord:
    letter, office = turn.letter, cell.home.hooks
    recording = recording_of(cell, turn, tape, commit, error)
    return HookRecord(
        "", "", POINT, cell.blueprint.kind, cell.key, recording.name or "on_receive",
        letter.correlation, tape.started, office.now() - tape.started,
        "recorded" if error is None else "failed", recorded(recording), "",
        "" if error is None else told(error, office.redact), 1,
        0, 0, letter.id, None if error is None else letter.cause,
    )  # fmt: skip


def recording_of(
    cell: AgentCell, turn: Turn, tape: Recorder, commit: Commit, error: BaseException | None
) -> Recording:
    """Return a turn as it is recorded, when its commit is complete."""
    letter, activation = turn.letter, cell.activation
    taken = tape.all_taken()
    if tape.reads or turn.unit is not None:
        taken["reads"] = _reads(tape, turn.unit)
    if turn.sends:
        taken["sends"] = [_sent(cast("AgentCell", target), sent) for target, sent in turn.sends]
    if turn.steps:
        taken["steps"] = list(turn.steps)
    if letter.passed:
        taken["passed"] = list(letter.passed)
    if letter.timer is not None:
        taken["alarm"] = list(letter.timer)
    if activation is not None and activation.timers:
        taken["held"] = [list(timer) for timer in activation.timers.values()]
    if commit.effects is not None:
        taken["timers"] = _timers(commit.effects)
        taken["changes"] = [_change(change) for change in commit.effects.rows]
    if activation is not None and activation.writer.version:
        taken["agent"] = activation.writer.agent
    name, body = tape.message
    return Recording(
        name, body, 0 if activation is None else activation.writer.version,
        as_json(turn.result) if error is None else told(error), letter.cause, letter.attempts + 1,
        letter.reply_to is not None, error is not None, **taken,
    )  # fmt: skip


def _reads(tape: Recorder, unit: Unit | None) -> list[tuple[str, list[Any], list[Any] | None]]:
    seen = tape.reads
    if unit is not None:
        for (table, key), row in unit.reads.items():
            seen[table.name, key] = None if row is None else written(row)
    return [(table, list(key), row) for (table, key), row in seen.items()]


def _timers(effects: Effects) -> list[tuple[str, str, str, float | None]]:
    return [
        *((timer.name, timer.method, timer.body, timer.interval) for timer in effects.timers),
        *((name, "", "", None) for _, _, name in effects.cancelled),
    ]


def _change(change: Change) -> tuple[str, list[Any], list[Any] | None]:
    row = change.row
    return change.table.name, list(change.key), None if row is None else [_short(v) for v in row]


def _short(value: Value) -> Value:
    """Return a value as it is kept: of much binary data the hash is enough to compare it."""
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return value


def message_of(cell: AgentCell, letter: Letter) -> tuple[tuple[str, str], bool]:
    """Return a message as it is stored, and whether it can be: before a handler has changed it."""
    if letter.body:
        return (letter.name, letter.body), True
    try:
        return cell.blueprint.calls.written(letter.message, cell.key), True
    except (ValueError, TypeError, AttributeError):
        return (letter.name, as_json(letter.message)), False


def _sent(target: AgentCell, letter: Letter) -> tuple[str, str, str, str]:
    return target.kind, target.key, *message_of(target, letter)[0]
