"""Hooks that belong together, and what they get from the system that registers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from .details import Details
from .hook import Declared
from .trace import Spanned

C = TypeVar("C", bound=type)

HOOKED: Final = "__perdure_hooked__"
"""The attribute in which an agent class has the sets of hooks that act for it."""


class HookHost(Protocol):
    """The system that registers hooks, as they see it.

    It acts as their owner: for what is added to ``system.hooks`` as the system; for what belongs to
    an agent class as the agent at whose work the hook runs, and Denied anywhere else.
    """

    owner: str
    """The kind of the agent class whose hooks they are; empty for those of the system."""

    def monotonic(self) -> float:
        """Return the seconds by which it waits; they never go back."""
        ...

    def update(self, what: str, key: str, change: Callable[[object], object]) -> None:
        """Change a value by a function, durable when this returns, and not undone with a turn.

        It stands in ``Scope.custom("hooks", what)`` under ``key``, and for an agent class in the
        scope of the agent itself under ``hooks/what/key``; None where there is none yet. In a
        deferred hook it is part of the call's own commit. The function may be called several times;
        what it raises leaves all as it was.
        """
        ...

    def note(self, details: Details, operation: str, reason: str, *, allowed: bool) -> None:
        """Put into the audit what an agent did, with a method's name as its key.

        Denied to hooks of an agent class about another agent than the one at work.
        """
        ...

    def spanned(self) -> Spanned | None:
        """Return where the turn at whose work a hook runs stands in its trace; None outside."""
        ...


class HookSet(Protocol):
    """Hooks that belong together, as those that perdure ships.

    One set may be registered several times: what one registration remembers, it gets from
    ``hooks``, and keeps for itself.
    """

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return them for one registration. Their names say what they are, without their agents."""
        ...


def hooked(*sets: HookSet) -> Callable[[C], C]:
    """Have sets of hooks act for every agent of a class, and of its subclasses.

    They are registered when a system opens with the class, in the name of the class.
    """

    def declare(agent_class: C) -> C:
        setattr(agent_class, HOOKED, (*getattr(agent_class, HOOKED, ()), *sets))
        return agent_class

    return declare
