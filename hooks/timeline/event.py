"""One event of a timeline, and where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from ...persistence.errors import ConfigurationError
from ...persistence.records.records import NOT_KNOWN
from .kinds import EventKind

_RANKS: Final = {kind: rank for rank, kind in enumerate(EventKind)}


class Place(NamedTuple):
    """Where an event stands: its commit, then what it is, then its number among those."""

    sequence: int
    rank: int
    number: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Secrets in it are ``***``."""

    sequence: int
    """The commit it belongs to; of a dead letter the last one before it died."""
    what: EventKind
    number: int
    """Its own number beside others of the commit: a hook's position, a decision's number, ..."""
    kind: str
    """Of the agent; empty where none was at work."""
    key: str
    name: str
    """What was handled: a method, a lifecycle step such as "(pause)"; a hook, an operation, an
    artifact."""
    time: float
    """When it was done, in seconds since the epoch."""
    message: int
    """Id of the message that was handled; 0 for none."""
    cause: int
    """Sequence of the commit that led to it, 0 from outside; below 0 less the id of a message, in
    the turn of which it was asked for. Of a part of a turn the turn's own sequence. -1 where an
    earlier release wrote it, which did not keep that."""
    correlation: int
    """Id of the message that began the chain; below 0, that of a session."""
    detail: str
    """JSON: what a turn changed, what a hook was told, and so on."""
    seconds: float | None = None
    """How long a hook took."""

    @property
    def place(self) -> tuple[int, int, int]:
        """Where it stands among all events."""
        return Place(self.sequence, _RANKS[self.what], self.number)

    @property
    def id(self) -> str:
        """What names it: ``17`` for the turn of commit 17, ``17.hook.0`` for a part of it."""
        return str(self.sequence) if self.is_turn else f"{self.sequence}.{self.what}.{self.number}"

    @property
    def is_turn(self) -> bool:
        """Whether it is a commit and not a part of one."""
        return self.what is EventKind.TURN

    @property
    def cause_known(self) -> bool:
        """Whether ``cause`` says what led to it."""
        return self.cause != NOT_KNOWN

    @property
    def agent(self) -> str:
        """Return ``KIND/KEY``; empty where no agent was at work."""
        return f"{self.kind}/{self.key}" if self.kind else ""

    def record(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "id": self.id, "what": str(self.what), "sequence": self.sequence, "kind": self.kind,
            "key": self.key, "name": self.name, "time": self.time, "message": self.message,
            "cause": self.cause if self.cause_known else None, "correlation": self.correlation,
            "seconds": self.seconds, "detail": msgspec.json.decode(self.detail or "null"),
        }  # fmt: skip


Wanted = Callable[[Event], bool]


def place_of(event_id: str | Place | None) -> Place | None:
    """Return the place that an event's id names; ConfigurationError if it names none."""
    if event_id is None or isinstance(event_id, Place):
        return event_id
    sequence, *part = str(event_id).split(".")
    try:
        what = EventKind(part[0]) if part else EventKind.TURN
        return Place(int(sequence), _RANKS[what], int(part[1]) if part else 0)
    except (ValueError, IndexError):
        message = f"{event_id!r} is no id of an event; give one such as 17 or 17.hook.0"
        raise ConfigurationError(message) from None
