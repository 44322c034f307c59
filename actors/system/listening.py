"""Hooks at points of shared state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from ...hooks.details import Details
from ...hooks.points import SHARED, Point
from ..cell.hooks import HookOffice
from ..cell.listeners import refuse
from .calls import ProgramPoints

D = TypeVar("D", bound=Details)

_listening: Final[ContextVar[bool]] = ContextVar("perdure_listening", default=False)
"""Set while hooks run at shared state: what they do there themselves runs none."""


@contextmanager
def listening(point: Point[Any]) -> Iterator[None]:
    """Run a block as hooks of ``point``, then or later: at shared state they run no others."""
    token = _listening.set(point in SHARED)
    try:
        yield
    finally:
        _listening.reset(token)


class SharedListeners:
    """Run hooks at points of shared state (ledger.listeners.Listeners)."""

    def __init__(self, office: HookOffice, programs: ProgramPoints) -> None:
        """Run those of ``office`` as a program runs hooks in its handlers."""
        self._registry = office.registry
        self._points = programs
        self.shared = False
        office.listened = self._look_again
        self._look_again()

    def ask(self, point: Point[Any], name: str, details: D) -> D:
        """Return the details as the hooks left them; HookCancelled, HookFailed."""
        if _listening.get():
            return details
        with listening(point):
            decision = self._points.run(point, details, name)
        refuse(decision)
        return details if decision is None else decision.details

    def _look_again(self) -> None:
        hooks = self._registry.list()
        self.shared = any(hook.enabled and hook.point in SHARED for hook in hooks)
