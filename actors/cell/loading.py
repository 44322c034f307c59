"""From a dormant agent to a live activation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from pykka.messages import ProxyCall

from ...lifecycle import signals
from ...lifecycle.status import Status, stored_status
from ...persistence.errors import ConfigurationError, CorruptState, PerdureError
from ...persistence.records.records import (
    AgentRow,
    Commit,
    Delta,
    Message,
    QuarantineRow,
    StoredAgent,
)
from ...persistence.records.tables import Key
from ...persistence.schema.rewrite import Rewritten
from ...persistence.state.tracker import StateTracker
from ...persistence.upkeep.repair import Repair, examine
from ..agent.agent import Agent
from ..pool.mailbox import MailHold
from ..talk.turn import OldLetter
from .activation import Activation
from .attempts import Care, place_of, timer_place
from .cell import AgentCell
from .effects import CellHome
from .failure import bury, told_of
from .listeners import loaded
from .readers import Collections

logger = logging.getLogger("perdure.actors")

MANY_TIMERS: Final = 1000
"""An agent's timers that are looked at: a count of another one's tick is kept a while longer."""


def load(cell: AgentCell) -> Activation | None:
    """Read the agent from the store and make an activation; ``on_start`` has not run yet.

    None if stored values were bad and had to be repaired: read again once that is durable.
    Everything the agent committed must be durable. Raises CorruptState when no good copy of its
    state exists, StoreUnavailable when it cannot be read; the cell is as before then.
    """
    home, blueprint = cell.home, cell.blueprint
    missing = home.newcomers.missing(cell)
    stored = None if missing else home.store.load(blueprint.kind, cell.key)
    if stored is None:
        head = AgentRow(home.next_agent(), blueprint.kind, cell.key, 0, 0, Status.ACTIVE, "")
        return _activate(cell, StoredAgent(head, {}, {}, []), {})
    head = stored.head
    rewritten = home.evolution.rewritten(home.store, stored, largest=home.largest_value)
    if rewritten is not None:
        rewrite(cell, head, rewritten)
        return None
    fields = examine(home.store, stored, blueprint.layout, blueprint.agent_class.unreadable)
    if isinstance(fields, Repair):
        _must_be_first(cell, head, fields)
        _repair(cell, head, fields)
        return None
    if stored.bad_timers:
        cancelled = [(head.kind, head.key, name) for name, _ in stored.bad_timers]
        _set_aside(cell, [row for _, row in stored.bad_timers], cancelled=cancelled)
    return _activate(cell, stored, fields)


def _activate(cell: AgentCell, stored: StoredAgent, fields: Mapping[str, str]) -> Activation:
    """Make an activation of what is stored; ``fields`` are the texts of the good plain fields."""
    home, blueprint, head = cell.home, cell.blueprint, stored.head
    tracker = StateTracker(
        blueprint.layout,
        head.agent,
        fields,
        stored.shape,
        Collections(home.store, head.agent, partial(settle_reads, cell)),
        owner=(head.kind, head.key),
        largest=home.largest_value,
        watch=None if cell.volatile else blueprint.vault.watch,
        schema=0 if cell.volatile else home.evolution.used(head.kind),
        written=stored.schema,
        lasting=cell.snapshot,  # what is not saved is in memory only
    )
    if cell.volatile:
        tracker.accept()  # nor is what its defaults computed ever stored
    _take_status(cell, head)
    agent = _instance(blueprint.agent_class)
    agent.key = cell.key
    agent.state = tracker.state
    agent.system = home.facade
    agent._home = CellHome(cell)  # noqa: SLF001 - an agent's other half
    activation = Activation(agent, tracker, home.supervisor.writer(head), stored.timers)
    cell.activation = activation
    if cell.hooks is not None:
        loaded(cell, new=head.version == 0)
    if cell.status is not Status.STOPPED:
        know_timers(cell, activation)
    return activation


def _take_status(cell: AgentCell, head: AgentRow) -> None:
    """Take the status that is stored, unless the agent was given up because it was not readable.

    Of that the store knows nothing; it lasts until somebody puts the agent back to work.
    """
    if MailHold.QUARANTINED not in cell.holds:
        active = head.status == Status.ACTIVE
        cell.status = Status.ACTIVE if active else stored_status(str(cell), head.status)
        cell.reason = head.reason


def _instance(agent_class: type[Agent[Any]]) -> Agent[Any]:
    try:
        return agent_class()
    except AttributeError as error:
        if error.name in ("state", "key", "system") and isinstance(error.obj, agent_class):
            message = (
                f"{agent_class.__name__}.__init__ uses self.{error.name}, which an agent has only"
                " after it; move that to on_start"
            )
            raise ConfigurationError(message) from error
        raise


def know_timers(cell: AgentCell, activation: Activation) -> None:
    """Have the timers of an agent that is not stopped come, also those that came while it was.

    When used: an agent is loaded, or starts again after a stop.
    """
    for timer in activation.timers.values():
        cell.home.timers.known(timer)


def load_old_mail(cell: AgentCell) -> list[OldLetter]:
    """Return the messages an earlier process left for this agent, in the order of sending.

    One that no longer decodes goes to the dead letters.
    """
    letters: list[OldLetter] = []
    inbox = cell.home.store.inbox(cell.kind, cell.key)
    tried = cell.home.attempts.of(cell.kind, cell.key)
    spoilt = [old for old in inbox.spoilt if old.id < cell.home.first_letter]
    if spoilt:
        reason, now = "its checksum does not match", cell.home.clock.now()
        rows = [QuarantineRow(0, f"message {m.id}", m.text, reason, now) for m in spoilt]
        _set_aside(cell, rows, consumed=[m.id for m in spoilt])
    for message in inbox.messages:
        if message.id < cell.home.first_letter:
            letter = old_letter(cell, message)
            if letter is not None:
                letters.append(letter)
    if cell.home.attempts.watchful:
        _suspect(cell, letters, tried)
    cell.mail_loaded = True
    cell.home.owed.discard((cell.kind, cell.key))
    return letters


def _set_aside(
    cell: AgentCell,
    rows: list[QuarantineRow],
    *,
    consumed: list[int] | tuple[()] = (),
    cancelled: list[tuple[str, str, str]] | tuple[()] = (),
) -> None:
    """Move spoilt mail or timers to the quarantine, loudly; the agent goes on without them."""
    commit = Commit()
    effects = commit.with_effects()
    effects.consumed, effects.cancelled, effects.quarantined = consumed, cancelled, rows
    try:
        cell.last_sequence = cell.home.supervisor.append(commit)
    except PerdureError as problem:
        logger.warning("%s: what is spoilt stays where it is stored: %s", cell, problem)
    for row in rows:
        error = CorruptState(f"{cell}, {row.place}", f"{row.reason}; the agent goes on without it")
        logger.error("%s; what is left of it is kept in quarantine", error)
        cell.fire(signals.snapshot_quarantined, reason=str(error), error=error)


def _suspect(cell: AgentCell, letters: list[OldLetter], tried: Mapping[Key, int]) -> None:
    """Have those counted first that may have been begun; forget counts of what is not there."""
    attempts, places = cell.home.attempts, set[Key]()
    for at, letter in enumerate(letters):
        place = place_of(cell.kind, cell.key, letter)
        places.add(place)
        letter.attempts = tried.get(place, 0)
        first = at == 0 and attempts.care is Care.FIRST
        letter.suspect = first or attempts.care is Care.ALL or letter.attempts > 0
    if tried:
        timers = cell.home.store.timers(cell.kind, cell.key, limit=len(tried) + MANY_TIMERS)
        places |= {(t.kind, t.key, timer_place(t.due, t.name), 0) for t in timers}
        for place in (p for p in tried if p not in places):
            attempts.put(place, 0)


def old_letter(cell: AgentCell, message: Message) -> OldLetter | None:
    """Make a letter of a stored message, or bury it when its class no longer takes it."""
    letter = OldLetter(
        None, letter_id=message.id, cause=message.cause, correlation=message.correlation
    )
    letter.marked, letter.suspect = 0, False
    letter.found = letter.name, letter.body = message.name, message.body
    letter.sent = message.sent
    try:
        fresh = cell.home.evolution.message(message)
        letter.name, letter.body = fresh.name, fresh.body
        letter.message = cell.blueprint.calls.decode(letter.name, letter.body, cell.key)
    except (ValueError, TypeError, AttributeError) as error:
        letter.message = ProxyCall((message.name,), (), {})
        bury(cell, letter, f"it no longer decodes: {told_of(cell, error)}")
        return None
    return letter


def settle_reads(cell: AgentCell) -> None:
    """Wait until everything the agent committed is in the store.

    When used: a map has to be counted, which only the store can do.
    """
    with cell.home.dispatcher.blocking():
        cell.home.supervisor.committer.flush(sequence=cell.last_sequence)


def _must_be_first(cell: AgentCell, head: AgentRow, repair: Repair) -> None:
    """Raise CorruptState if this repair was just made: the damaged page takes no better value."""
    if head.sequence != cell.last_sequence:
        return
    for entry in cell.home.store.journal(cell.kind, cell.key, limit=1, newest=True):
        if (entry.sequence, entry.name) == (head.sequence, repair.name):
            reason = f"{repair.quarantined[0].place} is bad again after it was repaired"
            raise CorruptState(str(cell), reason)


def moved(cell: AgentCell, stored: StoredAgent) -> Rewritten | None:
    """Return what says that an agent is written with its class's schema; None if it is."""
    home = cell.home
    number = home.evolution.number(cell.kind)
    if stored.schema == number or not stored.shape:
        return None
    found = home.evolution.moved(home.store, stored, number, largest=home.largest_value)
    return found or Rewritten.unchanged(stored, number)


