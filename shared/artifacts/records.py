"""An artifact as people and programs get it, and what scopes may hold of them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ...persistence.codec.codec import codec_of
from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import Scope
from ...persistence.options import Options
from ...persistence.records.tables import Row

KIND, ID, PART, NAME, VERSION, CONTENT, SIZE, TYPE = range(1, 9)
AGENT_KIND, AGENT_KEY, SESSION, CORRELATION, MADE = range(10, 15)
META: Final = 15


class ArtifactType(enum.StrEnum):
    """What an artifact is."""

    AGENT_OUTPUT = "agent-output"
    TOOL_RESULT = "tool-result"
    USER_INPUT = "user-input"
    SYSTEM = "system"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version of a named artifact: never changed, only deleted. Its bytes: ``artifacts.open``."""

    number: int
    """Unique in the store, and never given twice; later ones are higher."""
    scope: Scope
    name: str
    version: int
    """Counts up from 1 for each name, as long as a version of that name exists."""
    content: str
    """SHA-256 of its bytes, hexadecimal. Equal bytes are stored once."""
    size: int
    """Bytes."""
    type: ArtifactType
    media: str
    """Such as ``text/csv``; perdure does not look at it."""
    agent: tuple[str, str] | None
    """Kind and key of the agent in whose turn it was made."""
    session: str
    sequence: int
    """The turn that made it, as the journal numbers it; 0 while that turn is under way."""
    correlation: int
    made: float
    """Seconds since the epoch."""
    meta: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.scope} {self.name!r} version {self.version}"


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """How many bytes of artifacts there may be; None for no limit.

    Each artifact counts with its size, whether or not its bytes are stored already.
    """

    largest: int | None = None
    """Bytes of one artifact."""
    scope: int | None = None
    """Bytes of all artifacts of one scope."""
    scopes: Mapping[Scope, int] = field(default_factory=dict)
    """The same for single scopes."""

    def __post_init__(self) -> None:
        """Refuse what is no number of bytes."""
        Options(self).kind("scopes", Mapping, "{Scope.user(id): 2**20}")
        for scope in self.scopes:
            if not isinstance(cast("object", scope), Scope):
                message = (
                    f"ArtifactLimits(scopes=...): {scope!r:.100} is no scope; give one as in"
                    " Scope.user(id), or read its text with Scope.parse(text)"
                )
                raise ConfigurationError(message)
        for value in (self.largest, self.scope, *self.scopes.values()):
            if value is not None and (type(value) is not int or value < 0):
                message = f"a limit of {value!r:.40} bytes makes no sense; give a number, or None"
                raise ConfigurationError(message)

    def of(self, scope: Scope) -> int | None:
        """Return how many bytes the artifacts of a scope may take."""
        return self.scopes.get(scope, self.scope)


def from_row(row: Row) -> Artifact:
    """Return a stored row as an artifact."""
    values: Any = row
    kind = values[AGENT_KIND]
    return Artifact(
        number=values[0],
        scope=Scope(*values[KIND:NAME]),
        name=values[NAME],
        version=values[VERSION],
        content=values[CONTENT],
        size=values[SIZE],
        type=ArtifactType(values[TYPE]),
        media=values[TYPE + 1],
        agent=(kind, values[AGENT_KEY]) if kind else None,
        session=values[SESSION],
        sequence=values[META + 1],
        correlation=values[CORRELATION],
        made=values[MADE],
        meta=_meta(values[META], f"meta of artifact {values[0]}"),
    )


_META: Final = codec_of(dict)


def _meta(text: str, path: str) -> Mapping[str, Any]:
    value = _META.load(text, path)
    assert isinstance(value, dict)
    return value
