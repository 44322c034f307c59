"""What hooks are told outside of handlers: steps, loads, saves, changes that are on their way."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final, TypeAlias

from ...hooks import points
from ...hooks.details import LifecycleDetails, LoadDetails, SaveDetails, StateDetails
from ...hooks.executor import Decision, later, run_chain
from ...hooks.following import following
from ...hooks.history.record import put_deferred, record_of
from ...hooks.hook import HookRun
from ...hooks.points import Point
from ...hooks.results import Cancel, Hold
from ...persistence.errors import CallHeld, HookCancelled, PerdureError
from ...persistence.records.records import Commit
from ...persistence.secrets.masking import masked
from ..pool.agenda import Errand
from ..talk.control import Control, Verb
from ..talk.turn import Turn
from .cell import AgentCell, Surroundings
from .hooks import Chain

logger = logging.getLogger("perdure.actors")

BY_HAND: Final = frozenset(
    {Verb.PAUSE, Verb.RESUME, Verb.STOP, Verb.RESTART, Verb.DELETE, Verb.ERASE}
)
"""Steps that hooks may keep from being taken; what supervision decides is no such step."""
Led: TypeAlias = tuple[int, int]
"""What led to hooks that ran outside of a turn: the id of a message, and a cause as in the journal;
each 0 for none."""
NOTHING: Final[Led] = 0, 0


def step_before(cell: AgentCell, control: Control) -> None:
    """Ask who listens whether a step by hand may be taken; HookCancelled, HookFailed."""
    if control.prepared or control.taken is not None:
        return  # struck behind the answer
    if control.verb in BY_HAND and control.reason != "supervision":
        _step(cell, control, points.LIFECYCLE_BEFORE)


def step_after(cell: AgentCell, control: Control) -> None:
    """Tell who listens that a step by hand was taken."""
    if control.verb in BY_HAND and control.reason != "supervision":
        _step(cell, control, points.LIFECYCLE_AFTER)


def _step(cell: AgentCell, control: Control, point: Point[LifecycleDetails]) -> None:
    chain = cell.home.hooks.registry.chain(point, cell.kind, cell.key)
    if chain:
        step = control.verb.value
        told = LifecycleDetails(cell.kind, cell.key, control.correlation, step, cell.status.value)
        refuse(ask_apart(cell, chain, told, step, (control.id, control.cause)))


def loaded(cell: AgentCell, *, new: bool) -> None:
    """Tell who listens that an activation was made."""
    chain, activation = cell.hooks.load if cell.hooks is not None else (), cell.activation
    if chain and activation is not None:
        told = LoadDetails(cell.kind, cell.key, 0, activation.writer.version, new)
        ask_apart(cell, chain, told, "load")


def save_before(cell: AgentCell, name: str) -> None:
    """Ask who listens whether an agent's turns may be saved; HookCancelled, HookFailed."""
    chain, activation = cell.hooks.save if cell.hooks is not None else (), cell.activation
    if chain and activation is not None:
        told = SaveDetails(cell.kind, cell.key, 0, name, activation.writer.version + 1, 0, 0)
        refuse(ask_apart(cell, chain, told, name))


def called_behind(
    cell: AgentCell, commit: Commit, version: int, change: dict[str, Any] | None = None
) -> list[HookRun]:
    """Return the calls of deferred hooks behind a commit that is not appended yet, to go with it.

    ``version`` is the one it makes; ``change`` as for ``committed``.
    """
    hooks, around = cell.hooks, cell.home.hooks
    found: list[HookRun] = []
    for hook in () if hooks is None else hooks.behind:
        if hook.on and commit.name not in hook.on:
            continue
        if hook.point is points.SAVE_AFTER:
            found.append(later(hook, _saved(cell, commit, version), around))
        elif commit.delta is not None:
            found.append(later(hook, _changed(cell, commit, version, change), around))
    return found


