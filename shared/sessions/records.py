"""A session as the store has it, and as people get it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

import msgspec

from ...persistence.codec.codec import Codec
from ...persistence.errors import ConfigurationError, SessionExists
from ...persistence.names.scope import Principal
from ...persistence.records.shared_tables import OWNERS
from ...persistence.records.tables import Row
from ..ledger.unit import Place, Step
from .status import OPEN, SessionStatus, stored_status


class Cleanup(enum.StrEnum):
    """What becomes of the keys in a session's scope when it ends."""

    KEEP = "keep"
    """They stay."""
    DELETE = "delete"
    """They are deleted when it ends."""
    EXPIRE = "expire"
    """They are deleted ``SessionLimits.keep`` seconds after its end."""


class SessionLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How much a session may take; None is no limit."""

    duration: float | None = None
    """Seconds from its creation; a session that lasts longer fails."""
    artifacts: int | None = None
    """How many artifacts may be made in it."""
    bytes: int | None = None
    """Of keys and values in its scope, and of the artifacts made in it, together."""
    keep: float | None = None
    """Seconds its keys stay after its end, with ``Cleanup.EXPIRE``."""

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        for name in ("duration", "artifacts", "bytes", "keep"):
            value = getattr(self, name)
            least = 0 if name in ("artifacts", "keep") else 1e-3
            kinds = (int,) if name in ("artifacts", "bytes") else (int, float)
            if value is not None and not (type(value) in kinds and least <= value < 2**53):
                message = f"SessionLimits({name}={value!r}) makes no sense; give a number above 0"
                raise ConfigurationError(message)

    def checked(self, cleanup: Cleanup) -> SessionLimits:
        """Return these limits; ConfigurationError if they do not fit the clean-up."""
        if (self.keep is not None) != (cleanup is Cleanup.EXPIRE):
            message = "SessionLimits(keep=SECONDS) and Cleanup.EXPIRE go together; give both"
            raise ConfigurationError(message)
        return self


LIMITS: Final[Codec[SessionLimits]] = Codec(SessionLimits)
META: Final[Codec[dict[str, object]]] = Codec(dict[str, object])


class SessionRow(NamedTuple):
    """A row of the table ``sessions``."""

    id: str
    parent: str
    """The session it is nested in, or ""."""
    name: str
    status: str
    who_kind: str
    who_id: str
    who_part: str
    correlation: int
    """What every message of it carries; below 0, which no other correlation is."""
    created: float
    changed: float
    ended: float | None
    deadline: float | None
    """When it is to be ended; of an ended one, when its keys are to be deleted."""
    cleanup: str
    limits: str
    meta: str
    note: str
    first: int
    """A sequence before its first commit."""
    sequence: int

    @property
    def state(self) -> SessionStatus:
        """Its status; CorruptState if there is no such status."""
        return stored_status(self.id, self.status)

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN

    @property
    def owner(self) -> Principal:
        """Who created it."""
        return Principal(self.who_kind, self.who_id, self.who_part)

    @property
    def cleaned_at(self) -> float | None:
        """When the keys of this ended session are to be deleted; None for never."""
        if self.ended is None or self.cleanup == Cleanup.KEEP:
            return None
        return self.ended + (self.bounds.keep or 0.0)

    @property
    def bounds(self) -> SessionLimits:
        """Its limits."""
        return LIMITS.load(self.limits, f"limits of session {self.id}")


def as_session(row: Row) -> SessionRow:
    """Return a row of the table with names."""
    return SessionRow._make(cast("tuple[str, ...]", row))


def owned(session: SessionRow) -> tuple[Place, Step]:
    """Return what makes a session's owner that of its scope."""
    columns = ("session", session.id, "")
    row = (*columns, *session.owner.columns, 0)

    def step(before: Row | None) -> Row:
        if before is not None and before[3:6] != row[3:6]:
            # Whoever owns the scope has it, whether there is a session of that name or not.
            raise SessionExists(f"the id {session.id} is taken; give another id")
        return row

    return (OWNERS, columns), step


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as it stood when it was looked at."""

    id: str
    name: str
    status: SessionStatus
    parent: str
    """The session it is nested in, or ""."""
    owner: Principal
    """Who created it, or for whom it was."""
    correlation: int
    """What every commit of it has in the journal."""
    created: float
    """Seconds since the epoch."""
    changed: float
    """When its last step was taken."""
    ended: float | None
    limits: SessionLimits
    cleanup: Cleanup
    note: str
    """What was said when its last step was taken."""
    meta: Mapping[str, object] = field(default_factory=dict)


def info_of(row: SessionRow) -> SessionInfo:
    """Return what people get of a row."""
    meta = META.load(row.meta, f"meta of session {row.id}")
    return SessionInfo(
        row.id, row.name, row.state, row.parent, row.owner, row.correlation, row.created,
        row.changed, row.ended, row.bounds, Cleanup(row.cleanup), row.note, meta,
    )  # fmt: skip
