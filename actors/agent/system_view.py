"""What a handler may use of the system its agent lives in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, Protocol, TypeVar

from ...shared.access.access import Access
from ...shared.artifacts.artifacts import Artifacts
from ...shared.scopes.state import ScopedState
from ...shared.sessions.sessions import Sessions
from ...shared.timeline.timelines import Timelines
from ..patterns.sharing import Sharing
from ..talk.identity import Identified
from ..talk.reference import AgentRef
from ..talk.sessions import Session

A = TypeVar("A", bound=Identified)
P = ParamSpec("P")
R = TypeVar("R")


class SystemView(Protocol):
    """Be what handlers see of the AgentSystem: other agents, and leave to wait.

    The system can do more. Flushing, closing or waiting for idleness inside a turn would wait for
    that turn itself, so handlers are not offered it.
    """

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent; nothing is loaded before the first message."""
        ...

    @property
    def state(self) -> ScopedState:
        """What agents share, by scope and key."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Named bytes with their origin."""
        ...

    @property
    def sessions(self) -> Sessions[Session]:
        """The sessions of the system."""
        ...

    @property
    def timeline(self) -> Timelines:
        """What happened and what caused what, as far as the agent may see it."""
        ...

    @property
    def sharing(self) -> Sharing:
        """Topics, pipelines, boards of requests, documents and families of agents."""
        ...

    @property
    def access(self) -> Access:
        """Who may do what with what agents share; an agent grants rights on what it owns."""
        ...

    def carry(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` such that a thread that calls it is in the turn that is here now."""
        ...

    def blocking(self) -> AbstractContextManager[None]:
        """Say that the block waits for something outside; another thread takes over meanwhile."""
        ...
