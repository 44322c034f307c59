"""Agents that outlive their process: typed durable state, exactly-once messages, supervision.

Names are imported when they are first used, so that `perdure --help` and the reading commands
do not load the actors.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .actors.agent import Agent
    from .actors.keeping import Passivation
    from .actors.reference import AgentRef
    from .actors.sessions import Session
    from .actors.sharing.document import Conflicted, Merged
    from .actors.sharing.pipeline import Work
    from .actors.sharing.quota import Quota
    from .actors.sharing.requests import Answered, TimedOut, Waiting
    from .lifecycle import signals
    from .lifecycle.access.boundaries import Boundary
    from .lifecycle.access.trail import Audit
    from .lifecycle.artifacts.records import Artifact, ArtifactLimits
    from .lifecycle.backoff import Backoff
    from .lifecycle.breaker import Breaker
    from .lifecycle.clock import VirtualClock
    from .lifecycle.durability import AutoSave, Durability, WhenUnsaved
    from .lifecycle.restart import RestartPolicy, Strategy
    from .lifecycle.scopes.entries import ABSENT, Entry
    from .lifecycle.sessions.records import Cleanup, SessionInfo, SessionLimits
    from .lifecycle.sessions.status import SessionStatus
    from .lifecycle.status import Status
    from .persistence import errors
    from .persistence.errors import PerdureError
    from .persistence.log import Log
    from .persistence.map import Map
    from .persistence.memory import MemoryStore
    from .persistence.retention import Retention
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
    from .persistence.shared.guard import Right
    from .persistence.shared.scope import Principal, Scope
    from .persistence.state import State
    from .persistence.url import open_reader
    from .system import AgentSystem

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
    "ABSENT": ".lifecycle.scopes.entries",
    "Agent": ".actors.agent",
    "AgentRef": ".actors.reference",
    "AgentSystem": ".system",
    "Answered": ".actors.sharing.requests",
    "Artifact": ".lifecycle.artifacts.records",
    "ArtifactLimits": ".lifecycle.artifacts.records",
    "Audit": ".lifecycle.access.trail",
    "AutoSave": ".lifecycle.durability",
    "Backoff": ".lifecycle.backoff",
    "Boundary": ".lifecycle.access.boundaries",
    "Breaker": ".lifecycle.breaker",
    "Cleanup": ".lifecycle.sessions.records",
    "Conflicted": ".actors.sharing.document",
    "Detector": ".persistence.secrets.detector",
    "Durability": ".lifecycle.durability",
    "Entry": ".lifecycle.scopes.entries",
    "EnvironmentKeys": ".persistence.secrets.keys",
    "FileKeys": ".persistence.secrets.keys",
    "KeyProvider": ".persistence.secrets.keys",
    "KeyringKeys": ".persistence.secrets.keys",
    "Log": ".persistence.log",
    "Map": ".persistence.map",
    "MemoryStore": ".persistence.memory",
    "Merged": ".actors.sharing.document",
    "Passivation": ".actors.keeping",
    "PerdureError": ".persistence.errors",
    "Pickled": ".persistence.secrets.pickled",
    "Principal": ".persistence.shared.scope",
    "Quota": ".actors.sharing.quota",
    "RestartPolicy": ".lifecycle.restart",
    "Retention": ".persistence.retention",
    "Right": ".persistence.shared.guard",
    "Scope": ".persistence.shared.scope",
    "Secret": ".persistence.secrets.secret",
    "Session": ".actors.sessions",
    "SessionInfo": ".lifecycle.sessions.records",
    "SessionLimits": ".lifecycle.sessions.records",
    "SessionStatus": ".lifecycle.sessions.status",
    "State": ".persistence.state",
    "StaticKeys": ".persistence.secrets.keys",
    "Status": ".lifecycle.status",
    "Strategy": ".lifecycle.restart",
    "TimedOut": ".actors.sharing.requests",
    "VirtualClock": ".lifecycle.clock",
    "Waiting": ".actors.sharing.requests",
    "WhenUnsaved": ".lifecycle.durability",
    "Work": ".actors.sharing.pipeline",
    "errors": ".persistence",
    "new_key": ".persistence.secrets.keys",
    "open_reader": ".persistence.url",
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
