"""Signals: what happened, told to those who connect.

Every signal is sent with the agent system as sender and one keyword, ``event``, a frozen record.
Connect with ``agent_paused.connect(receiver)``, or ``connect(receiver, sender=system)`` for one
system only. Receivers run on the thread where it happened, in the middle of it, so they must be
plain functions and should be short: one that raises is logged with its name and changes nothing,
one that takes longer than ``SLOW_SECONDS`` is logged as well. Those about agents may tell others;
those about saving run where the store is written and must not wait for an agent.
"""

from __future__ import annotations

import inspect
import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from blinker import Signal

logger = logging.getLogger("perdure.lifecycle")

SLOW_SECONDS: Final = 0.5
"""A receiver that takes longer holds up the agents, or the saves, and is warned about."""


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something happened to an agent."""

    kind: str
    key: str
    version: int
    """Count of its commits at that moment; 0 while nothing is known of them in memory."""
    status: str
    """Its durable status at that moment."""
    time: float
    """Seconds since the epoch."""
    reason: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class SaveEvent:
    """Something happened between the persistence supervisor and the store."""

    breaker: str
    """The breaker's state afterwards."""
    attempt: int
    """Consecutive failures so far."""
    backlog: int
    """Commits that are not durable."""
    time: float
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class SecretEvent:
    """Something was done about a secret; no event holds one."""

    place: str
    """Where the value stands, as warnings name it (``Box.note``); empty for a rotation."""
    reason: str
    """What it looks like; of a rotation the id of the key."""
    time: float


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """A session was created, or a step of it was taken."""

    session: str
    """Its id."""
    status: str
    """Its status afterwards."""
    note: str
    time: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class BackupEvent:
    """Something is to be looked at about scheduled backups."""

    folder: str
    reason: str
    time: float
    """Seconds since the epoch."""
    bytes: int = 0
    """What the backups take that no limit of size may remove, or that other rules keep."""
    most: int = 0
    """What all together may take; 0 where there is no limit."""
    error: BaseException | None = None


agent_starting = Signal("An activation is about to run on_start.")
agent_started = Signal("An activation is ready for messages.")
agent_pausing = Signal("An agent is about to be paused.")
agent_paused = Signal("An agent is paused and its status is on its way to the store.")
agent_resuming = Signal("A paused agent is about to be resumed.")
agent_resumed = Signal("A paused agent takes messages again.")
agent_stopping = Signal("An agent is about to run on_stop.")
agent_stopped = Signal("An agent has stopped.")
agent_restarting = Signal("An agent is about to begin again from its last committed state.")
agent_restarted = Signal("An agent has begun again from its last committed state.")
agent_failed = Signal("A handler raised and nobody else was there to take the error.")
agent_quarantined = Signal("Supervision gave an agent up; its mail waits for restart().")
agent_isolated = Signal("An agent was cut off from everything by system.access.isolate().")
agent_restored = Signal("An isolated agent takes part again.")
agent_deleting = Signal("An agent is about to be deleted, with everything stored of it.")
agent_deleted = Signal("An agent was deleted; that is on its way to the store.")
agent_passivated = Signal("An idle activation was dropped from memory.")
turn_timed_out = Signal("A turn ran longer than its limit and was abandoned.")
message_dead = Signal("A message went to the dead letters.")
snapshot_quarantined = Signal("A stored value was bad and replaced by the journal's copy.")
save_failed = Signal("A batch could not be saved; it is kept and tried again.")
breaker_opened = Signal("Saving failed too often; the store is left alone for a while.")
breaker_half_opened = Signal("One batch is tried to find out whether the store is back.")
breaker_closed = Signal("The store is back and everything unsaved is being saved.")
backlog_full = Signal("Too much is unsaved: agents wait until half of it is durable.")
backlog_drained = Signal("Half of what was unsaved is durable: agents go on.")
store_lost = Signal("Another owner took the store over, or it is none any more; close the system.")
secret_found = Signal("A plain value looks like a secret; told once for each place and rule.")
session_changed = Signal("A session was created, or a step of it was taken; it is on its way.")
rotation_done = Signal("Every stored secret that could be opened has the current key now.")
backup_failed = Signal("A scheduled backup could not be made, or pruned behind; it is tried again.")
backup_room_short = Signal("Backups that are to be kept take most of what they may take.")

SIGNALS: Final[dict[str, Signal]] = {
    name: value for name, value in list(globals().items()) if isinstance(value, Signal)
}
"""Every signal by name."""


_muted: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def mute(sender: object) -> None:
    """Have nobody told of what a sender does.

    When used: a system in which turns are replayed; whoever listens would take them for live ones.
    """
    _muted.add(sender)


def fire(
    signal: Signal,
    sender: object,
    event: AgentEvent | SaveEvent | SecretEvent | SessionEvent | BackupEvent,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Tell every receiver; what a receiver raises is logged and goes no further.

    Costs nothing while nobody listens. ``clock`` measures the receivers, in seconds. Nobody is
    told of what a sender does that is ``mute``.
    """
    if not signal.receivers or sender in _muted:
        return
    for receiver in signal.receivers_for(sender):
        started = clock()
        try:
            result = receiver(sender, event=event)
            if inspect.iscoroutine(result):
                result.close()
                message = "it is async and was not run; connect a plain function"
                raise TypeError(message)  # noqa: TRY301 - logged below as all others
        # BaseException: a step of the lifecycle must not end half way because a receiver exits.
        except BaseException:
            logger.exception("the signal receiver %s raised", _name(receiver))
        took = clock() - started
        if took > SLOW_SECONDS:
            logger.warning("the signal receiver %s took %.1f seconds", _name(receiver), took)


def _name(receiver: object) -> str:
    return str(getattr(receiver, "__qualname__", None) or repr(receiver))
