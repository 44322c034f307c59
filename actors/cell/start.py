"""Making a cell ready for its first message: load the agent, put its old mail first, start it."""

from __future__ import annotations

import logging

from ...lifecycle import signals
from ...lifecycle.status import Status, Step, after
from ...persistence.errors import CorruptState, StoreError
from ..pool.mailbox import MailHold, Outcome
from ..talk.control import Control
from ..talk.turn import Letter
from . import failure, guards, loading
from .activation import Activation
from .cell import AgentCell
from .chains import identified
from .failure import refuse_askers
from .methods import is_struck, rehearse, run_method
from .steps import quarantined

logger = logging.getLogger("perdure.actors")


def make_ready(cell: AgentCell, letter: Letter) -> Outcome | None:
    """Make the activation ready for ``letter``; put the letter back if it must wait."""
    activation = cell.activation
    if activation is None:
        outcome = load_for(cell, letter)
        if outcome is not None or cell.activation is None:
            return outcome
        activation = cell.activation
    if not cell.mail_loaded:
        try:
            old = loading.load_old_mail(cell)
        except StoreError as error:
            return unreadable(cell, letter, error)
        cell.put_back(*old, letter)
        return None
    if cell.status in (Status.PAUSED, Status.QUARANTINED):
        _keep_waiting(cell, letter)
        return None
    # Every timer makes a version: where there is none, the timer is of an agent that was deleted.
    none_there = cell.status is Status.STOPPED or activation.writer.version == 0
    if none_there and letter.timer is not None:
        cell.home.timers.cancelled(letter.timer[:3])  # known again at the next start
        cell.drop()
        return None
    start(cell, activation, letter)
    return None


def load_for(cell: AgentCell, letter: Letter) -> Outcome | None:
    """Make the activation, or arrange for another try."""
    if cell.last_sequence > cell.home.supervisor.committer.durable:
        return wait_until_durable(cell)
    try:
        if loading.load(cell) is None:
            return load_for(cell, letter)  # repaired: read again once that is durable
    except StoreError as error:
        return unreadable(cell, letter, error)
    except Exception as error:
        # The agent's own class: its __init__ or its state's defaults raised.
        logger.exception("%s cannot be made", cell)
        if letter.reply_to is not None:
            letter.reply_to.fail(error)
        else:
            failure.count_attempt(cell, letter)
            cell.fire(signals.agent_failed, reason="it cannot be made", error=error)
            failure.restart(cell, error, letter)
    return None


def wait_until_durable(cell: AgentCell) -> Outcome:
    """Have what is being handled come again when all that the agent committed is in the store."""
    sequence = cell.last_sequence
    cell.pending = lambda: _wait_for(cell, sequence)
    return Outcome.RETRY


def unreadable(cell: AgentCell, letter: Letter, error: StoreError) -> Outcome | None:
    """Tell an asker; give up what is corrupt, and try again what may be readable later."""
    if isinstance(error, CorruptState):
        if letter.reply_to is None:
            cell.put_back(letter)
        failure.reject(cell, letter, error)
        _quarantine_unread(cell, str(error))
        return None
    if letter.reply_to is not None:
        letter.reply_to.fail(error)
        return None
    return _try_later(cell, letter, error)


def _wait_for(cell: AgentCell, sequence: int) -> None:
    """Go on when a commit is durable."""

    def go_on() -> None:
        cell.mailbox.resume()

    cell.home.supervisor.committer.once_durable(sequence, go_on)


def _try_later(cell: AgentCell, letter: Letter, error: StoreError) -> Outcome | None:
    """Come back to a letter when the store may be readable again."""
    if cell.home.closing and letter.reply_to is None:
        return None  # it is in the store, and nobody waits for it
    logger.warning("%s cannot be read and is tried again: %s", cell, error)
    # Whoever waits behind the letter is told now: nobody knows how long this takes.
    refuse_askers(cell, error, steps=True)
    agenda, what = cell.home.agenda, f"{cell} is read again after a second ({error})"
    if isinstance(letter, Control):  # it must not keep back the steps that people ask for
        order = letter
        agenda.when_the_store_may_be_back(lambda: cell.home.order(cell.kind, cell.key, order), what)
        return None
    cell.pending = lambda: agenda.when_the_store_may_be_back(cell.mailbox.resume, what, cell)
    return Outcome.RETRY


def _quarantine_unread(cell: AgentCell, reason: str) -> None:
    """Give up an agent whose state cannot be read; nothing in the store is changed."""
    cell.status, cell.reason = Status.QUARANTINED, reason
    cell.hold(MailHold.QUARANTINED)
    refuse_askers(cell, quarantined(cell))
    logger.error("%s is quarantined: %s", cell, reason)
    cell.fire(signals.agent_quarantined, reason=reason)


def _keep_waiting(cell: AgentCell, letter: Letter) -> None:
    if cell.status is Status.QUARANTINED and letter.reply_to is not None:
        failure.reject(cell, letter, quarantined(cell))
        return
    paused = cell.status is Status.PAUSED
    cell.hold(MailHold.PAUSED if paused else MailHold.QUARANTINED)
    cell.put_back(letter)
    guards.refuse_waiting(cell)  # those behind this letter


def start(cell: AgentCell, activation: Activation, letter: Letter) -> None:
    """Run on_start as a turn before the first message; if it raises, nothing has started."""
    if cell.status is Status.STOPPED:
        activation.stopped = True  # first: who is struck from here on comes here again
        cell.status = after(str(cell), cell.status, Step.START)
    again = activation.stopped
    cell.fire(signals.agent_starting)
    played = cell.home.hooks.played
    if played is not None:
        rehearse(cell, activation, played)
    elif cell.blueprint.starts:
        chain = identified(cell.home, letter).correlation
        begin = Letter(None, edge=False, cause=letter.cause, correlation=chain)
        try:
            run_method(cell, activation, "on_start", begin)
        except BaseException as error:
            if is_struck(cell):
                raise
            activation.rollback()
            logger.warning("%s: on_start raised %r", cell, error, exc_info=error)
            if letter.reply_to is not None:
                # The asker last: who is struck before comes again with the ask.
                if not failure.of_the_store(cell, error):
                    failure.restart(cell, error, None)
                failure.reject(cell, letter, error)
            elif failure.of_the_store(cell, error):
                failure.wait_for_the_store(cell, letter, error)
            else:
                failure.count_attempt(cell, letter)
                cell.fire(signals.agent_failed, reason="on_start", error=error)
                failure.restart(cell, error, letter)
            return
    if again:  # also if the first turn changes nothing: its timers run again from now on
        cell.last_sequence = activation.writer.submit(cell.commit("(start)", letter))
        loading.know_timers(cell, activation)
        activation.stopped = False
    activation.started = True
    cell.fire(signals.agent_restarted if cell.restarting else signals.agent_started)
    cell.restarting = False
