"""``system.access``: rights are granted and revoked, owners and boundaries set, agents cut off."""

from __future__ import annotations

from typing import Final, Protocol

from ...persistence.errors import Denied, ScopeError, UnknownAgent, UnknownGrant
from ...persistence.names.keys import checked_part, checked_pattern
from ...persistence.names.named import AnyAgent, checked_scope, named, principal_of
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.shared_tables import BOUNDARIES, GRANTS, OWNERS
from ...persistence.records.tables import Row
from ..ledger.desk import Desk, Handle
from ..ledger.guard import Decision, Right, Standing, Use, recorded
from ..ledger.unit import Place, Step
from .boundaries import Boundary
from .cut_off import Isolations
from .grants import Grant, Isolation
from .listing import Grants
from .policy import NUMBERS, Policy

MOST_USES: Final = 2**63 - 1
LONGEST: Final = 10.0**10
"""Seconds that a grant may hold, about 300 years."""


class Isolates(Protocol):
    """Cut agents off, and let them go on."""

    def isolate(self, isolation: Isolation) -> None:
        """Cut an agent off."""
        ...

    def restore(self, agent: Principal) -> bool:
        """Let it go on; tell whether it was cut off."""
        ...


class Access(Handle):
    """Say who may do what. Thread-safe; in a turn its agent acts, outside the system.

    Outside, each change is a commit and returns when it is durable. In a turn it commits with the
    turn. It holds from its place in the order of commits on: a turn that used a right which is
    revoked before that turn's own commit is undone, and gets Denied.
    """

    def __init__(self, desk: Desk, policy: Policy, isolator: Isolates) -> None:
        """Change ``policy`` by commits; cut off by ``isolator``."""
        super().__init__(desk)
        self._policy = policy
        self._isolator = isolator

    @property
    def grants(self) -> Grants:
        """The grants that hold: ``list()``, ``each()``, ``count()``."""
        return Grants(self._desk, self._policy)

    def grant(
        self,
        to: AnyAgent,
        scope: Scope,
        rights: Right,
        *,
        keys: str = "*",
        seconds: float | None = None,
        uses: int | None = None,
        inherit: bool = False,
    ) -> Grant:
        """Give rights on a scope to an agent, to all agents of a kind, or to a user.

        Only the scope's owner and the system may (Denied).

        Args:
            to: who gets them; a reference to an agent will do.
            scope: where.
            rights: what may be done, as in ``Right.READ | Right.LIST``.
            keys: a key, or a prefix and ``*`` at its end.
            seconds: how long it holds.
            uses: how many calls may use it, an int; 1 for a one-time right. A use counts when its
                turn commits.
            inherit: whether it also holds in the steps of a workflow that have the same owner.
        """
        to = named(to)
        standing = self._owning(scope, "grant rights on")
        if to.kind == "system" or not Right(0) < Right(rights) <= Right.ALL:
            message = f"a grant of {rights!r} to {to} makes no sense; give rights to an agent"
            raise ScopeError(message)
        _check_limits(seconds, uses)
        if inherit and scope.kind != "workflow":
            message = f"{scope} has no steps to inherit a grant; only workflows have"
            raise ScopeError(message)
        now = self._desk.now()
        grant = Grant(
            self._policy.next_grant(), to, scope, Right(rights), checked_pattern(keys),
            None if seconds is None else now + float(seconds), uses, inherit,
            standing.principal, now,
        )  # fmt: skip
        self._change(
            standing,
            Use(Right(0), scope, grant.keys, f"grant {grant.rights.name} to {to}"),
            {
                (GRANTS, (grant.number,)): lambda _row: grant.row(),
                NUMBERS: lambda row: _raised(row, grant.number),
            },
        )
        return grant

    def revoke(self, grant: int | Grant) -> None:
        """Take a grant back, with effect for the very next call. UnknownGrant if it is gone.

        Only who owns the scope now, and the system, may; to others there is no such grant.
        """
        number = grant.number if isinstance(grant, Grant) else grant
        found = self._policy.grant(number)
        standing = self._desk.standing()
        if found is None or not self._policy.owns(standing.principal, found.scope):
            # Also where there is none: the audit is to tell who tries numbers.
            use = Use(Right(0), Scope.GLOBAL, None, f"revoke grant {number}"[:100])
            self._note_refusal(standing, use)
            raise UnknownGrant(f"there is no grant {number} that {standing.principal} could revoke")
        use = Use(Right(0), found.scope, found.keys, f"revoke grant {number}")
        self._change(standing, use, {(GRANTS, (number,)): _gone})

    def own(self, scope: Scope, owner: AnyAgent) -> None:
        """Give a scope to an owner; the scope's owner and the system may. Grants on it stay.

        An agent's scope and a user's are theirs for good (ScopeError).
        """
        owner = named(owner)
        standing = self._owning(scope, "give away")
        if scope.kind in ("agent", "user") or owner.kind == "agents":
            raise ScopeError(f"{scope} cannot be given to {owner}; own another scope")
        row: Row = (*scope.columns, *owner.columns, 0)
        place = (OWNERS, scope.columns)
        use = Use(Right(0), scope, None, f"give to {owner}")
        self._change(standing, use, {place: lambda _row: row})

    def owner(self, scope: Scope) -> Principal:
        """Return who owns a scope; only the owner and the system may ask (Denied)."""
        self._owning(scope, "ask for the owner of")
        return self._policy.owner(scope)

    def set_boundary(self, agent: AnyAgent, boundary: Boundary | None) -> None:
        """Set the boundary of one agent, lastingly; None for that of its class. System only."""
        standing = self._only_system("set boundaries")
        who = principal_of(agent)
        row: Row = (who.id, who.part, str(Boundary(boundary)) if boundary is not None else "", 0)
        use = Use(Right(0), Scope.agent(who.id, who.part), None, f"set boundary {boundary}")
        place = (BOUNDARIES, (who.id, who.part))
        self._change(standing, use, {place: lambda _row: None if boundary is None else row})

    def isolate(self, agent: AnyAgent, reason: str) -> None:
        """Cut an agent off from everything at once, over restarts, until ``restore``. System only.

        Its turn under way is abandoned, and nothing of it is kept; asks to it are refused with
        Isolated; what is told to it waits. No commit of the agent stands after this one in the
        journal. A VOLATILE agent loses its state. When the store is away, the agent is isolated
        all the same; the error says that this is not durable yet. UnknownAgent for one of a kind
        that has no class here and is not stored: a misspelt name cuts nobody off.
        """
        self._only_system("isolate an agent")
        who = principal_of(agent)
        if not self._policy.knows(who.id) and who.id not in self._desk.ledger.store.kinds():
            message = f"no agent class of kind {who.id!r}; {who} is not isolated"
            raise UnknownAgent(message)
        why = self._desk.plain.reason(_checked_reason(reason), f"why {who} is isolated")
        self._isolator.isolate(Isolation(who, why, self._desk.now()))

    def restore(self, agent: AnyAgent) -> bool:
        """Let an isolated agent go on with all its mail. System only.

        Return False, and do nothing, if it was not isolated.
        """
        self._only_system("restore an agent")
        return self._isolator.restore(principal_of(agent))

    @property
    def isolations(self) -> Isolations:
        """Who is cut off, and why: ``list()``, ``each()``, ``count()``. System only."""
        return Isolations(self._policy.isolations, self._only_system)

    def check(self, who: AnyAgent, right: Right, scope: Scope, key: str | None = None) -> Decision:
        """Return what would be decided, without doing anything, and not audited. System only."""
        self._only_system("ask for decisions")
        return self._policy.check(Standing(named(who)), right, checked_scope(scope), key)

    def _only_system(self, what: str) -> Standing:
        standing = self._desk.standing()
        if standing.principal != Principal.SYSTEM:
            use = Use(Right(0), Scope.GLOBAL, None, what)
            self._refuse(standing, use, f"{standing.principal} may not {what}; only the system may")
        return standing

    def _owning(self, scope: Scope, what: str) -> Standing:
        standing = self._desk.standing()
        who, scope = standing.principal, checked_scope(scope)
        cut_off = who.kind == "agent" and self._policy.isolated(who.id, who.part)
        if cut_off or not self._policy.owns(who, scope):
            message = f"{who} may not {what} {scope}; only its owner and the system may"
            self._refuse(standing, Use(Right(0), scope, None, what), message)
        return standing

    def _refuse(self, standing: Standing, use: Use, message: str) -> None:
        self._note_refusal(standing, use)
        raise Denied(message)

    def _note_refusal(self, standing: Standing, use: Use) -> None:
        decision = Decision(allowed=False, reason="not the owner", audited=True)
        with self._desk.entry() as unit:
            unit.audit.append(recorded(self._desk.now(), standing, use, decision))

    def _change(self, standing: Standing, use: Use, steps: dict[Place, Step]) -> None:
        """Change the policy, in the unit of the turn or by a commit; always in the audit."""
        who = standing.principal
        decision = Decision(allowed=True, reason="the system" if who.kind == "system" else "owner")
        with self._desk.entry() as unit:
            unit.audit.append(recorded(self._desk.now(), standing, use, decision))
            for place, step in steps.items():
                if place[0] in (OWNERS, BOUNDARIES):
                    unit.replaced.add(place)  # whatever is there, also if it is damaged
                unit.change(place, self._still(standing, use, step), checked=False)

    def _still(self, standing: Standing, use: Use, step: Step) -> Step:
        """Return a step that is refused when its principal no longer owns the scope."""

        def checked(row: Row | None) -> Row | None:
            if not self._policy.owns(standing.principal, use.scope):
                message = f"{standing.principal} may not {use.operation} on {use.scope} any more"
                raise Denied(message)
            return step(row)

        return checked


def _check_limits(seconds: object, uses: object) -> None:
    """Refuse a grant that would never hold, or whose limits cannot be stored as they are."""
    if seconds is not None and not (
        isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < LONGEST
    ):
        message = f"a grant for seconds={seconds!r:.40}: give a number above 0, below {LONGEST:.0e}"
        raise ScopeError(message)
    if uses is not None and not (
        isinstance(uses, int) and not isinstance(uses, bool) and 1 <= uses <= MOST_USES
    ):
        message = f"a grant for uses={uses!r:.40}: give an int from 1 to 2**63 - 1"
        raise ScopeError(message)


def _checked_reason(reason: object) -> str:
    if not isinstance(reason, str):
        raise ScopeError(f"the reason must be text, not {type(reason).__name__}")
    return checked_part(reason, "reason")


def _gone(_row: Row | None) -> None:
    return None


def _raised(row: Row | None, number: int) -> Row:
    last = 0 if row is None else int(str(row[1]))
    return (NUMBERS[1][0], str(max(last, number)), 0)
