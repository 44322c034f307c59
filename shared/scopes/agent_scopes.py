"""Shared state as an agent sees it."""

from __future__ import annotations

from ...persistence.names.scope import Principal, Scope
from .state import ScopedState


class AgentScopes(ScopedState):
    """Shared state as an agent sees it: ``self.scopes`` in a handler."""

    def __init__(self, state: ScopedState, own: Scope) -> None:
        """See ``state`` as the agent whose own scope is ``own``.

        Also where no turn is known, as in a thread the handler starts, it acts as the agent.
        """
        desk = state._desk.acting_as(Principal.agent(own.id, own.part))  # noqa: SLF001 - its base
        schemas = state._schemas  # noqa: SLF001 - its base
        super().__init__(desk, largest=state.largest, schemas=schemas)
        self.own = own
        """The scope that belongs to the agent."""
