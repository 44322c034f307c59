"""The file of one session: lines of JSON, checked as they are read.

First ``begin``, then ``session``, then its keys, its history, its artifacts with their bytes, and
last ``end`` with how many lines of each there were and the SHA-256 of everything before it.
Nothing in it is ever taken for a path, a type or code.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeAlias

import msgspec

from ...persistence.codec.codec import Codec
from .bounds import MOST_NOTES
from .records import SessionLimits

FORMAT: Final = 1

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Hash: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Short: TypeAlias = Annotated[str, msgspec.Meta(max_length=2000)]


class Line(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="t"
):
    """A line; those of a file come in the order of their ``stage``."""

    stage: ClassVar[int] = 0


class Begin(Line, frozen=True, tag="begin"):
    """The first line."""

    perdure_session: int
    """The format."""
    made: Time


class Described(Line, frozen=True, tag="session"):
    """The session itself."""

    stage: ClassVar[int] = 1

    id: Short
    name: Short
    status: Short
    owner: Short
    created: Time
    changed: Time
    ended: Time | None
    cleanup: Short
    limits: SessionLimits
    meta: msgspec.Raw
    note: Short


class Keyed(Line, frozen=True, tag="key"):
    """A key of the session's scope."""

    stage: ClassVar[int] = 2

    key: Short
    value: msgspec.Raw
    version: Count
    expires: Time | None
    schema: Short = ""
    """The version of its type that has written it; empty where the store knows of none."""


class Kept(msgspec.Struct, frozen=True):
    """A commit, as an import keeps it."""

    kind: Short
    key: Short
    version: Count
    time: Time
    name: Short
    message: Number
    cause: Number
    delta: msgspec.Raw


class Happened(Line, frozen=True, tag="commit"):
    """A commit of the session's history."""

    stage: ClassVar[int] = 3

    commit: Kept


class Made(Line, frozen=True, tag="artifact"):
    """A version of an artifact in the session's scope; its bytes follow at once."""

    stage: ClassVar[int] = 4

    number: Count
    name: Short
    content: Hash
    """SHA-256 of its bytes."""
    size: Count
    type: Short
    media: Short
    meta: msgspec.Raw
    tags: Annotated[list[Short], msgspec.Meta(max_length=MOST_NOTES)]
    sources: Annotated[list[Count], msgspec.Meta(max_length=MOST_NOTES)]
    """Numbers of artifacts in the file that it was made from."""
    schema: Short = ""
    """The version of its type that has written ``meta``, as with keys."""


class Piece(Line, frozen=True, tag="bytes"):
    """Some of the bytes of the artifact before it."""

    stage: ClassVar[int] = 4

    data: bytes


class End(Line, frozen=True, tag="end"):
    """The last line."""

    stage: ClassVar[int] = 5

    counts: dict[str, int]
    sha256: Hash


AnyLine: TypeAlias = Begin | Described | Keyed | Happened | Made | Piece | End

KEPT: Final[Codec[Kept]] = Codec(Kept)
COUNTED: Final[tuple[str, ...]] = ("key", "commit", "artifact", "bytes")
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final[msgspec.json.Decoder[AnyLine]] = msgspec.json.Decoder(AnyLine)


def encode(line: AnyLine) -> bytes:
    """Return a line with its end."""
    return _ENCODER.encode(line) + b"\n"


def encode_kept(commit: Kept) -> str:
    """Return a commit as an import keeps it, as JSON."""
    return _ENCODER.encode(commit).decode()


def decode(text: bytes) -> AnyLine:
    """Return a line; msgspec.ValidationError or msgspec.DecodeError if it is none."""
    return _DECODER.decode(text)


def longest(largest: int) -> int:
    """Return how many bytes a line may take where a value may take ``largest`` characters."""
    return 4 * largest + 2**21


def tag(line: AnyLine) -> str:
    """Return which kind of line it is."""
    return str(line.__struct_config__.tag)
