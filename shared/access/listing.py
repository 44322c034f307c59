"""``system.access.grants``: the grants that hold, as the caller may see them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from ...persistence.names.named import AnyAgent, checked_scope, named
from ...persistence.names.scope import Scope
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ..ledger.desk import Desk
from .grants import Grant
from .policy import Policy


class Grants:
    """List the grants that hold: the system sees all, others those to them and on what they own."""

    def __init__(self, desk: Desk, policy: Policy) -> None:
        """Show what of ``policy`` the principal of ``desk`` may see."""
        self._desk = desk
        self._policy = policy

    def list(
        self,
        *,
        to: AnyAgent | None = None,
        scope: Scope | None = None,
        after: int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[Grant]:
        """Return a page of the grants to somebody, on a scope, or both.

        Oldest first; with ``newest`` newest first. ``after`` is the number of the grant before.
        """
        found = self._found(to, scope)
        ordered = reversed(found) if newest else iter(found)
        behind = (
            grant
            for grant in ordered
            if after is None or (grant.number < after if newest else grant.number > after)
        )
        return page_of(behind, limit, attrgetter("number"))

    def each(
        self,
        *,
        to: AnyAgent | None = None,
        scope: Scope | None = None,
        after: int | None = None,
        newest: bool = False,
    ) -> Iterator[Grant]:
        """Iterate over all grants in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(to=to, scope=scope, after=place, newest=newest), after)

    def count(self, *, to: AnyAgent | None = None, scope: Scope | None = None) -> int:
        """Return how many grants there are; takes what ``list`` takes."""
        return len(self._found(to, scope))

    def _found(self, to: AnyAgent | None, scope: Scope | None) -> tuple[Grant, ...]:
        who = self._desk.standing().principal
        to = None if to is None else named(to)
        scope = None if scope is None else checked_scope(scope)
        return tuple(
            grant
            for grant in self._policy.grants()
            if (to is None or grant.to == to)
            and (scope is None or grant.scope == scope)
            and (grant.to == who or self._policy.owns(who, grant.scope))
        )

    def __repr__(self) -> str:
        return f"<Grants that {self._desk.standing().principal} may see: list(), each(), count()>"
