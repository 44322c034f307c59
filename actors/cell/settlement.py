"""From a handler that returned to a commit on its way, messages delivered, replies released.

Runs on the thread that runs the mailbox; nobody else touches the activation meanwhile. Two others
may come between: the committer's thread, from the append on, and an isolation, which revokes the
writer (``actors/system/isolator.py``). The order in ``_commit`` is made for both.
"""

from __future__ import annotations

import logging
from typing import Any

from ...hooks.history.record import put_deferred
from ...lifecycle.durability import WhenUnsaved
from ...persistence.errors import PerdureError, StateError
from ...persistence.records.records import Commit, Delta, Effects, Message, Timer
from ..pool.future import Future
from ..pool.mailbox import MailHold
from ..talk.control import Control, Verb
from ..talk.copies import reply_of
from ..talk.turn import KeptLetter, Letter, StoredLetter, Turn, as_letter
from .activation import Activation
from .attempts import change, place_of
from .cell import AgentCell
from .chains import cause_after, follow
from .listeners import called_behind, committed, save_before
from .notes import put_notes
from .timers import next_due

logger = logging.getLogger("perdure.actors")


def settle(
    cell: AgentCell, activation: Activation, turn: Turn, result: object, name: str | None = None
) -> None:
    """Make a finished turn count. What it raises leaves everything for the caller to roll back.

    StateError for a value that cannot be stored; Stale if another changed first what the turn
    made a shared value from, Denied if it lost a right meanwhile.
    """
    if turn.unit is None or cell.home.ledger.end_idle(turn.unit):
        _settle(cell, activation, turn, result, name)
        if cell.again:  # overtaken before, and now it wants nothing
            cell.again = 0
            cell.home.ledger.free(cell)
        return
    # Under the ledger's lock from the look at what is newest to the append: nobody commits between.
    turn.effects = True
    with cell.home.ledger.ending(turn.unit) as ending:
        turn.ending = ending
        _settle(cell, activation, turn, result, name)
    cell.again = 0


def _settle(
    cell: AgentCell, activation: Activation, turn: Turn, result: object, name: str | None
) -> None:
    letter = turn.letter
    if activation.agent.state is not activation.tracker.state:
        raise StateError("state", "was replaced; set its fields instead (self.state.name = ...)")
    value = reply_of(result) if letter.reply_to is not None else None  # first: it may be refused
    if cell.volatile:
        activation.tracker.accept()
        turn.value = value
        if turn.effects or letter.timer or letter.durable:
            _settle_effects(cell, activation, turn)
        else:
            _end_unsaved(cell, turn)
        return
    effects = turn.effects or letter.timer is not None
    counted = letter.durable and (letter.attempts or letter.marked)
    if cell.snapshot and not effects and name is None and not counted:
        _settle_snapshot(cell, activation, turn, value)
        return
    # After the copy of the result: that may raise, and then nothing may have been taken.
    delta = activation.tracker.collect()
    if cell.snapshot:  # kept until its commit is appended: who is struck comes here again
        activation.keep(delta, None)
        delta = None
    if delta is None and not effects and not activation.dirty():
        if letter.durable:
            only = Commit()
            consume(cell, letter, only)
            # Counted as the agent's: a load before this is durable would find the message again.
            cell.last_sequence = cell.home.supervisor.append(only)
        # What a turn only read must not stay in memory for ever either.
        if activation.tracker.collections:
            activation.tracker.trim(cell.last_sequence, cell.home.supervisor.committer.durable)
        release(cell, letter, value)
    else:
        turn.value = value
        _commit(cell, activation, turn, name or describe(letter), delta)


def _settle_snapshot(cell: AgentCell, activation: Activation, turn: Turn, value: object) -> None:
    """Leave a turn to the agent's next save."""
    letter = turn.letter
    delta = activation.tracker.defer()
    # The message goes with the change it made: saved apart, a crash would lose or repeat it.
    if delta is not None or letter.durable:
        activation.keep(delta, letter.id if letter.durable else None)
    else:
        activation.tracker.offer = None
    if not activation.scheduled and activation.dirty():
        # Asked for once until then; ``save`` lowers the flag also where it finds nothing to do.
        activation.scheduled = True
        autosave = cell.blueprint.agent_class.autosave or cell.home.auto_save
        cell.home.supervisor.dirty(cell, autosave.every, lambda: request_save(cell))
    if letter.reply_to is not None or turn.asked or letter.cause:
        _answer_unsaved(cell, turn, value)


def end_attempts(cell: AgentCell, letter: Letter, commit: Commit) -> None:
    """Put into the commit that ends a message that its attempts are not counted any longer."""
    if not letter.attempts and not letter.marked:
        return
    effects = commit.with_effects()
    effects.rows = [*effects.rows, change(place_of(cell.kind, cell.key, letter), 0)]
    if letter.marked:
        cell.home.attempts.ward.leave(letter)


