"""What a turn wants of work beside the turns of its agent, once it counts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, Final, NamedTuple, TypeAlias

Work: TypeAlias = Callable[[], Coroutine[Any, Any, object]]
"""Gives the coroutine to run."""
WorkPlace: TypeAlias = tuple[str, str, str]
"""The kind and key of an agent, and the name of its work."""
at_work: Final[ContextVar[WorkPlace | None]] = ContextVar("perdure_at_work", default=None)
"""The work beside turns that goes on here."""


class WorkAnswer(NamedTuple):
    """What those are told who wait for a piece of work."""

    name: str
    value: object
    error: Exception | None


class Wishes:
    """What a turn begins, ends and answers beside the turns; nothing of it if the turn fails."""

    __slots__ = ("answers", "begins", "ends", "later")

    def __init__(self) -> None:
        """Want nothing yet."""
        self.later = ""
        """The work with whose answer the asker of this turn is answered; empty: with its own."""
        self.begins: dict[str, tuple[Work, Context, bool]] = {}
        """By name; with whether it begins again behind one of that name that is under way."""
        self.ends: list[str] = []
        self.answers: list[WorkAnswer] = []