def committed(cell: AgentCell, commit: Commit, change: dict[str, Any] | None = None) -> None:
    """Tell who listens of a commit that is appended, and once more when it is durable.

    ``change`` has the plain fields as they were; None where that is not known.
    """
    hooks = cell.hooks
    if hooks is None or not commit.sequence:
        return
    changed = tuple(hook for hook in hooks.changed if not hook.deferred)
    saved = tuple(hook for hook in hooks.saved if not hook.deferred)
    try:
        if changed and commit.delta is not None:
            told = _changed(cell, commit, commit.version, change)
            ask_apart(cell, changed, told, commit.name, (commit.message, commit.sequence))
    finally:  # also if that was struck
        if saved:
            _when_durable(cell, saved, _saved(cell, commit, commit.version), commit.message)


def _changed(
    cell: AgentCell, commit: Commit, version: int, change: dict[str, Any] | None
) -> StateDetails:
    assert commit.delta is not None
    new = {} if change is None else {name: getattr(_state(cell), name) for name in change}
    return StateDetails(
        cell.kind, cell.key, commit.correlation, commit.name, version, change or {}, new,
        masked(commit.delta.text()),
    )  # fmt: skip


def _saved(cell: AgentCell, commit: Commit, version: int) -> SaveDetails:
    size = 0 if commit.delta is None else len(commit.delta.text())
    return SaveDetails(
        cell.kind, cell.key, commit.correlation, commit.name, version, commit.sequence, size
    )


def _state(cell: AgentCell) -> object:
    return None if cell.activation is None else cell.activation.agent.state


def _when_durable(cell: AgentCell, chain: Chain, told: SaveDetails, message: int) -> None:
    home, led = cell.home, (message, told.sequence)
    work = Errand(home.agenda, lambda: ask_apart(cell, chain, told, told.name, led))
    committer = home.supervisor.committer
    work.send_behind(partial(committer.when_durable, told.sequence), home.dispatcher)


def ask_apart(
    cell: AgentCell,
    chain: Chain,
    told: Any,  # noqa: ANN401
    name: str,
    led: Led = NOTHING,
) -> Decision[Any] | None:
    """Run hooks outside of a handler; what they did is kept in a commit of its own.

    What a method of the agent changes here in its state is undone: this is no turn.
    """
    runs: list[HookRun] = []
    activation = cell.activation
    agent = None if activation is None else activation.agent
    mine = tuple(hook for hook in chain if not hook.method or agent is not None)
    try:
        with following(cell.home, told.correlation, led[1]):
            return run_chain(mine, told, name, agent, cell.home.hooks, runs, cell.principal)
    finally:
        if activation is not None and any(hook.method for hook in mine):
            activation.rollback()
        keep_runs(cell.home, runs, led)


def keep_runs(home: Surroundings, runs: list[HookRun], led: Led = NOTHING) -> None:
    """Keep what hooks did in a commit of its own, with the calls that are to be made later."""
    if not runs:
        return
    office, commit = home.hooks, Commit()
    commit.history = [record_of(run, office.redact, *led) for run in runs if not run.deferred]
    deferred = put_deferred(commit, [run for run in runs if run.deferred], office.now())
    try:
        sequence = home.supervisor.append(commit)
        if deferred:
            office.deferred(sequence)
    except PerdureError as error:
        lost = ", ".join(sorted({run.hook.name for run in runs if run.deferred})) or "none"
        logger.warning("what hooks did is not kept; deferred calls lost: %s: %s", lost, error)


def refuse(decision: Decision[Any] | None) -> None:
    """Raise HookCancelled if one of the hooks answered Cancel; CallHeld if it was Hold."""
    if decision is None or not isinstance(decision.answer, Cancel | Hold):
        return
    assert decision.by is not None
    name, reason = decision.by.name, decision.answer.reason
    if isinstance(decision.answer, Hold):
        raise CallHeld(name, reason, decision.details.args)
    raise HookCancelled(name, reason)


def tell_of_turn(cell: AgentCell, turn: Turn) -> None:
    """Tell who listens what a turn has changed, once it counts."""
    commit, notes = turn.commit, turn.notes
    if notes is not None and notes.deferred:
        cell.home.hooks.deferred(cell.home.supervisor.committer.appended)
    if commit is not None and turn.failed is None and notes is not None:
        committed(cell, commit, notes.before)
