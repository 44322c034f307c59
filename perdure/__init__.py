"""Agents that outlive their process: typed durable state, exactly-once messages, supervision."""

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
