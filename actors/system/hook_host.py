"""What sets of hooks get from a system, done in the name of whoever owns them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...hooks.acting import apart, in_name_of
from ...hooks.details import Details
from ...hooks.results import Retry
from ...hooks.trace import Spanned
from ...persistence.errors import Denied
from ...persistence.names.scope import Principal, Scope
from ...shared.ledger.guard import Decision, Right, Standing, Use
from ...shared.scopes.state import ScopedState
from ..cell.cell import AgentCell, Surroundings
from ..cell.chains import numbered
from ..talk.turn import begun_in


class OwnersHost:
    """Give hooks the clock, durable values and the audit of a system (``hooks.sets.HookHost``).

    Bound to their owner: whatever a set does with it, it does no more than that may.
    """

    def __init__(self, home: Surroundings, state: ScopedState, owner: str) -> None:
        """Act for the agents of the class ``owner``, or if that is empty for the system."""
        self._home = home
        self._state = state
        self.owner = owner
        self.monotonic = home.clock.monotonic

    def update(self, what: str, key: str, change: Callable[[object], object]) -> None:
        """Change a value, durable when this returns."""
        who = self._speaker()
        scope, place = Scope.custom("hooks", what), key
        if self.owner:
            scope, place = Scope.agent(who.id, who.part), f"hooks/{what}/{key}"

        def changed(state: ScopedState) -> None:
            state.set(scope, place, change(state.get(scope, place, default=None)))

        with in_name_of(who):
            self._state.transact(changed)

    def note(self, details: Details, operation: str, reason: str, *, allowed: bool) -> None:
        """Put into the audit what an agent did."""
        desk, who = self._home.desk, self._speaker()
        agent = Principal.agent(details.kind, details.key)
        if self.owner and agent != who:
            raise Denied(f"a hook of {who} may not put into the audit what {agent} did")
        standing = Standing(agent, "", details.correlation)
        name = str(getattr(details, "name", ""))
        use = Use(Right(0), Scope.agent(details.kind, details.key), name, operation)
        said = desk.plain.reason(reason, "a reason in the audit")
        decision = Decision(allowed, said, audited=True)
        with in_name_of(who), desk.entry() as unit:
            unit.audit.append(desk.guard.record(standing, use, decision))

    def spanned(self) -> Spanned | None:
        """Return where the turn stands in its trace."""
        turn = begun_in(self._home)
        if turn is None:
            return None
        cell = cast("AgentCell", turn.cell)
        limit = cell.blueprint.agent_class.restarts.attempts
        last = turn.letter.reply_to is not None or turn.letter.attempts + 1 >= limit
        if cell.hooks is not None and any(Retry in hook.allowed for hook in cell.hooks.error):
            last = False
        context, parent = self._home.traces.spanned(numbered(self._home, turn.letter))
        return Spanned(context, parent, last)

    def _speaker(self) -> Principal:
        """Return who acts: the system, or the agent at whose work a hook of its class runs."""
        if not self.owner:
            return Principal.SYSTEM
        who = apart.get() or self._home.desk.standing().principal
        if (who.kind, who.id) != ("agent", self.owner):
            message = f"hooks of {self.owner} act at the work of its agents only, not as {who}"
            raise Denied(message)
        return who
