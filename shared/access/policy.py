"""The policy: what is allowed, kept in memory and changed in the one order of commits.

A decision is made of the caller's own words (who, right, scope, key) and of grants. It never looks
at what is stored under a key, so a refusal is the same whether there is something or not.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from ...persistence.names.keys import matches
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.chain import AuditRecord
from ...persistence.records.shared_tables import BOUNDARIES, GRANTS, ISOLATED, OWNERS, PROGRESS
from ...persistence.records.tables import Change, Key, Order, Row, Table
from ...persistence.store.store import StoreReader
from ..ledger.guard import ALL, Decision, Right, Shown, Standing, Use, recorded
from .boundaries import RIGHTS, SHARED_KINDS, AnyBoundary, Boundary, CustomBoundary
from .damage import last_set
from .grants import Grant, Isolation

logger = logging.getLogger("perdure.lifecycle")

PAGE: Final = 1000
NUMBERS: Final = (PROGRESS, ("perdure.grants",))
"""Where the highest number of a grant stands, so that none is given twice."""
_LOOKING: Final = int(Right.READ | Right.LIST)
_LIST: Final = int(Right.LIST)
Columns: TypeAlias = tuple[str, str, str]


class _Held:
    """A grant as decisions need it."""

    __slots__ = ("expires", "inherit", "keys", "number", "rights", "row", "uses")

    def __init__(self, row: Row) -> None:
        values: tuple[Any, ...] = row
        self.row = row
        self.number: int = values[0]
        self.keys: str = values[7]
        self.rights: int = values[8]
        self.inherit: int = values[9]
        self.expires: float | None = values[10]
        self.uses: int | None = values[11]

    def covers(self, key: str | None) -> bool:
        """Tell whether it is about a key, or with None about any."""
        return key is None or self.keys == "*" or matches(self.keys, key)


class Policy:
    """Decide who may do what (guard.Guard).

    Asked from any thread without a lock: it looks at tuples and dictionaries that are replaced, and
    changed only under the ledger's lock.
    """

    def __init__(
        self,
        store: StoreReader,
        boundaries: Mapping[str, AnyBoundary],
        now: Callable[[], float],
        *,
        reads: bool = True,
    ) -> None:
        """Begin with what is stored; ``boundaries`` are those of the classes, by kind.

        ``reads`` says whether allowed reads belong into the audit.
        """
        self._classes = dict(boundaries)
        self._now = now
        self.reads = reads
        self._grants: dict[Row, tuple[_Held, ...]] = {}  # by grantee and scope
        self._numbered: dict[int, _Held] = {}
        self._to_kinds = 0  # grants to all agents of a kind
        self._owners: dict[Columns, Columns] = {}
        self._boundaries: dict[tuple[str, str], Boundary] = {}
        self._isolated: dict[tuple[str, str], Isolation] = {}
        self._running_out: list[float] = []  # a heap of the moments when grants expire
        self._first_to_run_out = math.inf  # of these; looked at without the lock
        self._moments = threading.Lock()
        self._epoch = 0
        self.ever = False
        """Whether anybody is, or was since the system was opened, isolated."""
        numbers = store.row(*NUMBERS)
        self._next = itertools.count(1 if numbers is None else int(str(numbers[1])) + 1)
        for table in (OWNERS, GRANTS, BOUNDARIES, ISOLATED):
            rows = list(stored_rows(store, table))
            self.published([Change(table, row[: table.key], row) for row in rows], 0)
            lost = store.count(table, Order(table.key_names)) - len(rows)
            if lost > 0:
                held = self._close(table, {row[: table.key] for row in rows}, store)
                names = ", ".join("/".join(map(str, key)) for key in held) or "nobody known"
                logger.error(
                    "%d rows of %s are damaged: %s until they are set again; perdure doctor names"
                    " them, the audit tells what they were", lost, table.name,
                    _CLOSED[table].format(names),
                )  # fmt: skip

    def _close(self, table: Table, there: set[Key], store: StoreReader) -> list[Key]:
        """Have what damaged rows protected be closed, and return what that is.

        Neither their keys nor their values can be relied on. So the audit is asked for all that was
        set and not taken back, and of these what has no row any more is closed. What was trimmed
        from the audit is not found.
        """
        closed = [key for key in last_set(store, table) if key not in there]
        for key in closed:
            if table is ISOLATED:
                who = Principal.agent(str(key[0]), str(key[1]))
                self.cut_off(Isolation(who, "its row is damaged", self._now()))
            elif table is BOUNDARIES:
                self._boundaries[str(key[0]), str(key[1])] = Boundary.STRICT
            elif table is OWNERS:
                self._owners[key] = _NOBODY  # type: ignore[index]
        return closed

    @property
    def epoch(self) -> int:
        """Rises with every change of what is allowed, and when a grant runs out."""
        if self._first_to_run_out <= self._now():
            with self._moments:
                while self._running_out and self._running_out[0] <= self._now():
                    heapq.heappop(self._running_out)
                    self._epoch += 1
                self._first_to_run_out = min(self._running_out[:1], default=math.inf)
        return self._epoch

    def check(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> Decision:
        """Decide; the first rule that has an answer wins."""
        # No flags are combined here, but their numbers: enum's operators take a microsecond each.
        who, want = standing.principal, right._value_
        owned = self._is_owner(who, scope)
        if self._isolated and who.kind == "agent" and (who.id, who.part) in self._isolated:
            return Decision(allowed=False, reason="isolated", audited=not owned, isolated=True)
        if owned:
            return _OWNER
        audited = self.reads or bool(want & ~_LOOKING)
        if who.kind == "system":
            return Decision(allowed=True, reason="the system", audited=audited)
        if scope.kind == "session" and scope.id == standing.session:
            return Decision(allowed=True, reason="in that session", audited=audited)
        if who.kind == "agent":
            boundary = self.boundary(who)
            if boundary is not Boundary.STRICT:
                have, reason = self._bounded(boundary, who, right, scope, key)
                if reason:
                    allowed = have != 0
                    return Decision(allowed, reason, audited or not allowed)
                want &= ~have
        return self._granted(who, want, scope, key, audited=audited)

    def unrestricted(self, standing: Standing, scope: Scope) -> bool:
        """Tell whether ``check`` allows anything there, whatever the key, and audits nothing."""
        return self.check(standing, Right.ALL, scope, None) is _OWNER

    def shown(self, standing: Standing, scope: Scope) -> Callable[[str], bool]:
        """Return what tells whether a key is listed: fixed now, also where listing uses it up."""
        who = standing.principal
        whole = self.check(standing, Right.LIST, scope, None)
        if not whole.allowed:
            return lambda _key: False
        boundary = self.boundary(who) if who.kind == "agent" else Boundary.STRICT
        custom = isinstance(boundary, CustomBoundary) and whole.reason != "owner"
        if not whole.reason.startswith("grant"):
            if custom:
                return lambda key: self.check(standing, Right.LIST, scope, key).allowed
            return ALL
        grants = [g for g in self._about(who, scope) if g.rights & _LIST]

        def granted(key: str) -> bool:
            return any(grant.covers(key) for grant in grants)

        def within(key: str) -> bool:
            # What the boundary refuses by name, no grant shows.
            have, reason = self._bounded(boundary, who, Right.LIST, scope, key)
            return (have != 0 or not reason) and granted(key)

        if custom:
            return within
        patterns = tuple(grant.keys for grant in grants)
        return ALL if "*" in patterns else Shown(patterns)

    def published(self, changes: Sequence[Change], sequence: int) -> None:  # noqa: ARG002 - as Guard has it
        """Take over what was appended; under the ledger's lock."""
        for table, key, row in changes:
            take = _TABLES.get(table)
            if take is not None:
                take(self, key, row)
                self._epoch += 1

    def granted(self, number: int) -> Row | None:
        """Return the newest row of a grant; None if it is gone."""
        held = self._numbered.get(number)
        return None if held is None else held.row

    def record(
        self, standing: Standing, use: Use, decision: Decision, reason: str = ""
    ) -> AuditRecord:
        """Return a decision as the audit keeps it."""
        return recorded(self._now(), standing, use, decision, reason)

    def owner(self, scope: Scope) -> Principal:
        """Return who owns a scope."""
        columns = self._owner(scope)
        return Principal.SYSTEM if columns == _NOBODY else Principal(*columns)

    def owns(self, who: Principal, scope: Scope) -> bool:
        """Tell whether somebody may give rights on a scope away."""
        return who.kind == "system" or self._is_owner(who, scope)

    def knows(self, kind: str) -> bool:
        """Tell whether the system has agents of a kind."""
        return kind in self._classes

    def boundary(self, who: Principal) -> AnyBoundary:
        """Return an agent's boundary: its own, else its class's."""
        own = self._boundaries.get((who.id, who.part))
        return self._classes.get(who.id, Boundary.STRICT) if own is None else own

    def grant(self, number: int) -> Grant | None:
        """Return a grant that still holds."""
        held = self._numbered.get(number)
        return None if held is None or self._is_over(held) else Grant.of(held.row)

    def grants(self) -> list[Grant]:
        """Return the grants that hold, oldest first."""
        held = sorted(self._numbered.copy().items())
        return [Grant.of(each.row) for _, each in held if not self._is_over(each)]

    def overdue(self) -> list[int]:
        """Return the numbers of the grants that have run out and are still stored."""
        return [number for number, held in self._numbered.copy().items() if self._is_over(held)]

    def next_grant(self) -> int:
        """Return a number for a new grant."""
        return next(self._next)

    def isolations(self) -> list[Isolation]:
        """Return who is cut off."""
        return list(self._isolated.copy().values())

    def isolated(self, kind: str, key: str) -> bool:
        """Tell whether an agent is cut off."""
        return bool(self._isolated) and (kind, key) in self._isolated

    def excludes(self, who: Principal) -> bool:
        """Tell whether a principal is an agent that is cut off: nothing of it may commit."""
        return bool(self._isolated) and (who.id, who.part) in self._isolated and who.kind == "agent"

    def cut_off(self, isolation: Isolation) -> None:
        """Refuse an agent everything, before the commit that makes it last.

        Early is safe: what is refused too soon could have come a moment later.
        """
        self._isolated[isolation.agent.id, isolation.agent.part] = isolation
        self.ever = True  # last: who sees it finds the rest
        self._epoch += 1

    def let_go(self, agent: Principal) -> None:
        """Forget an isolation whose row was damaged: its deletion changes nothing that is read."""
        if self._isolated.pop((agent.id, agent.part), None) is not None:
            self._epoch += 1

    def _owner(self, scope: Scope) -> Columns:
        columns = scope.columns
        if self._owners:
            named = self._owners.get(columns)
            if named is None and scope.kind == "step":
                named = self._owners.get(("workflow", scope.id, ""))
            if named is not None:
                return named
        if scope.kind in _NATURAL:
            return columns
        return _SYSTEM

    def _is_owner(self, who: Principal, scope: Scope) -> bool:
        if self._owners:
            return self._owner(scope) == who.columns
        if scope.kind in _NATURAL:
            return scope.id == who.id and scope.part == who.part and scope.kind == who.kind
        return who.kind == "system"

    def _bounded(
        self, boundary: AnyBoundary, who: Principal, right: Right, scope: Scope, key: str | None
    ) -> tuple[int, str]:
        """Return what an agent's boundary gives it, and why if that is the answer."""
        if scope.kind not in SHARED_KINDS or (self._owners and self._owner(scope) != _SYSTEM):
            return 0, ""
        if not isinstance(boundary, Boundary):
            try:
                answer = boundary.allows(who, right, scope, key)
            except Exception:
                logger.exception("the boundary of %s raised; that is a refusal", who)
                answer = False
            if answer is None:
                return 0, ""
            # What merely counts as true (a match, a coroutine, 1) opens nothing.
            return (right._value_ if answer is True else 0), "custom boundary"
        have = RIGHTS[boundary]._value_
        return have, "" if right._value_ & ~have else f"boundary {boundary}"

    def _granted(
        self, who: Principal, want: int, scope: Scope, key: str | None, *, audited: bool
    ) -> Decision:
        """Look for grants; those of any number of uses first, so that no use is spent in vain."""
        used: list[_Held] = []
        grants = self._about(who, scope)
        for limited in (False, True) if grants else ():
            for grant in grants:
                if (
                    grant.rights & want
                    and (grant.uses is not None) is limited
                    and grant.covers(key)
                ):
                    used.append(grant)
                    want &= ~grant.rights
                    if not want:
                        return _by(used, audited=audited)
        return _REFUSED

    def _about(self, who: Principal, scope: Scope) -> Sequence[_Held]:
        """Return the grants to somebody that reach a scope and hold now."""
        to = (who.kind, who.id, who.part)
        where = (scope.kind, scope.id, scope.part)
        found = self._grants.get((*to, *where), ())
        kind = ("agents", who.id, "") if self._to_kinds and who.kind == "agent" else None
        if kind is not None:
            found += self._grants.get((*kind, *where), ())
        if scope.kind == "step":
            whole = ("workflow", scope.id, "")
            if self._owner(scope) == self._owner(Scope(*whole)):
                above = self._grants.get((*to, *whole), ())
                if kind is not None:
                    above += self._grants.get((*kind, *whole), ())
                found += tuple(grant for grant in above if grant.inherit)
        for grant in found:
            if grant.expires is not None:
                return [grant for grant in found if not self._is_over(grant)]
        return found

    def _is_over(self, grant: _Held) -> bool:
        return grant.expires is not None and grant.expires <= self._now()

    def _take_grant(self, key: Key, row: Row | None) -> None:
        number: int = key[0]  # type: ignore[assignment]
        before = self._numbered.get(number)
        if row is None:
            if before is not None:
                del self._numbered[number]
                self._drop(before)
            return
        held = self._numbered[number] = _Held(row)
        place = row[1:7]
        if before is not None and before.row[1:7] == place:
            # In one moment: who decides takes no lock, and a use of a grant is a change of it.
            grants = self._grants[place]
            self._grants[place] = tuple(held if grant is before else grant for grant in grants)
            return
        if before is not None:
            self._drop(before)
        self._grants[place] = (*self._grants.get(place, ()), held)
        self._to_kinds += place[0] == "agents"
        if held.expires is not None and before is None:
            with self._moments:
                heapq.heappush(self._running_out, held.expires)
                self._first_to_run_out = self._running_out[0]

    def _drop(self, held: _Held) -> None:
        place = held.row[1:7]
        kept = tuple(grant for grant in self._grants[place] if grant is not held)
        if kept:
            self._grants[place] = kept
        else:
            del self._grants[place]
        self._to_kinds -= place[0] == "agents"

    def _take_owner(self, key: Key, row: Row | None) -> None:
        _put(self._owners, key, None if row is None else row[3:6])

    def _take_boundary(self, key: Key, row: Row | None) -> None:
        _put(self._boundaries, key, None if row is None else Boundary(str(row[2])))

    def _take_isolation(self, key: Key, row: Row | None) -> None:
        isolation = None
        if row is not None:
            agent = Principal.agent(str(key[0]), str(key[1]))
            self.ever = True
            isolation = Isolation(agent, str(row[2]), row[3])  # type: ignore[arg-type]
        _put(self._isolated, key, isolation)


