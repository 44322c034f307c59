"""The states of an agent and every step between them, in one table."""

from __future__ import annotations

import enum
from typing import Final

from ..persistence.errors import CorruptState, InvalidTransition


class Status(enum.StrEnum):
    """The durable status of an agent."""

    ACTIVE = "active"
    """Takes messages; live or dormant."""
    PAUSED = "paused"
    """Keeps its mail and takes none until it is resumed."""
    STOPPED = "stopped"
    """Has ended; the next message starts it again, its own timers do not."""
    QUARANTINED = "quarantined"
    """Given up by its supervision; keeps its mail until it is restarted."""


class Step(enum.StrEnum):
    """A step of the lifecycle."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RESTART = "restart"
    QUARANTINE = "quarantine"


TRANSITIONS: Final[dict[tuple[Status, Step], Status]] = {
    (Status.ACTIVE, Step.PAUSE): Status.PAUSED,
    (Status.ACTIVE, Step.STOP): Status.STOPPED,
    (Status.ACTIVE, Step.RESTART): Status.ACTIVE,
    (Status.ACTIVE, Step.QUARANTINE): Status.QUARANTINED,
    (Status.PAUSED, Step.RESUME): Status.ACTIVE,
    (Status.PAUSED, Step.STOP): Status.STOPPED,
    (Status.PAUSED, Step.RESTART): Status.ACTIVE,
    (Status.PAUSED, Step.QUARANTINE): Status.QUARANTINED,
    (Status.STOPPED, Step.START): Status.ACTIVE,
    (Status.STOPPED, Step.RESTART): Status.ACTIVE,
    (Status.QUARANTINED, Step.RESTART): Status.ACTIVE,
    (Status.QUARANTINED, Step.STOP): Status.STOPPED,
}

_WANTED: Final = {  # what would be done to the agent, for people
    Step.START: "started",
    Step.PAUSE: "paused",
    Step.RESUME: "resumed",
    Step.STOP: "stopped",
    Step.RESTART: "restarted",
    Step.QUARANTINE: "quarantined",
}


def stored_status(agent: str, text: str) -> Status:
    """Return the status a store holds for ``agent``; CorruptState if there is no such status."""
    try:
        return Status(text)
    except ValueError:
        raise CorruptState(agent, f"its stored status {text!r} does not exist") from None


def after(agent: str, current: Status, step: Step) -> Status:
    """Return the status that ``step`` leads to; InvalidTransition if the table has none."""
    try:
        return TRANSITIONS[current, step]
    except KeyError:
        allowed = " or ".join(status for status, known in TRANSITIONS if known is step)
        raise InvalidTransition(agent, current, _WANTED[step], allowed) from None
