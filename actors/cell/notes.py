"""What the history keeps of a turn, put into the commit that ends it."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import msgspec

from ...hooks.history.record import HookRecord, as_json, put_deferred, put_runs, record_of
from ...hooks.history.recording import POINT, Recorder, Recording, written
from ...persistence.errors import told
from ...persistence.records.records import Commit, Effects
from ...persistence.records.tables import Change, Value
from ..pool.mailbox import MailHold
from ..talk.turn import Letter, Turn
from .activation import Activation
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
    made = (run for run in runs if not run.deferred)
    records = [record_of(run, office.redact, letter.id, cause) for run in made]
    if tape is not None:
        records.append(_recorded(cell, turn, tape, commit, error))
    put_runs(commit, records, office.now())
    if runs:
        later = [run for run in runs if run.deferred and not (run.vain and error is not None)]
        notes.deferred = put_deferred(commit, later, office.now())
    if tape is not None and tape.last:
        turn.sends, turn.steps = (), ()
        cell.hold(MailHold.ENDED)  # nothing comes behind it


def _recorded(
    cell: AgentCell, turn: Turn, tape: Recorder, commit: Commit, error: BaseException | None
) -> HookRecord:
    letter, office = turn.letter, cell.home.hooks
    recording = recording_of(cell, turn, tape, commit, error)
    plain = msgspec.json.encode(recording).decode()
    text = office.redact(plain)
    if text != plain:  # what it was given is not known as it was
        inexact = msgspec.structs.replace(recording, exact=False)
        text = office.redact(msgspec.json.encode(inexact).decode())
    return HookRecord(
        "", "", POINT, cell.kind, cell.key, recording.name or "on_receive", letter.correlation,
        tape.started, office.now() - tape.started, "failed" if error is not None else "recorded",
        text, "", "" if error is None else told(error, office.redact), 1,
        0, 0, letter.id, None if error is None else letter.cause,
    )  # fmt: skip


def recording_of(
    cell: AgentCell, turn: Turn, tape: Recorder, commit: Commit, error: BaseException | None
) -> Recording:
    """Return a turn as it is recorded, when its commit is complete."""
    letter, activation, effects = turn.letter, cell.activation, commit.effects
    name, body = tape.message
    seen = tape.reads
    if turn.unit is not None:
        seen = dict(seen)
        for (table, key), row in turn.unit.reads.items():
            seen[table.name, key] = None if row is None else written(row)
    return Recording(
        name, body, 0 if activation is None else activation.writer.version, letter.id,
        letter.cause, letter.correlation, letter.attempts + 1, letter.reply_to is not None,
        tape.started, tape.seed, tape.moments, tape.made(), tape.replies() if tape.asks else [],
        [(table, list(key), row) for (table, key), row in seen.items()] if seen else [],
        [_sent(cast("AgentCell", target), sent) for target, sent in turn.sends],
        [] if effects is None else _timers(effects),
        as_json(turn.result) if error is None else told(error), error is not None,
        tape.exact,
        tape.numbers,
        _held(activation),
        None if letter.timer is None else list(letter.timer),
        list(turn.steps),
        [] if effects is None else [_change(change) for change in effects.rows],
        tape.uses,
        tape.answers,
        tape.unsaved,
    )  # fmt: skip


def _held(activation: Activation | None) -> list[list[Any]]:
    if activation is None or not activation.timers:
        return []
    return [list(timer) for timer in activation.timers.values()]


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