def consume(cell: AgentCell, letter: Letter, commit: Commit) -> None:
    """Have a commit end a message: its row goes, if it is stored, and what counts its attempts."""
    if letter.durable:
        commit.with_effects().consumed = [letter.id]
    end_attempts(cell, letter, commit)


def describe(letter: Letter) -> str:
    """Return what a letter asks for, for logs and the journal.

    When used: a commit, a warning or a dead letter has to name a message.
    """
    if letter.name:
        return letter.name
    path = getattr(letter.message, "attr_path", None)
    if not path:
        return "on_receive"
    return path[0] if len(path) == 1 else ".".join(path)


def release(cell: AgentCell, letter: Letter, value: object) -> None:
    """Answer a turn that changed nothing: not before what it may have seen is durable."""
    reply_to = letter.reply_to
    if reply_to is None:
        return
    if letter.edge and not answers_unsaved(cell):
        hold_back(cell, reply_to, value)
        cell.home.supervisor.committer.gate(reply_to)
    else:
        _answer(cell, letter, value)


def hold_back(
    cell: AgentCell, reply_to: Future[Any], value: object, error: BaseException | None = None
) -> None:
    """Keep an answer until it may leave; with policy "continue" that is when the breaker opens."""
    if cell.blueprint.agent_class.when_unsaved is WhenUnsaved.CONTINUE:
        reply_to.passes = True
    reply_to.prepare(value, error)


def _end_unsaved(cell: AgentCell, turn: Turn) -> None:
    letter = turn.letter
    if letter.reply_to is not None or turn.asked or letter.cause:
        _answer_unsaved(cell, turn, turn.value)


def _answer_unsaved(cell: AgentCell, turn: Turn, value: object) -> None:
    """Answer a turn that is not saved itself: at once, unless it may know of one that will be.

    What the agent was told by others, in this turn or before, may still be on its way to the
    store; beyond the edge nobody may see it before it is there.
    """
    note_seen(cell, turn)
    if cell.seen > cell.home.supervisor.committer.durable:
        release(cell, turn.letter, value)
    else:
        _answer(cell, turn.letter, value)


def note_seen(cell: AgentCell, turn: Turn) -> None:
    """Take note of which commits of others a turn may know, by its message or by what it asked.

    An asker takes all that is appended for seen: which of it the answers came from is not known.
    """
    seen = cell.home.supervisor.committer.appended if turn.asked else turn.letter.seen
    cell.seen = max(cell.seen, seen)


def save(cell: AgentCell, activation: Activation, name: str) -> None:
    """Commit what a SNAPSHOT agent has not saved; between two turns."""
    # Also when there is nothing to save: the tick that asked for this is over.
    activation.scheduled = False
    if activation.dirty():
        _save_turns(cell, activation, name)
        activation.tracker.trim(cell.last_sequence, cell.home.supervisor.committer.durable)


def save_and_revoke(cell: AgentCell, activation: Activation) -> None:
    """Save what the turns before the present one have left, and let nothing be saved after it.

    For whoever takes an agent's turn from its runner, which may go on meanwhile. Not while a
    runner settles its turn.
    """
    try:
        if activation.dirty():
            _save_turns(cell, activation, "(save)")
    except PerdureError as error:
        logger.warning("%s: what it did before is not saved: %s", cell, error)
    activation.writer.revoked = True


def _save_turns(cell: AgentCell, activation: Activation, name: str) -> None:
    if cell.hooks is not None:
        save_before(cell, name)
    commit = cell.commit(name)
    activation.put_unsaved(commit)
    deferred = False
    if cell.hooks is not None and cell.hooks.behind:
        calls = called_behind(cell, commit, activation.writer.version + 1)
        deferred = put_deferred(commit, calls, cell.home.hooks.now())
    cell.last_sequence = activation.writer.submit(commit)
    if deferred:
        cell.home.hooks.deferred(cell.last_sequence)
    if cell.hooks is not None:
        committed(cell, commit)


def store_waiting(cell: AgentCell) -> None:
    """Store the mail from outside that waits for a SNAPSHOT agent, before it waits for long.

    When used: the agent is paused or leaves memory.
    """
    if cell.snapshot:
        cell.put_back(*store_mail(cell, cell.mailbox.take_all()))


