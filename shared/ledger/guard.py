"""Who may do what: asked at each call, and at the commit, where a revoked grant is noticed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ...persistence.errors import Denied, Isolated
from ...persistence.names.keys import matches
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.chain import AuditRecord
from ...persistence.records.tables import Change, Row


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
    uses: tuple[int, ...] = ()
    """Grants of a limited number of uses that are needed for it: each use is one commit."""
    isolated: bool = False
    """Refused because the principal is cut off from everything."""


class Use(NamedTuple):
    """A right that a unit has used: it must still hold when the unit ends."""

    right: Right
    scope: Scope
    key: str | None
    operation: str


class Guard(Protocol):
    """Decide about access. Asked from any thread; told of changes under the ledger's lock."""

    @property
    def reads(self) -> bool:
        """Whether the audit keeps who was allowed to see what another owns."""
        ...

    @property
    def epoch(self) -> int:
        """Rises with every change of what is allowed."""
        ...

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:
        """Decide, without looking at what is stored under the key."""
        ...

    def shown(self, standing: Standing, scope: Scope) -> Callable[[str], bool]:
        """Return what tells whether a key is listed to somebody who may list the scope.

        ``ALL`` where nothing is left out.
        """
        ...

    def owner(self, scope: Scope) -> Principal:
        """Return who owns a scope."""
        ...

    def unrestricted(self, standing: Standing, scope: Scope) -> bool:
        """Tell whether ``check`` allows anything there, whatever the key, and audits nothing."""
        ...

    def excludes(self, who: Principal) -> bool:
        """Tell whether a principal is cut off from everything: nothing of it may commit."""
        ...

    def granted(self, number: int) -> Row | None:
        """Return the newest row of a grant; None if it is gone."""
        ...

    def published(self, changes: Sequence[Change], sequence: int) -> None:
        """Take note of appended rows; under the ledger's lock."""
        ...

    def record(
        self, standing: Standing, use: Use, decision: Decision, reason: str = ""
    ) -> AuditRecord:
        """Return a decision as the audit keeps it, with ``reason`` instead of its own."""
        ...


class CommitCheck(Protocol):
    """Look at each commit of shared rows before it is appended; under the ledger's lock."""

    def check(self, changes: Sequence[Change]) -> None:
        """Refuse a commit by an error; what is newest is what was before it."""
        ...

    def published(self, changes: Sequence[Change]) -> None:
        """Take note of a commit that was checked and appended."""
        ...

    def session_of(self, correlation: int) -> str:
        """Return the session a chain of messages belongs to, or ""; from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """Show the keys that one of some patterns covers."""

    patterns: tuple[str, ...]

    def __call__(self, key: str) -> bool:
        """Tell whether a key is shown."""
        return any(matches(pattern, key) for pattern in self.patterns)


def ALL(_key: str) -> bool:  # noqa: N802 - a constant
    """Show every key of a scope (``Guard.shown``)."""
    return True


class OpenGuard:
    """Allow everything, and audit nothing."""

    epoch = 0
    reads = False
    _YES: Final = Decision(allowed=True, reason="no guard is set")

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:  # noqa: ARG002 - as Guard has it
        """Allow it."""
        return self._YES

    def shown(self, standing: Standing, scope: Scope) -> Callable[[str], bool]:  # noqa: ARG002 - same
        """Show everything."""
        return ALL

    def unrestricted(self, standing: Standing, scope: Scope) -> bool:  # noqa: ARG002 - same
        """Allow everything to everybody."""
        return True

    def owner(self, scope: Scope) -> Principal:  # noqa: ARG002 - same
        """Give everything to the system."""
        return Principal.SYSTEM

    def excludes(self, who: Principal) -> bool:  # noqa: ARG002 - same
        """Exclude nobody."""
        return False

    def granted(self, number: int) -> Row | None:  # noqa: ARG002 - same
        """Know of no grants."""
        return None

    def published(self, changes: Sequence[Change], sequence: int) -> None:
        """Need nothing."""

    def record(
        self, standing: Standing, use: Use, decision: Decision, reason: str = ""
    ) -> AuditRecord:
        """Return a decision as the audit would keep it."""
        return recorded(0.0, standing, use, decision, reason)


def recorded(
    time: float, standing: Standing, use: Use, decision: Decision, reason: str = ""
) -> AuditRecord:
    """Return a decision as the audit keeps it."""
    return AuditRecord(
        time, standing.principal.columns, use.scope.columns, use.key or "", use.operation,
        "allowed" if decision.allowed else "refused", reason or decision.reason, 1,
        standing.correlation,
    )  # fmt: skip


def refusal(standing: Standing, operation: str, scope: Scope, *, isolated: bool = False) -> Denied:
    """Return the error for a caller without the right: it tells nothing the caller has not said."""
    who = standing.principal
    if isolated:
        return Isolated(f"{who} is isolated and may not {operation} {scope}; it must be restored")
    return Denied(f"{who} may not {operation} {scope}; ask its owner for a grant")
