"""Hooks at points of shared state: run for the turn under way, or for a call outside."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

from ...hooks.details import Details
from ...hooks.executor import aside, run_chain
from ...hooks.hook import HookRun
from ...hooks.points import SHARED, Point
from ..cell.cell import AgentCell, Surroundings
from ..cell.listeners import NOTHING, keep_runs, refuse
from ..talk.turn import under_way_in

D = TypeVar("D", bound=Details)

_listening: Final[ContextVar[bool]] = ContextVar("perdure_listening", default=False)
"""Set while hooks run at shared state: what they do there themselves runs none."""


class SharedListeners:
    """Run hooks at points of shared state (ledger.listeners.Listeners)."""

    def __init__(self, home: Surroundings) -> None:
        """Ask the hooks of ``home``."""
        self._home = home
        self.shared = False
        home.hooks.listened = self._look_again
        self._look_again()

    def ask(self, point: Point[Any], name: str, details: D) -> D:
        """Return the details as the hooks left them; HookCancelled, HookFailed."""
        home = self._home
        chain = home.hooks.registry.chain(point, details.kind, details.key)
        if not chain or _listening.get():
            return details
        turn = None if aside.get() else under_way_in(home)
        agent, runs = None, list[HookRun]()
        notes = None if turn is None else turn.notes
        if turn is not None:
            agent = cast("AgentCell", turn.cell).activation.agent  # type: ignore[union-attr]
        else:  # a method runs in its agent's turns
            chain = tuple(hook for hook in chain if not hook.method)
        token = _listening.set(True)
        try:
            decision = run_chain(chain, details, name, agent, home.hooks, runs)
        finally:
            _listening.reset(token)
            if turn is None or notes is None:
                keep_runs(
                    home, runs, NOTHING if turn is None else (turn.letter.id, turn.letter.cause)
                )
            elif runs:
                notes.runs += runs
                turn.effects = True
        refuse(decision)
        return details if decision is None else decision.details

    def _look_again(self) -> None:
        hooks = self._home.hooks.registry.list()
        self.shared = any(hook.enabled and hook.point in SHARED for hook in hooks)
