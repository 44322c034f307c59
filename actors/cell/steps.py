"""The steps of the lifecycle, taken by a cell between two turns.

Each status change is a commit, after that of the agent's own hook.
"""

from __future__ import annotations

import logging

from blinker import Signal

from ...lifecycle import signals
from ...lifecycle.status import Status, Step, after
from ...persistence.errors import AgentQuarantined, PerdureError
from ..pool.mailbox import MailHold
from ..talk.control import Control
from .activation import Activation
from .cell import AgentCell
from .failure import begin_again, refuse_askers
from .loading import know_timers
from .methods import run_hook
from .settlement import release, save, store_waiting

logger = logging.getLogger("perdure.actors")


def pause(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Keep the agent's mail waiting from now on."""
    status = _next(cell, control, Step.PAUSE)
    _prepare(cell, activation, control, signals.agent_pausing, "on_pause")
    cell.hold(MailHold.PAUSED)
    store_waiting(cell)
    _change(cell, activation, status, "(pause)", control, signal=signals.agent_paused)


def resume(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Let the agent take its mail again."""
    status = _next(cell, control, Step.RESUME)
    _prepare(cell, activation, control, signals.agent_resuming, "on_resume")
    _change(cell, activation, status, "(resume)", control, signal=signals.agent_resumed)
    cell.unhold(MailHold.PAUSED)


def stop(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Run on_stop, save, and leave memory; the next message starts the agent again."""
    if cell.status is Status.STOPPED and control.taken is None:
        release(cell, control, value=False)
        return
    status = _next(cell, control, Step.STOP)
    _prepare(cell, activation, control, signals.agent_stopping, "on_stop")
    control.value = True
    # Before the reply: what the work says behind that would start the agent again.
    cell.home.beside.leave(cell, None)
    _change(cell, activation, status, "(stop)", control, signal=signals.agent_stopped)
    cell.drop()
    cell.restarting = False
    cell.unhold(MailHold.PAUSED)
    cell.unhold(MailHold.QUARANTINED)


def restart(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Begin again from the last committed state; puts a given-up agent back to work."""
    by_supervision = control.reason == "supervision"
    if by_supervision and cell.status is not Status.ACTIVE:
        return
    status = _next(cell, control, Step.RESTART)
    if not by_supervision:
        cell.home.tree.forgive((cell.kind, cell.key))
        cell.intensity = None
        cell.fire(signals.agent_restarting)
    if status is not cell.status or control.taken is not None:
        if cell.status is Status.STOPPED:
            know_timers(cell, activation)
        cell.reason = ""
        _change(cell, activation, status, "(restart)", control)
    else:
        save(cell, activation, "(restart)")
        release(cell, control, None)
    begin_again(cell, float(control.value) if isinstance(control.value, float) else 0.0)
    if by_supervision:
        # Told when the wait is arranged, which must not hang on a receiver.
        cell.fire(signals.agent_restarting, reason=control.reason, activation=activation)
    cell.unhold(MailHold.PAUSED)
    cell.unhold(MailHold.QUARANTINED)


def quarantine(cell: AgentCell, activation: Activation | None, control: Control) -> None:
    """Give the agent up: its mail waits, its askers are told."""
    try:
        status = _next(cell, control, Step.QUARANTINE)
    except PerdureError:
        return  # stopped or given up in the meantime
    cell.reason = control.reason
    cell.hold(MailHold.QUARANTINED)
    if activation is not None:
        _change(cell, activation, status, "(quarantine)", control)
    else:
        cell.status = status
    cell.drop()
    logger.error("%s is quarantined: %s", cell, cell.reason)
    cell.fire(signals.agent_quarantined, reason=cell.reason, activation=activation)
    refuse_askers(cell, quarantined(cell))


def save_now(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Save what is unsaved."""
    save(cell, activation, "(save)")
    release(cell, control, None)


def passivate(cell: AgentCell, activation: Activation, control: Control) -> None:
    """Leave memory, unless mail came in the meantime."""
    if len(cell.mailbox) and not cell.holds:
        return
    store_waiting(cell)
    if cell.blueprint.passivates and activation.started:
        run_hook(cell, activation, "on_passivate", control)
    save(cell, activation, "(save)")
    cell.drop()
    if activation.started:
        cell.fire(signals.agent_passivated, activation=activation)


def _next(cell: AgentCell, control: Control, step: Step) -> Status:
    """Return the status that a step leads to; also when it comes again, struck behind its commit.

    Each step may be struck anywhere and comes again: its commit is made once, its method runs once,
    and what comes behind is the same when done twice.
    """
    taken = control.taken
    return after(str(cell), cell.status, step) if taken is None else Status(taken.status)


def _prepare(
    cell: AgentCell, activation: Activation, control: Control, signal: Signal, method: str
) -> None:
    if control.taken is None and not control.prepared:
        cell.fire(signal)
        if activation.started:
            run_hook(cell, activation, method, control)
        control.prepared = True


def _change(
    cell: AgentCell,
    activation: Activation,
    status: Status,
    name: str,
    control: Control,
    *,
    signal: Signal | None = None,
) -> None:
    """Commit a status and whatever the hook changed; answer when that is durable."""
    value = control.value if control.value is True else None
    commit = control.taken
    if commit is None:
        commit = cell.commit(name, control)
        commit.status = status
        activation.put_unsaved(commit)
        if control.reply_to is not None and control.edge:
            control.reply_to.prepare(value)
            commit.reply = control.reply_to
        control.commit = commit
        # First: who is answered by the commit may look at once.
        before, cell.status = cell.status, status
        try:
            activation.writer.submit(commit)
        except BaseException:
            if not commit.sequence:  # a status that is in no commit would be lost with the process
                cell.status = before
            raise
    cell.status = status
    cell.last_sequence = max(cell.last_sequence, commit.sequence)
    if control.reply_to is not None and not control.edge:
        control.reply_to.answer(value, None)
    if signal is not None:
        cell.fire(signal)


def quarantined(cell: AgentCell) -> AgentQuarantined:
    """Return the error for an ask to a quarantined agent."""
    return AgentQuarantined(
        f"{cell} is quarantined ({cell.reason}); mend the cause, then call restart()"
    )
