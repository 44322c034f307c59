"""Access as it was decided when a turn was recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..persistence.names.scope import Principal, Scope
from ..persistence.records.chain import AuditRecord
from ..persistence.records.tables import Change, Row
from ..shared.ledger.guard import ALL, Decision, Guard, Right, Standing, Use

_AS_RECORDED = "as it was recorded"


class RecordedGuard:
    """Decide as it was decided then; what nobody asked then, as a new system would (a Guard)."""

    def __init__(
        self, base: Guard, uses: Sequence[tuple[int, list[str], str | None, bool]]
    ) -> None:
        """Know the recorded decisions, and ask ``base`` for others."""
        self._base = base
        self._known = {(right, tuple(scope), key): ok for right, scope, key, ok in uses}
        self.asked = False
        """Whether anybody wanted anything of what agents share."""

    @property
    def reads(self) -> bool:
        """As the system has it."""
        self.asked = True
        return self._base.reads

    @property
    def epoch(self) -> int:
        """As the system has it."""
        return self._base.epoch

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:
        """Decide."""
        self.asked = True
        known = self._known.get((int(right), scope.columns, key))
        if known is None:
            return self._base.check(standing, right, scope, key)
        return Decision(allowed=known, reason=_AS_RECORDED)

    def shown(self, standing: Standing, scope: Scope) -> Callable[[str], bool]:
        """Show every key: only those that were seen are there."""
        self.asked = True
        if self._known:
            return ALL
        return self._base.shown(standing, scope)

    def unrestricted(self, standing: Standing, scope: Scope) -> bool:  # noqa: ARG002 - as Guard has it
        """Have each key asked for: what was decided of it is recorded."""
        return False

    def owner(self, scope: Scope) -> Principal:
        """Return who owns a scope."""
        self.asked = True
        return self._base.owner(scope)

    def excludes(self, who: Principal) -> bool:
        """Tell whether a principal is cut off."""
        return self._base.excludes(who)

    def granted(self, number: int) -> Row | None:
        """Return the newest row of a grant."""
        self.asked = True
        return self._base.granted(number)

    def published(self, changes: Sequence[Change], sequence: int) -> None:
        """Take note of appended rows."""
        self._base.published(changes, sequence)

    def record(
        self, standing: Standing, use: Use, decision: Decision, reason: str = ""
    ) -> AuditRecord:
        """Return a decision as the audit keeps it."""
        self.asked = True
        return self._base.record(standing, use, decision, reason)
