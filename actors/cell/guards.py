"""What a cell looks at before it takes a message: outage, shutdown, a lost store, timers."""

from __future__ import annotations

import logging

from ...lifecycle.status import Status
from ...persistence.errors import MigrationFailed, StoreError, SystemClosed
from ..pool.mailbox import MailHold
from ..talk.control import Control, Verb
from ..talk.turn import Alarm, Letter, Turn
from . import failure, settlement
from .activation import Activation
from .attempts import place_of
from .cell import AgentCell
from .failure import refuse_askers
from .isolation import isolated
from .steps import quarantined
from .timers import is_skipped

logger = logging.getLogger("perdure.actors")


def may_go_on(cell: AgentCell, letter: Letter) -> bool:
    """Decide about a message during an outage or a shutdown; a refused one is taken care of."""
    home, reply_to = cell.home, letter.reply_to
    supervisor = home.supervisor
    if supervisor.ended is not None:
        return _may_end(cell, letter, supervisor.ended)
    if letter.__class__ is Control:
        return True
    if home.closing and letter.edge:
        if letter.reply_to is not None:
            letter.reply_to.fail(SystemClosed("the agent system is closing"))
        elif not letter.durable and cell.snapshot:
            settlement.store_mail(cell, [letter])
        elif letter.marked > letter.attempts:  # counted, and not begun
            cell.home.attempts.put(place_of(cell.kind, cell.key, letter), letter.attempts)
        # A message stays in the store, for the next time the system is opened.
        return False
    policy = cell.blueprint.agent_class.when_unsaved
    if supervisor.hinders(policy):
        refusal = supervisor.refusal()
        if refusal is not None and reply_to is not None:
            reply_to.fail(refusal)
            return False
        cell.put_back(letter)
        cell.hold(MailHold.UNSAVED)
        if not supervisor.hinders(policy):  # that ended between the look and the hold
            cell.unhold(MailHold.UNSAVED)
        refuse_waiting(cell)
        return False
    return True


def _may_end(cell: AgentCell, letter: Letter, error: StoreError) -> bool:
    """Decide about an envelope after the store was lost: nothing begins any more."""
    if isinstance(letter, Control) and letter.verb in (Verb.DONE, Verb.REFUSE):
        return True
    if letter.reply_to is not None:
        letter.reply_to.fail(error)
    elif letter.__class__ is not Control:
        cell.put_back(letter)
        cell.hold(MailHold.ENDED)
        refuse_waiting(cell)
    return False


def refuse_waiting(cell: AgentCell) -> None:
    """Tell those whose asks would wait here: for the store, for a step by hand, or for ever.

    When used: the mail begins to wait, or an ask came behind mail that does.
    """
    if MailHold.ISOLATED in cell.holds:
        refuse_askers(cell, isolated(cell))
        return
    if cell.status is Status.QUARANTINED:
        refuse_askers(cell, quarantined(cell))
        return
    if cell.home.closing and MailHold.PAUSED in cell.holds:
        # Nobody can resume it any more, and turns that wait for its reply would hold up the close.
        refuse_askers(cell, SystemClosed(f"{cell} is paused, and the agent system is closing"))
        return
    supervisor = cell.home.supervisor
    refusal = supervisor.refusal()
    if refusal is not None and supervisor.hinders(cell.blueprint.agent_class.when_unsaved):
        refuse_askers(cell, refusal)


def still_wanted(cell: AgentCell, activation: Activation, letter: Letter) -> bool:
    """Tell whether a timer that fired still stands; a skipped tick moves on without a turn."""
    assert isinstance(letter, Alarm)
    timer = letter.timer
    assert timer is not None
    if activation.timers.get(timer.name) != timer:
        cell.home.timers.unwanted(timer)
        return False
    try:
        fresh = cell.home.evolution.timer(timer)
        letter.name, letter.body = fresh.method, fresh.body
        letter.message = cell.blueprint.calls.decode(fresh.method, fresh.body, cell.key)
    except MigrationFailed:
        # As a dead letter it would be of today's schema. It is tried again at the next start.
        logger.exception("%s: the timer %s stays where it is stored", cell, timer.name)
        cell.home.timers.unwanted(timer)
        return False
    except (ValueError, TypeError, AttributeError) as error:
        failure.bury(cell, letter, f"it no longer decodes: {failure.told_of(cell, error)}")
        return False
    if is_skipped(timer, cell.home.clock.now()):
        letter.message = None
        settlement.settle(cell, activation, Turn(cell, letter), None, "(skipped)")
        return False
    return True
