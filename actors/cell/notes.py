"""What the history keeps of a turn, put into the commit that ends it."""

from __future__ import annotations

import msgspec

from ...hooks.history.record import HookRecord, as_json, put_deferred, put_runs, record_of
from ...hooks.history.recording import POINT, Recorder, Recording
from ...hooks.points import SHARED
from ...persistence.errors import told
from ...persistence.records.records import Commit
from ..talk.turn import Letter, Turn
from .cell import AgentCell


def put_notes(cell: AgentCell, turn: Turn, commit: Commit, error: BaseException | None) -> None:
    """Have what hooks did kept with a commit, and the whole turn if it is recorded."""
    notes, office = turn.notes, cell.home.hooks
    assert notes is not None
    runs, tape = notes.runs, notes.tape
    notes.runs, notes.tape = [], None
    made = [run for run in runs if not run.deferred]
    letter = turn.letter
    cause = None if error is None else letter.cause
    records = [record_of(run, office.redact, letter.id, cause) for run in made]
    if tape is not None:
        records.append(_recorded(cell, turn, tape, commit, error))
    put_runs(commit, records, office.now())
    # What a turn did that is undone is told to nobody later: it did not come to be.
    later = [
        run for run in runs if run.deferred and (error is None or run.hook.point not in SHARED)
    ]
    notes.deferred = put_deferred(commit, later, office.now())


def _recorded(
    cell: AgentCell, turn: Turn, tape: Recorder, commit: Commit, error: BaseException | None
) -> HookRecord:
    letter, office = turn.letter, cell.home.hooks
    recording = recording_of(cell, turn, tape, commit, error)
    text = office.redact(msgspec.json.encode(recording).decode())
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
    letter, activation = turn.letter, cell.activation
    name, body, exact = _message(cell, letter)
    effects = commit.effects
    timers = [] if effects is None else effects.timers
    cancelled = [] if effects is None else effects.cancelled
    read = {} if turn.unit is None else turn.unit.reads
    reads = [
        (table.name, list(key), None if row is None else list(row))
        for (table, key), row in read.items()
    ]
    return Recording(
        name, body, 0 if activation is None else activation.writer.version, letter.id,
        letter.cause, letter.correlation, letter.attempts + 1, letter.reply_to is not None,
        tape.started, tape.seed, tape.moments, tape.what, tape.answers(), reads,
        [_sent(target.kind, target.key, sent) for target, sent in turn.sends],
        [
            *((timer.name, timer.method, timer.body, timer.interval) for timer in timers),
            *((name, "", "", None) for _, _, name in cancelled),
        ],
        as_json(turn.result) if error is None else told(error), error is not None,
        exact,
    )  # fmt: skip


def _message(cell: AgentCell, letter: Letter) -> tuple[str, str, bool]:
    if letter.body:
        return letter.name, letter.body, True
    try:
        name, body, _ = cell.blueprint.calls.encode(letter.message, cell.key)
    except (ValueError, TypeError, AttributeError):
        return letter.name, as_json(letter.message), False
    return name, body, True


def _sent(kind: str, key: str, letter: Letter) -> tuple[str, str, str, str]:
    name = letter.name or str(getattr(letter.message, "attr_path", ("",))[0])
    return kind, key, name, letter.body or as_json(letter.message)
