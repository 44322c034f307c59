"""Signals: what happened, told to whoever wants to know.

Every signal is sent with the agent system as sender and one keyword, ``event``, a frozen record.
Connect with ``agent_paused.connect(receiver)``, or ``connect(receiver, sender=system)`` for one
system only. Receivers run on the thread where it happened, so they should be short; one that
raises is logged with its name and changes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from blinker import Signal

logger = logging.getLogger("perdure.lifecycle")


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something happened to an agent."""

    kind: str
    key: str
    version: int
    """Count of its commits at that moment."""
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
agent_passivated = Signal("An idle activation was dropped from memory.")
turn_timed_out = Signal("A turn ran longer than its limit and was abandoned.")
message_dead = Signal("A message went to the dead letters.")
snapshot_quarantined = Signal("A stored value was bad and replaced by the journal's copy.")
save_failed = Signal("A batch could not be saved; it is kept and tried again.")
breaker_opened = Signal("Saving failed too often; the store is left alone for a while.")
breaker_half_opened = Signal("One batch is tried to find out whether the store is back.")
breaker_closed = Signal("The store is back and everything unsaved is being saved.")

SIGNALS: Final[dict[str, Signal]] = {
    name: value for name, value in list(globals().items()) if isinstance(value, Signal)
}
"""Every signal by name."""


def fire(signal: Signal, sender: object, event: AgentEvent | SaveEvent) -> None:
    """Tell every receiver; what a receiver raises is logged and goes no further."""
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, event=event)
        except Exception:
            name = getattr(receiver, "__qualname__", repr(receiver))
            logger.exception("the signal receiver %s raised", name)
