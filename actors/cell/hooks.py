"""Who listens to the turns of an agent, and what hooks need where it lives."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...hooks import points
from ...hooks.history.record import Redact, as_json
from ...hooks.history.recording import Recorder, Tape
from ...hooks.hook import Hook
from ...hooks.points import Point
from ...hooks.registry import Registry
from ...lifecycle.clock import Clock
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
    load: Chain
    record: bool
    """Whether the turns are recorded."""
    keeps: bool = False
    """Whether anything of them goes into the history, or is told of afterwards."""
    watches: bool = False
    """Whether anybody wants to know how a handler ends."""


_NOBODY: Final = TurnHooks((), (), (), (), (), (), (), (), record=False)


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
        self._recording = {kind for kind, each in classes.items() if getattr(each, "record", False)}
        self._recorded: dict[tuple[str, str], bool] = {}
        self._seeds = random.Random()  # noqa: S311 - no secrets; what it gives is kept
        for kind, agent_class in classes.items():
            self.registry.add_class(kind, agent_class)
        self.deferred: Callable[[int], None] = lambda _sequence: None
        """Called when calls of hooks were stored with a commit up to that sequence."""
        self.context = as_json
        self.redact = redact
        self.now = clock.now
        self.monotonic = clock.monotonic
        self._dispatcher = dispatcher
        self._loop = loop
        self._lock = threading.Lock()

    def of_turns(self, kind: str, key: str) -> TurnHooks | None:
        """Return who listens to an agent's turns; None if nobody does."""

        def listening(point: Point[Any]) -> Chain:
            return self.registry.chain(point, kind, key)

        of = TurnHooks(
            listening(points.MESSAGE_BEFORE),
            listening(points.MESSAGE_AFTER),
            listening(points.ERROR),
            listening(points.STATE_BEFORE),
            listening(points.STATE_AFTER),
            listening(points.SAVE_BEFORE),
            listening(points.SAVE_AFTER),
            listening(points.LOAD_AFTER),
            record=self._recorded.get((kind, key), kind in self._recording),
        )
        if of == _NOBODY:
            return None
        later = of.changed or of.saved
        chains = (*of.before, *of.after, *of.error, *of.change, *of.save)
        kept = any(hook.record or hook.deferred for hook in chains)
        watched = of.after or of.error or of.change or of.save or of.record
        return dataclasses.replace(
            of, keeps=bool(kept or later or of.record), watches=bool(watched or later)
        )

    def tape(self) -> Tape:
        """Return what a turn that is recorded takes its time and its chances from."""
        return Recorder(self.now, self._seeds.getrandbits(63))

    def record(self, kind: str, key: str, *, recorded: bool) -> None:
        """Have the turns of one agent recorded from the next one on, or not."""
        self._recorded[kind, key] = recorded
        self.registry.changed()

    def wait(self, coroutine: Coroutine[Any, Any, Any], budget: float | None) -> object:
        """Return what an async hook returns; its thread lends its place meanwhile."""
        with self._dispatcher.blocking():
            return self._loop.run(asyncio.wait_for(coroutine, budget))
