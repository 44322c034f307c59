"""How much a script may take, and how it is closed in."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..actors.agent.agent import Agent
from ..persistence.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptLimits:
    """How much one run of a script may take; more is a ScriptLimit, and the worker is killed."""

    seconds: float = 10.0
    """By the clock, from its beginning, with what it waits for, over all attempts."""
    memory: int = 64 << 20
    """Bytes of the script's values."""
    output: int = 64 << 10
    """Characters that it may log and print."""
    calls: int = 10_000
    """Calls of the host."""
    message: int = 4 << 20
    """Bytes of one call, with what is given to it; of one answer; of the result."""
    attempts: int = 20
    """How often it is run before others' changes of what it has read are an error (Conflict)."""

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        options = Options(self)
        options.seconds("seconds")
        options.whole("memory", least=1 << 20)
        options.whole("output", least=0)
        options.whole("calls", least=0)
        options.whole("message", least=1024)
        options.whole("attempts", least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRights:
    """What scripts may reach beside what is shared, as far as their principal may."""

    agents: Sequence[type[Agent[Any]]] = ()
    """Classes whose agents they may call and tell: by their own public methods, or, where the
    class has ``script_methods``, by those."""
    replay: bool = False
    """Replay recorded turns."""
    backups: str | Path | None = None
    """A folder in which they may make backups; those whose principal is the system."""

    def __post_init__(self) -> None:
        """Refuse rights that make no sense."""
        options = Options(self)
        options.kind("agents", Sequence, "(Desk,)")
        options.flag("replay")
        if self.backups is not None and not isinstance(self.backups, str | Path):
            raise options.wrong("backups", "a folder, or None")


class Confinement(enum.StrEnum):
    """What is asked of the machine that runs scripts."""

    REQUIRED = "required"
    """Scripts are closed in, or not run (NotConfined)."""
    AVAILABLE = "available"
    """As far as the machine can: for scripts that are trusted."""