def rewrite(cell: AgentCell, head: AgentRow, rewritten: Rewritten) -> None:
    """Commit an agent as its class reads it, and say what of it nothing reads any more."""
    cell.home.evolution.used(head.kind)
    _commit_first(cell, head, rewritten.name, rewritten.delta)
    say(cell, rewritten)


def say(who: object, rewritten: Rewritten) -> None:
    """Log what became of an agent, and what of it nothing reads any more."""
    if rewritten.steps:
        logger.info("%s is migrated: %s", who, "; ".join(rewritten.steps))
    if rewritten.left:
        left = ", ".join(rewritten.left)
        logger.warning("%s: the migration leaves behind what is stored as %s", who, left)


def _commit_first(
    cell: AgentCell, head: AgentRow, name: str, delta: Delta, bad: Sequence[QuarantineRow] = ()
) -> None:
    """Commit what an agent needs before it can be loaded, as its next version."""
    _take_status(cell, head)
    commit = cell.commit(name)
    # Whatever it is in memory: that an agent was given up as unreadable is not for the store.
    commit.status, commit.reason = stored_status(str(cell), head.status), head.reason
    commit.delta = delta
    if bad:
        commit.with_effects().quarantined = list(bad)
    cell.last_sequence = cell.home.supervisor.writer(head).submit(commit)


def _repair(cell: AgentCell, head: AgentRow, repair: Repair) -> None:
    """Commit a repair, and say loudly what was bad and what is lost."""
    _commit_first(cell, head, repair.name, repair.delta, repair.quarantined)
    if repair.name == "(rewind)":
        outcome = f"went back to version {repair.version} of {head.version}"
    else:
        outcome = "the journal's copy is used"
    for row in repair.quarantined:
        error = CorruptState(f"{cell}, state.{row.place}", f"{row.reason}; {outcome}")
        logger.error("%s; the bad value is kept in quarantine", error)
        cell.fire(signals.snapshot_quarantined, reason=str(error), error=error)
