"""What a hook may answer: small typed values, each with what it makes of the work at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..persistence.errors import ConfigurationError


class Addressee(Protocol):
    """An agent by its name: a reference is one."""

    @property
    def kind(self) -> str:
        """Its kind."""
        ...

    @property
    def key(self) -> str:
        """Its key."""
        ...


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on as if nobody had listened; None says the same."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Go on with other data: what it is, each point says. Later hooks see it, too."""

    data: object


@dataclass(frozen=True, slots=True)
class Cancel:
    """Do not do it: the caller gets HookCancelled with the reason, never a success.

    A message nobody asked about goes to the dead letters.
    """

    reason: str

    def __post_init__(self) -> None:
        """Refuse a reason that is no text."""
        if not isinstance(self.reason, str):
            raise ConfigurationError(f"{self}: give the reason as a text")


@dataclass(frozen=True, slots=True)
class Hold:
    """Have a person agree first, for the reason that is given.

    The run of an agent that thinks waits for ``approve(run, call)``, however long; then it goes
    on, and who holds the call again is not heeded. Elsewhere nobody can be asked, and the caller
    gets CallHeld.
    """

    reason: str

    def __post_init__(self) -> None:
        """Refuse a reason that is no text."""
        if not isinstance(self.reason, str):
            raise ConfigurationError(f"{self}: give the reason as a text")


@dataclass(frozen=True, slots=True)
class Retry:
    """Undo it and do it again after ``delay`` seconds, up to ``attempts`` times in all."""

    delay: float = 0.0
    attempts: int = 3

    def __post_init__(self) -> None:
        """Refuse a retry that is none."""
        if not 0 <= self.delay < math.inf or self.attempts < 1:
            message = f"{self}: give a delay of 0 seconds or more, and attempts from 1"
            raise ConfigurationError(message)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Have another agent handle the message: it is sent there with the turn, reply and all."""

    to: Addressee

    def __post_init__(self) -> None:
        """Refuse what is no agent."""
        _check_addressee(self, self.to)


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not do it, and say it went well with ``value`` as its result."""

    value: object = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Go on, and send a copy of the message to another agent with the turn; its reply is lost."""

    to: Addressee

    def __post_init__(self) -> None:
        """Refuse what is no agent."""
        _check_addressee(self, self.to)


@dataclass(frozen=True, slots=True)
class Cache:
    """Answer with the last result that was found under ``key`` if it is not older than ``seconds``.

    Else go on, and keep the result. What is kept lives in memory, at most ``most`` results.
    """

    seconds: float
    key: str
    most: int = 1024

    def __post_init__(self) -> None:
        """Refuse a cache that could keep nothing."""
        if not self.seconds > 0 or self.most < 1:
            raise ConfigurationError(f"{self}: give seconds above 0, and most from 1")
        if not isinstance(self.key, str):
            raise ConfigurationError(f"{self}: give the key as a text")


def _check_addressee(answer: object, to: object) -> None:
    names = getattr(to, "kind", None), getattr(to, "key", None)
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{answer}: give an agent, as system.agent(Desk, 'emea')")


Result: TypeAlias = Continue | Replace | Cancel | Hold | Retry | Redirect | Skip | Fork | Cache
