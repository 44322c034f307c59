"""What an event of a timeline is."""

from __future__ import annotations

import enum


class EventKind(enum.StrEnum):
    """What an event is."""

    TURN = "turn"
    """A commit: a message that was handled, a step of a lifecycle, a change from outside."""
    HOOK = "hook"
    """A hook that ran in a turn."""
    DECISION = "decision"
    """A decision about access."""
    ARTIFACT = "artifact"
    """A version of an artifact that a turn made."""
    LETTER = "letter"
    """A message that went to the dead letters."""
