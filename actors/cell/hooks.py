"""Who listens to the turns of an agent, and what hooks need where it lives."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from ...hooks import points
from ...hooks.history.input import input_of
from ...hooks.history.playback import Playback
from ...hooks.history.record import Redact
from ...hooks.hook import Hook
from ...hooks.points import Point
from ...hooks.registry import Registry
from ...lifecycle.clock import Clock
from ...persistence.errors import Deadlock
from ...persistence.records.kinds import Name
from ...persistence.records.tables import Change
from ..pool.dispatcher import Dispatcher
from ..pool.loop import HandlerLoop

SEED_BITS: Final = 48
"""Of the seed of ``self.random``: so few digits are not looked at as if they were a secret."""
Chain = tuple[Hook, ...]
Handle = Callable[[Any, object], object]
"""Gives a message to an agent."""


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
    called: Chain
    """Those that run in the middle of handlers: by ``hooks.run``, at calls, at what is shared."""
    record: bool
    """Whether the turns are recorded."""
    keeps: bool = False
    """Whether anything of them goes into the history, or is told of afterwards."""
    tells: bool = False
    """Whether anybody is told when a turn is over."""
    watches: bool = False
    """Whether anybody wants to know how a handler ends."""
    awaits: bool = False
    """Whether one of those who do is async."""
    behind: Chain = ()
    """Those whose calls are stored with a commit, to be made when it is durable."""


_NOBODY: Final = TurnHooks((), (), (), (), (), (), (), (), (), record=False)


class HookOffice:
    """Find the hooks of each agent, and give them what they need (hook.HookNeeds)."""

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
        self._found: dict[tuple[str, str], TurnHooks | None] = {}
        """By kind, and by key for agents with hooks of their own: asked for every new cell."""
        self.changed: Callable[[], None] = lambda: None
        """Called when others listen than before."""
        self.listened: Callable[[], None] = lambda: None
        """Called before that, for those who listen at what agents share."""
        self.others: Callable[[], None] = lambda: None
        """Called after that, for those who wait for a hook."""
        self.handle: Handle | None = None
        """What gives recorded messages to agents, where a replay is debugged."""
        self.played: Playback | None = None
        """What turns are played from, where the system is a replay's."""
        seeds = random.Random()  # noqa: S311 - no secrets; what it gives is kept
        self.seed = functools.partial(seeds.getrandbits, SEED_BITS)
        """Gives the seed of what is random in a recorded turn."""
        for kind, agent_class in classes.items():
            self.registry.add_class(kind, agent_class)
        self.registry.changed = self.look_again
        self.deferred: Callable[[int], None] = lambda _sequence: None
        """Called when calls of hooks were stored with a commit up to that sequence."""
        self.erasing: Callable[[Sequence[Name]], AbstractContextManager[Sequence[Change]]]
        """Gives what takes an agent out of the history, to be appended in the block."""
        self.context = input_of
        self.redact = redact
        self.now = clock.now
        self.monotonic = clock.monotonic
        self._dispatcher = dispatcher
        self._loop = loop

    def of_turns(self, kind: str, key: str) -> TurnHooks | None:
        """Return who listens to an agent's turns; None if nobody does."""
        single = (kind, key) in self._recorded or self.registry.has_own(kind, key)
        place = (kind, key if single else "")
        known = self._found  # first, as in Registry.chain
        try:
            return known[place]
        except KeyError:
            known[place] = found = self._listening(kind, key)
            return found

    def look_again(self) -> None:
        """Forget who was found: others listen now."""
        self._found = {}
        self.listened()
        self.changed()
        self.others()

    def _listening(self, kind: str, key: str) -> TurnHooks | None:
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
            self.registry.at_programs_points(kind, key),
            record=self._recorded.get((kind, key), kind in self._recording),
        )
        if of == _NOBODY:
            return None
        later = of.changed or of.saved
        chains = (*of.before, *of.after, *of.error, *of.change, *of.save, *of.called)
        kept = any(hook.record or hook.deferred for hook in chains)
        watched = of.after or of.error or of.change or of.save
        return dataclasses.replace(
            of,
            keeps=bool(kept or later or of.record),
            tells=bool(later),
            watches=bool(watched or later),
            behind=tuple(hook for hook in (*of.changed, *of.saved) if hook.deferred),
            awaits=any(hook.is_async for hook in (*of.after, *of.error, *of.change, *of.save)),
        )

    def play(self, tape: Playback, kind: str, key: str, handle: Handle | None = None) -> None:
        """Have the turns of an agent take what they take from ``tape``: for a replay.

        ``handle`` gives messages to the agent instead of the cell.
        """
        self.played, self.handle = tape, handle
        self.record(kind, key, recorded=True)

    def record(self, kind: str, key: str, *, recorded: bool) -> None:
        """Have the turns of one agent recorded from the next one on, or not."""
        self._recorded[kind, key] = recorded
        self.look_again()

    def wait(self, coroutine: Coroutine[Any, Any, Any], budget: float | None) -> object:
        """Return what an async hook returns; its thread lends its place meanwhile.

        Deadlock on the loop on which it would run.
        """
        if self._loop.runs_here():
            coroutine.close()
            message = "an async hook cannot be waited for in a coroutine; call this in a thread"
            raise Deadlock(message)
        with self._dispatcher.blocking():
            return self._loop.run(_within(coroutine, budget))


async def _within(coroutine: Coroutine[Any, Any, Any], budget: float | None) -> object:
    limit = asyncio.timeout(budget)
    try:
        async with limit:
            return await coroutine
    except TimeoutError:
        if not limit.expired():
            raise  # its own
        message = f"it took longer than its budget of {budget:g} s"
        raise TimeoutError(message) from None
