"""Who listens at shared state, as the desk asks them."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

from ...hooks.details import Details
from ...hooks.points import Point

D = TypeVar("D", bound=Details)


class Listeners(Protocol):
    """Run hooks at points of shared state, in turns and outside."""

    @property
    def shared(self) -> bool:
        """Whether anybody listens at such a point: looked at before anything is done for it."""
        ...

    def ask(self, point: Point[Any], name: str, details: D) -> D:
        """Return the details as the hooks left them; HookCancelled, HookFailed.

        ``name`` is what a hook may be limited to: a key, a step, an operation.
        """
        ...


class Nobody:
    """Nobody listens."""

    shared: Final = False

    def ask(self, point: Point[Any], name: str, details: D) -> D:  # noqa: ARG002
        """Return the details."""
        return details
