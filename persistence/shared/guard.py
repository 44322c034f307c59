"""Who may do what: the questions that shared state asks before it acts."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from ..tables import Change
from .scope import Principal, Scope


class Right(enum.IntFlag):
    """What one may do with the keys of a scope."""

    READ = 1
    WRITE = 2
    DELETE = 4
    LIST = 8
    ALL = 15


class Standing(NamedTuple):
    """In whose name, in which session and for which chain of messages a call runs."""

    principal: Principal
    session: str = ""
    correlation: int = 0


class Decision(NamedTuple):
    """What a guard says."""

    allowed: bool
    reason: str
    """For the audit; a refused caller learns nothing from it."""
    audited: bool = False
    """The decision crosses the border between owners, and belongs into the audit."""
    grant: int = 0
    """The grant that decided, if one did."""


class Use(NamedTuple):
    """A right that a unit has used: it must still hold when the unit ends."""

    right: Right
    scope: Scope
    key: str | None
    operation: str


class Guard(Protocol):
    """Decide about access. Asked from any thread; told of changes under the ledger's lock."""

    epoch: int
    """Rises with every change of what is allowed."""

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:
        """Decide, without looking at what is stored under the key."""
        ...

    def published(self, changes: Sequence[Change], sequence: int) -> None:
        """Take note of appended rows; under the ledger's lock."""
        ...


class OpenGuard:
    """Allow everything, and audit nothing."""

    epoch = 0
    _YES: Final = Decision(allowed=True, reason="no guard is set")

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:  # noqa: ARG002 - as Guard has it
        """Allow it."""
        return self._YES

    def published(self, changes: Sequence[Change], sequence: int) -> None:
        """Need nothing."""
