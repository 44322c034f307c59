"""Agents that outlive their process: typed durable state, exactly-once messages, supervision.

Names are imported when they are first used, so that `perdure --help` and the reading commands
do not load the actors.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .actors.agent import Agent
    from .actors.reference import AgentRef
    from .actors.runtime import Passivation
    from .lifecycle.backoff import Backoff
    from .lifecycle.breaker import Breaker
    from .lifecycle.durability import AutoSave, Durability, WhenUnsaved
    from .lifecycle.restart import RestartPolicy, Strategy
    from .persistence.log import Log
    from .persistence.map import Map
    from .persistence.retention import Retention
    from .persistence.state import State
    from .system import AgentSystem

__all__ = [
    "Agent",
    "AgentRef",
    "AgentSystem",
    "AutoSave",
    "Backoff",
    "Breaker",
    "Durability",
    "Log",
    "Map",
    "Passivation",
    "RestartPolicy",
    "Retention",
    "State",
    "Strategy",
    "WhenUnsaved",
]

# The imports above, for the interpreter; a test holds the two lists together.
_HOMES: Final = {
    "Agent": ".actors.agent",
    "AgentRef": ".actors.reference",
    "AgentSystem": ".system",
    "AutoSave": ".lifecycle.durability",
    "Backoff": ".lifecycle.backoff",
    "Breaker": ".lifecycle.breaker",
    "Durability": ".lifecycle.durability",
    "Log": ".persistence.log",
    "Map": ".persistence.map",
    "Passivation": ".actors.runtime",
    "RestartPolicy": ".lifecycle.restart",
    "Retention": ".persistence.retention",
    "State": ".persistence.state",
    "Strategy": ".lifecycle.restart",
    "WhenUnsaved": ".lifecycle.durability",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    try:
        home = _HOMES[name]
    except KeyError:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message) from None
    value = getattr(importlib.import_module(home, __name__), name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