def store_mail(cell: AgentCell, items: list[Any]) -> list[Letter]:
    """Return mailbox items as letters, those that can wait in the store on their way to it."""
    letters: list[Letter] = []
    rows: list[Message] = []
    for item in items:
        letter = as_letter(item)
        if (
            letter.reply_to is None
            and not letter.durable
            and letter.__class__ in (Letter, KeptLetter)
        ):
            # Of the class whose row a commit removes; of the same id, which others may know.
            stored = StoredLetter(letter.message, letter_id=letter.id or cell.home.next_letter())
            stored.correlation = letter.correlation or stored.id
            stored.name, stored.body = letter.name, letter.body
            if not stored.body:
                stored.name, stored.body, _ = cell.blueprint.calls.encode(letter.message, cell.key)
            stored.sent = letter.sent or cell.home.clock.now()
            rows.append(row(cell.kind, cell.key, stored))
            letter = stored
        letters.append(letter)
    if rows:
        commit = Commit()
        commit.with_effects().sends = rows
        sequence = cell.home.supervisor.append(commit)
        for letter in letters:
            if isinstance(letter, StoredLetter) and not hasattr(letter, "placed"):
                letter.placed = sequence
    return letters


def request_save(cell: AgentCell) -> None:
    """Have an agent saved between two turns.

    When used: auto-save is due, on the thread of the clock.
    """
    cell.mailbox.put_urgent(Control(Verb.SAVE, edge=False))


def _commit(
    cell: AgentCell, activation: Activation, turn: Turn, name: str, delta: Delta | None
) -> None:
    # 1. The reply is made ready before the append: the committer may release it at once.
    # 2. The append gives the sequence, or raises where the writer was revoked; then nothing of the
    #    turn has left, and the caller rolls back.
    # 3. Shared rows are published under the ledger's lock, before anybody can read them as old.
    # 4. Messages and timers go out last: what they cause gets a later place in the journal, so a
    #    crash never keeps an effect without its cause.
    letter = turn.letter
    commit = cell.commit(name, letter)
    commit.delta = delta
    if letter.durable:
        commit.with_effects().consumed = [letter.id]
        if letter.attempts or letter.marked:  # no call for most
            end_attempts(cell, letter, commit)
    if activation.dirty():
        activation.put_unsaved(commit)
    if turn.notes is not None:
        _note_calls_behind(cell, turn, commit, activation.writer.version + 1)
    if turn.effects or letter.timer:
        _put_effects(cell, turn, commit)
    if turn.beside is not None and turn.beside.later:
        turn.held_back = True
    elif letter.reply_to is not None and letter.edge and not answers_unsaved(cell):
        hold_back(cell, letter.reply_to, turn.value)
        commit.reply = letter.reply_to
        turn.held_back = True
    turn.commit = commit
    # Only now: a handler may take its time, and so must nobody who waits for a commit.
    activation.writer.quiet = cell.mailbox.helped
    activation.writer.submit(commit)
    finish(cell, turn)


def _note_calls_behind(cell: AgentCell, turn: Turn, commit: Commit, version: int) -> None:
    """Have calls of deferred hooks that are about a commit go with it."""
    assert turn.notes is not None
    calls = called_behind(cell, commit, version, turn.notes.before)
    if calls:
        turn.notes.runs, turn.effects = [*turn.notes.runs, *calls], True


def finish(cell: AgentCell, turn: Turn) -> None:
    """Do what comes behind the append of the commit that ends a turn.

    May begin again where it was interrupted: every part is done once, or the same when done twice.
    """
    commit, letter = turn.commit, turn.letter
    assert commit is not None
    sequence = commit.sequence
    cell.last_sequence = max(cell.last_sequence, sequence)
    if turn.ending is not None and not turn.ending.published:
        with cell.home.ledger.lock:
            cell.home.ledger.publish(turn.ending, sequence)
    if turn.effects or letter.timer:
        cell.seen = sequence
        _deliver(cell, turn, commit)
        if turn.beside is not None:
            cell.home.beside.follow(cell, turn, sequence)
    if cell.volatile:
        _end_unsaved(cell, turn)
    elif not turn.held_back and letter.reply_to is not None:
        _answer(cell, letter, turn.value)
    activation = cell.activation
    if activation is not None and activation.tracker.collections:
        activation.tracker.trim(sequence, cell.home.supervisor.committer.durable)
    if turn.steps:
        _take_steps(cell, turn)


def _settle_effects(cell: AgentCell, activation: Activation, turn: Turn) -> None:
    """Commit a VOLATILE agent's messages, which belong to no version, and its timers.

    A timer makes a version: a load finds an agent's timers by its head.
    """
    timed = bool(turn.timers) or turn.letter.timer is not None
    commit = cell.commit(describe(turn.letter), turn.letter) if timed else Commit()
    if not timed and turn.ending is not None:
        commit = cell.commit(describe(turn.letter), turn.letter)
    if turn.letter.durable:  # sent while the class was not VOLATILE yet
        consume(cell, turn.letter, commit)
    if turn.notes is not None:
        _note_calls_behind(cell, turn, commit, activation.writer.version + 1 if timed else 0)
    _put_effects(cell, turn, commit)
    append = activation.writer.submit if timed else cell.home.supervisor.append
    turn.commit = commit
    cell.seen = append(commit)
    finish(cell, turn)


