"""A crash in process: a system ends as by a kill, and its threads can do nothing any more."""

from __future__ import annotations

from typing import Final

from ...actors.pool.garbage import YOUNG_GENERATION
from ...actors.pool.switching import SWITCH_INTERVAL
from ...actors.system.post import refuse_all
from ...ending import Ending
from ...lifecycle.clock import VirtualClock
from ...lifecycle.signals import mute
from ...persistence.errors import SystemClosed
from ...system import AgentSystem
from .store import DEAD, FaultyStore

# ruff: noqa: SLF001 - a system has no door for this: nobody but a test may end one so
THREADS_SECONDS: Final = 5.0
"""Real seconds that the threads of a dead system get to notice; a handler that hangs is left."""


def strike_dead(system: AgentSystem, store: FaultyStore) -> None:
    """End a system with what is durable at this moment; also from within one of its handlers.

    First the store, then the rest: whatever a thread of the old life does behind this line reaches
    nothing. The lease stays with the dead, so that the next owner knows that it was killed.
    """
    store.kill()
    mute(system)
    runtime, supervisor = system._runtime, system._supervisor
    system._closed = Ending()
    runtime.stop_intake()
    runtime.clock.close()
    if isinstance(runtime.clock, VirtualClock):
        runtime.clock.moved_out(runtime.rest)
    supervisor.committer.abort(SystemClosed(DEAD))
    runtime.closed = True
    for cell in list(runtime.cells.values()):
        refuse_all(cell)
    YOUNG_GENERATION.give_back(id(system))
    SWITCH_INTERVAL.give_back(id(system))


def bury(system: AgentSystem, store: FaultyStore) -> bool:
    """Wait for the threads of a dead system, and give back what its store has open.

    False if a thread does not end: a handler that hangs. It can do nothing any more.
    """
    if system._service is not None:
        system._service.close()
    system.secrets.close()
    ended = system._runtime.close(THREADS_SECONDS)
    system._supervisor.committer.close(THREADS_SECONDS)
    store.bury(system._store)
    return ended
