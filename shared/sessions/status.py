"""The states of a session and every step between them, in one table."""

from __future__ import annotations

import enum
from typing import Final

from ...persistence.errors import ConfigurationError, CorruptState, InvalidTransition


class SessionStatus(enum.StrEnum):
    """The durable status of a session."""

    ACTIVE = "active"
    """May be entered: messages may be sent in it."""
    SUSPENDED = "suspended"
    """Rests until it is resumed; what was sent in it before is still handled."""
    COMPLETED = "completed"
    """Has ended well; its scope takes no more writes."""
    FAILED = "failed"
    """Has ended badly; its scope takes no more writes."""
    ARCHIVED = "archived"
    """Has ended, and is kept to be looked at."""


class SessionStep(enum.StrEnum):
    """A step in the life of a session."""

    SUSPEND = "suspend"
    RESUME = "resume"
    COMPLETE = "complete"
    FAIL = "fail"
    ARCHIVE = "archive"


TRANSITIONS: Final[dict[tuple[SessionStatus, SessionStep], SessionStatus]] = {
    (SessionStatus.ACTIVE, SessionStep.SUSPEND): SessionStatus.SUSPENDED,
    (SessionStatus.ACTIVE, SessionStep.COMPLETE): SessionStatus.COMPLETED,
    (SessionStatus.ACTIVE, SessionStep.FAIL): SessionStatus.FAILED,
    (SessionStatus.SUSPENDED, SessionStep.RESUME): SessionStatus.ACTIVE,
    (SessionStatus.SUSPENDED, SessionStep.COMPLETE): SessionStatus.COMPLETED,
    (SessionStatus.SUSPENDED, SessionStep.FAIL): SessionStatus.FAILED,
    (SessionStatus.COMPLETED, SessionStep.ARCHIVE): SessionStatus.ARCHIVED,
    (SessionStatus.FAILED, SessionStep.ARCHIVE): SessionStatus.ARCHIVED,
}

OPEN: Final = frozenset({SessionStatus.ACTIVE, SessionStatus.SUSPENDED})
"""Statuses of sessions that have not ended."""

DONE: Final = {  # what was, or would be, done to the session: for people and the journal
    SessionStep.SUSPEND: "suspended",
    SessionStep.RESUME: "resumed",
    SessionStep.COMPLETE: "completed",
    SessionStep.FAIL: "failed",
    SessionStep.ARCHIVE: "archived",
}


def stored_status(session: str, text: str) -> SessionStatus:
    """Return the status a store holds for ``session``; CorruptState if there is none such."""
    try:
        return SessionStatus(text)
    except ValueError:
        where = f"session {session}"
        raise CorruptState(where, f"its stored status {text!r} does not exist") from None


def known_status(text: str) -> SessionStatus:
    """Return the status somebody asks for; ConfigurationError if there is none such."""
    try:
        return SessionStatus(text)
    except ValueError:
        message = f"{text!r} is no status of a session; use {', '.join(SessionStatus)}"
        raise ConfigurationError(message) from None


def after(session: str, current: SessionStatus, step: SessionStep) -> SessionStatus:
    """Return the status that ``step`` leads to; InvalidTransition if the table has none."""
    try:
        return TRANSITIONS[current, step]
    except KeyError:
        allowed = " or ".join(status for status, known in TRANSITIONS if known is step)
        raise InvalidTransition(
            f"session {session}", current, DONE[step], allowed, things="sessions"
        ) from None
