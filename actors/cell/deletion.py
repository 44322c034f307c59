"""The end of an agent: one commit takes everything stored of it, a later message makes a new one.

The commit ends the agent's number, so nothing of the old life can be taken for the new one's. What
was on its way to the old life, by the order of commits, dies with it:

1. ``CellKeeper.bury`` appends the commit and puts a fresh cell in the old one's place, in one lock
   hold. So nobody loads the agent from the store before the deletion is durable.
2. The old mailbox is closed. Whoever appended to it before is among what it held; whoever comes
   later finds the fresh cell, and looks at the graves before it delivers (``Graves``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from ...lifecycle import signals
from ...persistence.errors import AgentDeleted, CorruptState, StoreError
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.kinds import names_of
from ...persistence.records.records import AgentRow, Commit, Deletion, StoredAgent
from ...persistence.records.shared_tables import SCOPED, TOMBSTONES
from ...persistence.records.tables import Change, Row
from ...shared.ledger.guard import Decision, Right, Standing, Use, recorded
from ...shared.ledger.unit import Unit
from ..pool.mailbox import Outcome
from ..talk.control import Control, Verb
from ..talk.turn import Letter, as_letter
from . import start
from .cell import AgentCell, Surroundings
from .listeners import step_after, step_before
from .settlement import release

logger = logging.getLogger("perdure.actors")

MOST_KEYS: Final = 500
"""Keys of its own scope that the commit names; the deletion stands for more of them."""
MOST_TIMERS: Final = 1_000_000
"""Timers of a damaged agent that are looked for."""


def delete(cell: AgentCell, control: Control) -> Outcome | None:
    """End an agent between two turns; its asker is told whether there was anything of it."""
    home, activation = cell.home, cell.activation
    stored: StoredAgent | None = None
    if activation is None:
        if cell.last_sequence > home.supervisor.committer.durable:
            return start.wait_until_durable(cell)
        try:
            stored = stored_of(home, cell.kind, cell.key)
            if stored is None and not len(cell.mailbox) and not traces(home, cell.kind, cell.key):
                release(cell, control, value=False)
                return None
        except StoreError as error:
            return start.unreadable(cell, control, error)
    timers = list(activation.timers.values()) if activation else stored.timers if stored else []
    step_before(cell, control)
    cell.fire(signals.agent_deleting)
    _bury(cell, control, stored)
    home.tree.forgive((cell.kind, cell.key))
    for timer in timers:
        home.timers.cancelled(timer[:3])
    logger.info("%s is deleted", cell)
    cell.fire(signals.agent_deleted, activation=activation)
    step_after(cell, control)
    return Outcome.GONE


def stored_of(home: Surroundings, kind: str, key: str) -> StoredAgent | None:
    """Return an agent as far as it must be known to delete it: what is damaged goes as well."""
    try:
        return home.store.load(kind, key)
    except CorruptState as error:
        head = home.store.remains(kind, key)
        logger.warning("%s; it is deleted as it is", error)
        timers = home.store.timers(kind, key, limit=MOST_TIMERS)
        return None if head is None else StoredAgent(head, {}, {}, timers)


def traces(home: Surroundings, kind: str, key: str) -> bool:
    """Tell whether the store holds anything for an agent that never committed."""
    inbox = home.store.inbox(kind, key)
    if inbox.messages or inbox.spoilt:
        return True
    with home.ledger.lock:
        if home.ledger.places(SCOPED, Scope.agent(kind, key).columns, most=0):
            return True
    after = 0
    while page := home.store.dead_letters(after=after, limit=1000):
        if any((letter.kind, letter.key) == (kind, key) for letter in page):
            return True
        after = page[-1].id
    return False


def _bury(cell: AgentCell, control: Control, stored: StoredAgent | None) -> None:
    home, activation = cell.home, cell.activation
    if activation is not None:
        writer = activation.writer
    elif stored is not None:
        writer = home.supervisor.writer(stored.head)
    else:
        new = AgentRow(home.next_agent(), cell.kind, cell.key, 0, 0, cell.status, "")
        writer = home.supervisor.writer(new)
    commit = cell.commit("(delete)", control)
    control.value = True
    reply_to = control.reply_to
    if reply_to is not None and control.edge:
        reply_to.prepare(control.value)
        erase = control.verb is Verb.ERASE
        commit.reply = home.leftovers.behind(reply_to) if erase else reply_to
    fresh: list[AgentCell] = []

    def append(ready: Commit) -> int:
        sequence, successor = home.keeper.bury(cell, lambda: writer.submit(ready))
        fresh.append(successor)
        return sequence

    who = cell.principal if control.reason == "itself" else Principal.SYSTEM
    erase = control.verb is Verb.ERASE
    enter(home, commit, who, Deletion(writer.agent, cell.kind, cell.key, erase),
          version=writer.version + 1, append=append)  # fmt: skip
    cell.drop()
    if reply_to is not None and not control.edge:
        reply_to.answer(control.value, None)
    cell.home.beside.leave(cell, _deleted(cell))
    _settle_mail(cell, fresh[0])


def _deleted(cell: AgentCell) -> AgentDeleted:
    message = f"{cell} was deleted while this waited; what is sent now makes a new agent"
    return AgentDeleted(message)


def _put(row: Row, _before: Row | None) -> Row:
    return row


def enter(
    home: Surroundings,
    commit: Commit,
    who: Principal,
    deletion: Deletion,
    *,
    version: int,
    append: Callable[[Commit], int],
) -> int:
    """Make ``commit`` the end of an agent: with its keys, its tombstone and its place in the audit.

    Returns its sequence.
    """
    scope, now = Scope.agent(deletion.kind, deletion.key), home.clock.now()
    standing = Standing(who)
    unit = Unit(standing, home.ledger.guard.epoch)
    use = Use(Right(0), scope, None, "erase the agent" if deletion.erase else "delete the agent")
    reason = "the system" if who == Principal.SYSTEM else "the agent itself"
    unit.audit.append(recorded(now, standing, use, Decision(allowed=True, reason=reason)))
    tombstone = (
        deletion.agent, deletion.kind, deletion.key, version, now, int(deletion.erase), 0,
    )  # fmt: skip
    # Older backups may have who is erased by a name that its kind had before.
    names = names_of(home.store.row, deletion.kind, deletion.key) if deletion.erase else []
    others = [
        (-(deletion.agent << 16 | number), name.kind, *tombstone[2:])
        for number, name in enumerate(names[1:])
    ]
    for row in (tombstone, *others):
        unit.change((TOMBSTONES, row[:1]), partial(_put, row), checked=False)
    with ExitStack() as locks:
        history: Sequence[Change] = ()
        if deletion.erase:
            history = locks.enter_context(home.hooks.erasing(names))
        # The order of locks: history, letters, ledger, cells.
        locks.enter_context(home.graves.letters)
        ending = locks.enter_context(home.ledger.ending(unit))
        keys = home.ledger.places(SCOPED, scope.columns, most=MOST_KEYS)
        if len(keys) > MOST_KEYS:
            ending.scope = scope.columns
        else:
            ending.changes += [Change(SCOPED, key, None) for key in keys]
        ending.put_into(commit)
        effects = commit.with_effects()
        effects.rows = [*effects.rows, *history]
        commit.with_effects().deleted = deletion
        sequence = append(commit)
        home.ledger.publish(ending, sequence)
    home.leftovers.begin(sequence)
    return sequence


def _settle_mail(cell: AgentCell, fresh: AgentCell) -> None:
    """Close the old mailbox; what was sent behind the deletion is the new agent's."""
    home = cell.home
    living: list[Letter] = []
    for letter in map(as_letter, cell.mailbox.close()):
        if isinstance(letter, Control) and letter.verb in (Verb.DELETE, Verb.ERASE):
            release(cell, letter, value=False)  # when the deletion before it is durable
        elif letter.reply_to is not None:
            letter.reply_to.fail(_deleted(cell))
        elif letter.durable and not home.graves.hold(cell.kind, cell.key, letter):
            living.append(letter)
    fresh.mailbox.put_back(*living)
    fresh.mailbox.attach(fresh, home.dispatcher)  # type: ignore[arg-type]  # a RunningCell
