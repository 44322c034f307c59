"""What the system asks of a cell between two turns, beside messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ...lifecycle.status import Status
from ...persistence.errors import StoreError
from ..pool.mailbox import MOST_STRIKES, MailHold, Outcome
from ..talk.control import Control, Verb
from . import (
    deletion,
    failure,
    forking,
    guards,
    listeners,
    loading,
    migrating,
    settlement,
    start,
    steps,
)
from .activation import Activation
from .cell import AgentCell
from .isolation import STEPS, isolated
from .methods import is_struck

logger = logging.getLogger("perdure.actors")

_STEPS: Final[dict[Verb, Callable[[AgentCell, Activation, Control], None]]] = {
    Verb.PAUSE: steps.pause,
    Verb.RESUME: steps.resume,
    Verb.STOP: steps.stop,
    Verb.RESTART: steps.restart,
    Verb.SAVE: steps.save_now,
    Verb.PASSIVATE: steps.passivate,
}


def obey(cell: AgentCell, control: Control) -> Outcome | None:
    """Do what a control asks for; what goes wrong is told to whoever waits for it."""
    verb = control.verb
    if verb in STEPS and MailHold.ISOLATED in cell.holds:
        failure.reject(cell, control, isolated(cell))
        return None
    if verb in _WITHOUT:
        return _WITHOUT[verb](cell, control)
    if cell.activation is None:
        if _needs_no_activation(cell, control):
            return None
        outcome = start.load_for(cell, control)
        if outcome is not None or cell.activation is None:
            return outcome
    try:
        _take(cell, cell.activation, control)
    except BaseException as error:
        if _comes_again(cell, control, error):
            raise
        if control.reply_to is None:
            logger.warning("%s: %s", cell, error)
        if control.verb is Verb.PAUSE and cell.status is Status.ACTIVE:
            cell.unhold(MailHold.PAUSED)  # it may have come so far
        failure.reject(cell, control, error)
    return None


def _take(cell: AgentCell, activation: Activation, control: Control) -> None:
    if control.verb is Verb.WAKE:
        _wake(cell, control)
    else:
        listeners.step_before(cell, control)
        _STEPS[control.verb](cell, activation, control)
        listeners.step_after(cell, control)
    if control.verb is Verb.PAUSE and cell.home.closing:
        guards.refuse_waiting(cell)


def _comes_again(cell: AgentCell, control: Control, error: BaseException) -> bool:
    """Tell whether a step was struck, and is taken again from where it was."""
    if is_struck(cell):
        return True
    control.strikes += not isinstance(error, Exception)
    # Not for ever: who listens to the step may raise such a thing each time.
    return not isinstance(error, Exception) and control.strikes < MOST_STRIKES


def _needs_no_activation(cell: AgentCell, control: Control) -> bool:
    """Be done with a control that means nothing to an agent which is not in memory."""
    if control.verb in (Verb.SAVE, Verb.PASSIVATE):
        settlement.release(cell, control, None)
        return True
    return control.verb is Verb.RESTART and control.reason == "supervision"


def _wake(cell: AgentCell, control: Control) -> None:
    """Look after old mail."""
    if cell.mail_loaded:
        cell.home.owed.discard((cell.kind, cell.key))
        return
    try:
        cell.put_back(*loading.load_old_mail(cell))
    except StoreError as error:
        start.unreadable(cell, control, error)


def _begin(cell: AgentCell, control: Control) -> Outcome | None:
    """Start a restarted agent without waiting for mail; if it may not now, mail will do it."""
    home = cell.home
    if home.closing or home.supervisor.hinders(cell.blueprint.agent_class.when_unsaved):
        return None
    if cell.activation is None:
        outcome = start.load_for(cell, control)
        if outcome is not None or cell.activation is None:
            return outcome
    _wake(cell, control)
    if cell.mail_loaded and cell.status is Status.ACTIVE and not cell.activation.started:
        start.start(cell, cell.activation, control)
    return None


def _quarantine(cell: AgentCell, control: Control) -> Outcome | None:
    """Give the agent up; a dormant one is loaded, so that its status is durable."""
    if cell.activation is None:
        if cell.last_sequence > cell.home.supervisor.committer.durable:
            return start.load_for(cell, control)  # waits
        try:
            if loading.load(cell) is None:
                return start.load_for(cell, control)  # repaired: waits
        except Exception as error:  # noqa: BLE001 - the class may raise anything
            # Not through load_for(): it would count as one more failure and come back here.
            logger.warning("%s: its quarantine is not durable: %r", cell, error)
    steps.quarantine(cell, cell.activation, control)
    return None


def _delete(cell: AgentCell, control: Control) -> Outcome | None:
    try:
        return deletion.delete(cell, control)
    except Exception as error:  # noqa: BLE001 - nothing has happened yet; the asker is told why
        if control.reply_to is None:
            logger.warning("%s is not deleted: %s", cell, error)
        failure.reject(cell, control, error)
        return None


def _fork(cell: AgentCell, control: Control) -> Outcome | None:
    try:
        return forking.fork(cell, control)
    except Exception as error:  # noqa: BLE001 - nothing has happened yet; the asker is told why
        failure.reject(cell, control, error)
        return None


def _refuse(cell: AgentCell, _control: Control) -> None:
    guards.refuse_waiting(cell)


_WITHOUT: Final[dict[Verb, Callable[[AgentCell, Control], Outcome | None]]] = {
    Verb.DELETE: _delete,
    Verb.ERASE: _delete,
    Verb.FORK: _fork,
    Verb.REFUSE: _refuse,
    Verb.BEGIN: _begin,
    Verb.QUARANTINE: _quarantine,
    Verb.MIGRATE: migrating.migrate,
}
"""What sees itself to the activation it needs."""
