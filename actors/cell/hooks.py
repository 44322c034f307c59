"""Who listens to the turns of an agent, and what hooks need where it lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...hooks import points
from ...hooks.history.record import Redact, as_json, put_runs, record_of
from ...hooks.hook import Hook, HookRun
from ...hooks.registry import Registry
from ...lifecycle.clock import Clock
from ...persistence.records.records import Commit
from ..pool.dispatcher import Dispatcher
from ..pool.loop import HandlerLoop

Chain = tuple[Hook, ...]


@dataclass(frozen=True, slots=True)
class TurnHooks:
    """The hooks that run in the turns of one agent."""

    before: Chain
    after: Chain
    error: Chain
    change: Chain
    changed: Chain
    save: Chain
    saved: Chain


class Listened(Protocol):
    """A cell, as far as its hooks need one."""

    hooks: TurnHooks | None


class HookOffice:
    """Find the hooks of each agent, and give them what they need (hook.Surroundings)."""

    def __init__(
        self,
        classes: Mapping[str, type],
        clock: Clock,
        dispatcher: Dispatcher,
        loop: HandlerLoop,
        redact: Redact,
    ) -> None:
        """Begin with the hooks that are methods of agent classes, by kind.

        ``redact`` takes out of the history what looks like a secret.
        """
        self.registry = Registry()
        for kind, agent_class in classes.items():
            self.registry.add_class(kind, agent_class)
        self.context = as_json
        self.redact = redact
        self.now = clock.now
        self.monotonic = clock.monotonic
        self._dispatcher = dispatcher
        self._loop = loop
        self._lock = threading.Lock()

    def of_turns(self, kind: str, key: str) -> TurnHooks | None:
        """Return who listens to an agent's turns; None if nobody does."""
        chains = [
            self.registry.chain(point, kind, key)
            for point in (
                points.MESSAGE_BEFORE, points.MESSAGE_AFTER, points.ERROR, points.STATE_BEFORE,
                points.STATE_AFTER, points.SAVE_BEFORE, points.SAVE_AFTER,
            )
        ]  # fmt: skip
        return TurnHooks(*chains) if any(chains) else None

    def put_runs(self, runs: list[HookRun], commit: Commit) -> None:
        """Have executions kept with a commit."""
        put_runs(commit, [record_of(run, self.redact) for run in runs], self.now())
        runs.clear()

    def wait(self, coroutine: Coroutine[Any, Any, Any], budget: float | None) -> object:
        """Return what an async hook returns; its thread lends its place meanwhile."""
        with self._dispatcher.blocking():
            return self._loop.run(asyncio.wait_for(coroutine, budget))
