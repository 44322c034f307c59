"""What hooks are told, one frozen record for each kind of point.

Values in them are the live ones, not copies: look, and answer Replace to have others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import msgspec

_BOTH: Final = 2


class Details(msgspec.Struct, frozen=True, gc=False, rename={"key": "agent"}):
    """What every point tells."""

    kind: str
    """The agent's kind; empty where no agent is at work."""
    key: str
    correlation: int
    """What it belongs to, as in the journal."""

    def replaced(self, data: object) -> Self:
        """Return the details with what Replace gives; TypeError if it has not its form."""
        message = f"{type(self).__name__} has nothing to replace by {data!r}"
        raise TypeError(message)


class MessageDetails(Details, frozen=True):
    """A message is about to be handled."""

    message: int
    """Its id; 0 for one that is not stored."""
    name: str
    """The method that is called; "on_receive" for a message to that."""
    args: tuple[object, ...]
    """The arguments; for "on_receive" the message alone."""
    kwargs: Mapping[str, object]
    cause: int
    """Sequence of the commit that sent it; 0 from outside. Below 0 as in the journal."""
    attempt: int
    """Which attempt this is, from 1."""
    asked: bool
    """Whether somebody waits for a reply."""

    def replaced(self, data: object) -> Self:
        """Return the details with other arguments, ``(args, kwargs)``, or another message."""
        if self.name == "on_receive":
            return msgspec.structs.replace(self, args=(data,))
        if isinstance(data, tuple) and len(data) == _BOTH and isinstance(data[1], Mapping):
            return msgspec.structs.replace(self, args=tuple(data[0]), kwargs=dict(data[1]))
        message = f"Replace at a message of {self.name} takes (args, kwargs), not {data!r}"
        raise TypeError(message)


class OutcomeDetails(MessageDetails, frozen=True):
    """A message was handled."""

    result: object
    seconds: float

    def replaced(self, data: object) -> Self:
        """Return the details with another result."""
        return msgspec.structs.replace(self, result=data)


class ErrorDetails(MessageDetails, frozen=True):
    """A handler has raised."""

    error: BaseException


class StateDetails(Details, frozen=True):
    """A turn has changed its agent's state."""

    name: str
    """What was handled."""
    version: int
    """The version that the change makes."""
    old: Mapping[str, object]
    """The plain fields that change, as they were; empty in ``state.after`` of a SNAPSHOT agent."""
    new: Mapping[str, object]
    """The same fields as they become."""
    delta: str
    """The whole change as the journal has it, with its logs and maps: JSON."""

    def replaced(self, data: object) -> Self:
        """Return the details with other values of plain fields."""
        if not isinstance(data, Mapping):
            raise TypeError(
                f"a changed state is replaced by values with their names, not by {data!r}"
            )
        return msgspec.structs.replace(self, new={**self.new, **data})


class SaveDetails(Details, frozen=True):
    """An agent's commit."""

    name: str
    version: int
    sequence: int
    """Its place in the journal; 0 before it has one."""
    size: int
    """Characters of its delta."""


class LoadDetails(Details, frozen=True):
    """An agent was loaded."""

    version: int
    new: bool
    """Whether the store had nothing of it."""


class LifecycleDetails(Details, frozen=True):
    """A step of an agent's life."""

    step: str
    status: str
    """The agent's status at that moment."""


class ScopeDetails(Details, frozen=True):
    """A shared key is read, written or deleted."""

    operation: str
    """"read", "write", "compare and set", "increment", "add" or "delete"."""
    scope: str
    name: str
    """The key."""
    value: object
    """What is read or written; what is added; None for what is not known yet, or not there."""

    def replaced(self, data: object) -> Self:
        """Return the details with another value."""
        return msgspec.structs.replace(self, value=data)


class SessionDetails(Details, frozen=True):
    """A session takes a step."""

    session: str
    step: str
    """"create", "suspend", "resume", "complete", "fail" or "archive"."""
    note: str


class ArtifactDetails(Details, frozen=True):
    """An artifact is saved, deleted, tagged, untagged or linked to its sources."""

    operation: str
    """"save", "delete", "tag", "untag" or "link"."""
    scope: str
    name: str
    number: int
    """That of the artifact; 0 before it has one."""
    size: int
    """Bytes; 0 where its bytes are still to come."""


class CallDetails(Details, frozen=True):
    """A call of a tool or a model."""

    name: str
    args: Mapping[str, object]
    result: object
    """None before the call."""
    seconds: float
    done: bool = False
    attempt: int = 1
    """Which attempt this is, from 1."""
    agreed: bool = False
    """Whether a person has agreed to it."""

    def replaced(self, data: object) -> Self:
        """Return the details with other arguments, or behind the call with another result."""
        if self.done:
            return msgspec.structs.replace(self, result=data)
        if not isinstance(data, Mapping):
            raise TypeError(f"Replace before a call takes arguments by name, not {data!r}")
        return msgspec.structs.replace(self, args=data)


class CallErrorDetails(CallDetails, frozen=True, kw_only=True):
    """A call of a tool or a model has raised."""

    error: BaseException