def _take_steps(cell: AgentCell, turn: Turn) -> None:
    for step in turn.steps:
        control = Control(Verb(step), edge=False, reason="itself")
        follow(control, cell.home, turn, cause_after(turn))
        if control.verb is Verb.STOP:
            cell.mailbox.put(control)
        else:
            cell.mailbox.put_urgent(control)


def _put_effects(cell: AgentCell, turn: Turn, commit: Commit) -> None:
    if turn.sends or turn.ending is not None or turn.timers or turn.letter.timer is not None:
        _put_wishes(cell, turn, commit)
    if turn.notes is not None:
        put_notes(cell, turn, commit, None)


def _put_wishes(cell: AgentCell, turn: Turn, commit: Commit) -> None:
    letter = turn.letter
    effects = commit.with_effects()
    if turn.ending is not None:
        turn.ending.put_into(commit)
    if turn.sends:
        if not commit.agent:
            # A commit that nobody finds by its sequence: what led to the turn led to what it sends.
            for _, sent in turn.sends:
                sent.cause = letter.cause
        effects.sends = [
            row(target.kind, target.key, sent) for target, sent in turn.sends if sent.durable
        ]
    timers: dict[str, Timer | None] = {}
    if letter.timer is not None:
        timers[letter.timer.name] = next_due(letter.timer, cell.home.clock.now())
        end_attempts(cell, letter, commit)
    if turn.timers:
        timers |= turn.timers
    if timers:
        effects.timers = [timer for timer in timers.values() if timer is not None]
        effects.cancelled = [
            (cell.kind, cell.key, name) for name, timer in timers.items() if timer is None
        ]


def _deliver(cell: AgentCell, turn: Turn, commit: Commit) -> None:
    """Make the effects of an appended commit happen in memory.

    After the append, so that their own effects come later in the journal.
    """
    home = cell.home
    if home.traces.watched:
        home.traces.made(commit.sequence, turn.letter.id)
    if commit.effects is not None:
        _set_timers(cell, commit.effects, commit.sequence)
    sends = turn.sends
    if turn.letter.marked:
        # Else what is sent, and kills, would be counted to the turn that sent it.
        for target, _ in sends:
            wait_for_proof(target, commit.sequence)  # type: ignore[arg-type]  # an AgentCell
    while sends:
        sent = sends[0][1]
        sent.cause = commit.sequence if commit.agent else turn.letter.cause
        if sent.durable:
            sent.placed = commit.sequence  # type: ignore[attr-defined]  # a StoredLetter
        home.deliver_first(sends)


def wait_for_proof(cell: AgentCell, sequence: int) -> None:
    """Have an agent's mail wait until a commit is durable that ends a message counted before."""
    home = cell.home
    if sequence <= home.supervisor.committer.durable:
        return
    cell.hold(MailHold.PROVING)
    work = (cell, sequence)
    home.agenda.begin(work)

    def go_on() -> None:
        cell.unhold(MailHold.PROVING)
        home.agenda.end(work)

    home.supervisor.committer.once_durable(sequence, go_on)


def _set_timers(cell: AgentCell, effects: Effects, sequence: int) -> None:
    home = cell.home
    for set_now in effects.timers:
        timer = set_now if set_now.cause else set_now._replace(cause=sequence)
        if cell.activation is not None:
            cell.activation.timers[timer.name] = timer
        home.timers.set(timer)
    for place in effects.cancelled:
        if cell.activation is not None:
            cell.activation.timers.pop(place[2], None)
        home.timers.cancelled(place)


def row(kind: str, key: str, letter: Letter) -> Message:
    """Return the mailbox row of a letter.

    Its cause is filled in when the sender's commit is numbered.
    """
    return tuple.__new__(  # a named tuple's own constructor takes twice as long
        Message,
        (
            letter.id,
            kind,
            key,
            letter.name,
            letter.body,
            letter.cause,
            letter.correlation,
            letter.sent,
        ),
    )


def answers_unsaved(cell: AgentCell) -> bool:
    """Tell whether replies leave although nothing can be saved (policy "continue").

    When used: an answer would wait for the disk otherwise.
    """
    return (
        cell.home.supervisor.outage
        and cell.blueprint.agent_class.when_unsaved is WhenUnsaved.CONTINUE
    )


def _answer(cell: AgentCell, letter: Letter, value: object) -> None:
    reply_to = letter.reply_to
    if reply_to is not None:
        if cell.home.supervisor.outage:
            reply_to.unsaved = True
        reply_to.answer(value, None)