_NATURAL: Final = frozenset({"agent", "user"})
"""Scopes that belong to the principal of the same columns."""
_SYSTEM: Final = Principal.SYSTEM.columns
_NOBODY: Final = ("nobody", "", "")
"""Owns a scope of which it is not known who does: only the system may do anything there."""
_CLOSED: Final = {
    ISOLATED: "cut off are {}",
    BOUNDARIES: "the boundary is strict of {}",
    OWNERS: "nobody owns {}",
    GRANTS: "they do not hold ({})",
}
_OWNER: Final = Decision(allowed=True, reason="owner")
_REFUSED: Final = Decision(allowed=False, reason="no grant", audited=True)
_TABLES: Final[dict[Table, Callable[[Policy, Key, Row | None], None]]] = {
    GRANTS: Policy._take_grant,  # noqa: SLF001 - its own
    OWNERS: Policy._take_owner,  # noqa: SLF001
    BOUNDARIES: Policy._take_boundary,  # noqa: SLF001
    ISOLATED: Policy._take_isolation,  # noqa: SLF001
}


def _by(grants: list[_Held], *, audited: bool) -> Decision:
    """Return the decision that some grants make together."""
    first = grants[0]
    if len(grants) == 1 and first.uses is None:
        return Decision(True, f"grant {first.number}", audited)  # noqa: FBT003 - once a call
    return Decision(
        allowed=True,
        reason="grant " + ", ".join(str(grant.number) for grant in grants),
        audited=audited,
        uses=tuple(grant.number for grant in grants if grant.uses is not None),
    )


def stored_rows(store: StoreReader, table: Table) -> Iterable[Row]:
    """Iterate over all durable rows of a table, in the order of their keys."""
    after: Row | None = None
    while page := store.page(table, Order(table.key_names), after, PAGE):
        yield from page
        after = page[-1][: table.key]


def _put(places: dict[Any, Any], key: object, value: object) -> None:
    if value is None:
        places.pop(key, None)
    else:
        places[key] = value
