"""Agents that outlive their process: typed durable state, exactly-once messages, supervision.

Names are imported when they are first used, so that `perdure --help` and the reading commands
do not load the actors.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .actors.agent.agent import Agent
    from .actors.patterns.document import Conflicted, Merged
    from .actors.patterns.pipeline import Work
    from .actors.patterns.quota import Quota
    from .actors.patterns.requests import Answered, TimedOut, Waiting
    from .actors.system.cells import Passivation
    from .actors.talk.reference import AgentRef
    from .actors.talk.sessions import Session
    from .lifecycle import signals
    from .lifecycle.backoff import Backoff
    from .lifecycle.breaker import Breaker
    from .lifecycle.clock import VirtualClock
    from .lifecycle.durability import AutoSave, Durability, WhenUnsaved
    from .lifecycle.restart import RestartPolicy, Strategy
    from .lifecycle.status import Status
    from .persistence import errors
    from .persistence.errors import PerdureError
    from .persistence.memory.store import MemoryStore
    from .persistence.names.scope import Principal, Scope
    from .persistence.secrets.detector import Detector
    from .persistence.secrets.keys import (
        EnvironmentKeys,
        FileKeys,
        KeyProvider,
        KeyringKeys,
        StaticKeys,
        new_key,
    )
    from .persistence.secrets.pickled import Pickled
    from .persistence.secrets.secret import Secret
    from .persistence.state.log import Log
    from .persistence.state.map import Map
    from .persistence.state.state import State
    from .persistence.upkeep.retention import Retention
    from .shared.access.audit import Audit
    from .shared.access.boundaries import Boundary
    from .shared.artifacts.records import Artifact, ArtifactLimits
    from .shared.ledger.guard import Right
    from .shared.scopes.entries import ABSENT, Entry
    from .shared.sessions.records import Cleanup, SessionInfo, SessionLimits
    from .shared.sessions.status import SessionStatus
    from .system import AgentSystem
    from .url import open_reader

__all__ = [
    "ABSENT",
    "Agent",
    "AgentRef",
    "AgentSystem",
    "Answered",
    "Artifact",
    "ArtifactLimits",
    "Audit",
    "AutoSave",
    "Backoff",
    "Boundary",
    "Breaker",
    "Cleanup",
    "Conflicted",
    "Detector",
    "Durability",
    "Entry",
    "EnvironmentKeys",
    "FileKeys",
    "KeyProvider",
    "KeyringKeys",
    "Log",
    "Map",
    "MemoryStore",
    "Merged",
    "Passivation",
    "PerdureError",
    "Pickled",
    "Principal",
    "Quota",
    "RestartPolicy",
    "Retention",
    "Right",
    "Scope",
    "Secret",
    "Session",
    "SessionInfo",
    "SessionLimits",
    "SessionStatus",
    "State",
    "StaticKeys",
    "Status",
    "Strategy",
    "TimedOut",
    "VirtualClock",
    "Waiting",
    "WhenUnsaved",
    "Work",
    "errors",
    "new_key",
    "open_reader",
    "signals",
]

# The imports above, for the interpreter; a test holds the two lists together.
_HOMES: Final = {
    "ABSENT": ".shared.scopes.entries",
    "Agent": ".actors.agent.agent",
    "AgentRef": ".actors.talk.reference",
    "AgentSystem": ".system",
    "Answered": ".actors.patterns.requests",
    "Artifact": ".shared.artifacts.records",
    "ArtifactLimits": ".shared.artifacts.records",
    "Audit": ".shared.access.audit",
    "AutoSave": ".lifecycle.durability",
    "Backoff": ".lifecycle.backoff",
    "Boundary": ".shared.access.boundaries",
    "Breaker": ".lifecycle.breaker",
    "Cleanup": ".shared.sessions.records",
    "Conflicted": ".actors.patterns.document",
    "Detector": ".persistence.secrets.detector",
    "Durability": ".lifecycle.durability",
    "Entry": ".shared.scopes.entries",
    "EnvironmentKeys": ".persistence.secrets.keys",
    "FileKeys": ".persistence.secrets.keys",
    "KeyProvider": ".persistence.secrets.keys",
    "KeyringKeys": ".persistence.secrets.keys",
    "Log": ".persistence.state.log",
    "Map": ".persistence.state.map",
    "MemoryStore": ".persistence.memory.store",
    "Merged": ".actors.patterns.document",
    "Passivation": ".actors.system.cells",
    "PerdureError": ".persistence.errors",
    "Pickled": ".persistence.secrets.pickled",
    "Principal": ".persistence.names.scope",
    "Quota": ".actors.patterns.quota",
    "RestartPolicy": ".lifecycle.restart",
    "Retention": ".persistence.upkeep.retention",
    "Right": ".shared.ledger.guard",
    "Scope": ".persistence.names.scope",
    "Secret": ".persistence.secrets.secret",
    "Session": ".actors.talk.sessions",
    "SessionInfo": ".shared.sessions.records",
    "SessionLimits": ".shared.sessions.records",
    "SessionStatus": ".shared.sessions.status",
    "State": ".persistence.state.state",
    "StaticKeys": ".persistence.secrets.keys",
    "Status": ".lifecycle.status",
    "Strategy": ".lifecycle.restart",
    "TimedOut": ".actors.patterns.requests",
    "VirtualClock": ".lifecycle.clock",
    "Waiting": ".actors.patterns.requests",
    "WhenUnsaved": ".lifecycle.durability",
    "Work": ".actors.patterns.pipeline",
    "errors": ".persistence",
    "new_key": ".persistence.secrets.keys",
    "open_reader": ".url",
    "signals": ".lifecycle",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    try:
        home = _HOMES[name]
    except KeyError:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message) from None
    module = importlib.import_module(home, __name__)
    if not hasattr(module, name):  # `errors` and `signals` are modules themselves
        importlib.import_module(f"{home}.{name}", __name__)
    value: object = getattr(module, name)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
