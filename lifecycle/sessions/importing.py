"""A session read from a file: everything is checked before anything is written."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import msgspec

from ...persistence.codec import codec_of
from ...persistence.errors import (
    ConfigurationError,
    CorruptState,
    ImportRefused,
    ScopeError,
    StateError,
)
from ...persistence.shared.keys import checked_key, checked_name
from ...persistence.shared.scope import Principal
from .calls import LARGEST_META, LONGEST_NAME, LONGEST_NOTE, checked_text
from .file import (
    COUNTED,
    FORMAT,
    AnyLine,
    Begin,
    Content,
    Described,
    End,
    Happened,
    Keyed,
    Made,
    Part,
    decode,
    longest,
    tag,
)
from .records import Cleanup
from .status import OPEN, SessionStatus

ARTIFACT_TYPES: Final = frozenset({"agent-output", "tool-result", "user-input", "system", "custom"})


class Checked:
    """A file that was found good."""

    __slots__ = ("digest", "session")

    def __init__(self, session: Described, digest: str) -> None:
        """Hold what the second pass must meet again."""
        self.session = session
        self.digest = digest


class SessionFile:
    """Read one file twice: first to check all of it, then to take it over."""

    def __init__(self, file: BinaryIO, name: str, largest: int) -> None:
        """Read ``file``; ``largest`` is how many characters a value may take."""
        self._file = file
        self._name = name
        self._largest = largest
        self._line = 0

    def check(self) -> Checked:
        """Check the whole file; ImportRefused names the line and what is wrong with it."""
        checks = _Checks(self._largest)
        try:
            for line in self.lines():
                checks.take(line)
            return checks.result()
        except _FAULTS as error:
            raise self._refusal(str(error)) from None

    def lines(self) -> Iterator[AnyLine]:
        """Iterate over the lines; what stands behind the last one is refused."""
        digest = hashlib.sha256()
        limit = longest(self._largest)
        self._file.seek(0)
        self._line = 0
        while True:
            text = self._file.readline(limit + 1)
            self._line += 1
            line = self._decoded(text, limit)
            if isinstance(line, End):
                if line.sha256 != digest.hexdigest():
                    raise self._refusal("its checksum does not match: the file was changed")
                if self._file.read(1):
                    raise self._refusal("there is more behind its end")
                yield line
                return
            digest.update(text)
            yield line

    def _decoded(self, text: bytes, limit: int) -> AnyLine:
        if not text.endswith(b"\n"):
            if len(text) > limit:
                raise self._refusal(f"it is longer than {limit:,} bytes")
            raise self._refusal("the file ends in the middle of it")
        try:
            return decode(text)
        except (ValueError, RecursionError, ConfigurationError) as error:
            # A validation error tells names and types of ours, never a value of the file.
            raise self._refusal(str(error)) from None

    def _refusal(self, why: str) -> ImportRefused:
        return ImportRefused(
            f"{self._name}, line {self._line}: {why}; nothing was imported",
            file=self._name, line=self._line,
        )  # fmt: skip


class _Fault(Exception):
    """Something is wrong with a line."""


_FAULTS: Final = (
    _Fault, ScopeError, StateError, CorruptState, ConfigurationError, ValueError, RecursionError,
    zlib.error,
)  # fmt: skip


class _Checks:
    """Know what is allowed after the lines so far."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._stage = -1
        self._counts = dict.fromkeys(COUNTED, 0)
        self._session: Described | None = None
        self._end: End | None = None
        self._last_key = ""
        self._numbers: set[int] = set()
        self._versions: set[tuple[str, int]] = set()
        self._wanted: dict[str, int] = {}  # contents of artifacts, with their sizes
        self._open: _Content | None = None

    def take(self, line: AnyLine) -> None:
        if self._stage < 0 and not isinstance(line, Begin):
            raise _Fault("this is no file of a session: it does not begin as one")
        single = line.stage < Keyed.stage
        if line.stage < self._stage or (single and line.stage != self._stage + 1):
            raise _Fault(f"a line {tag(line)!r} does not belong here")
        if self._stage < Described.stage < line.stage:
            raise _Fault("the session itself is missing")
        self._stage = line.stage
        if tag(line) in self._counts:
            self._counts[tag(line)] += 1
        if self._open is not None and not isinstance(line, Part):
            self._open.close()
            self._open = None
        self._CHECKS[line.__class__](self, line)

    def result(self) -> Checked:
        assert self._session is not None
        assert self._end is not None
        return Checked(self._session, self._end.sha256)

    def _begin(self, line: Begin) -> None:
        if line.perdure_session != FORMAT:
            raise _Fault(f"its format {line.perdure_session} is unknown; upgrade perdure")

    def _commit(self, line: Happened) -> None:
        exact(line.commit.delta, self._largest, "delta")

    def _part(self, line: Part) -> None:
        if self._open is None:
            raise _Fault("a part stands without its content")
        self._open.take(line)

    def _finish(self, line: End) -> None:
        if line.counts != self._counts:
            raise _Fault("its counts are wrong: lines are missing, or there are too many")
        if self._wanted:
            raise _Fault("a content of its artifacts is missing")
        self._end = line

    def _describe(self, line: Described) -> None:
        self._session = line
        if checked_name(line.id, "session id") != line.id:
            raise _Fault("the id of the session is not in its normal form")
        checked_text(line.name, "name", LONGEST_NAME)
        checked_text(line.note, "note", LONGEST_NOTE)
        status = SessionStatus(line.status)
        if (status in OPEN) != (line.ended is None):
            raise _Fault("its status and the time of its end do not agree")
        line.limits.checked(Cleanup(line.cleanup))
        Principal.parse(line.owner)
        if not isinstance(codec_of(object).decode(exact(line.meta, LARGEST_META, "meta")), dict):
            raise _Fault("its meta is no object")

    def _key(self, line: Keyed) -> None:
        if checked_key(line.key) != line.key:
            raise _Fault("a key is not in its normal form")
        if line.key <= self._last_key:
            raise _Fault("its keys are not in order")
        if not line.version:
            raise _Fault("a key was never written")
        self._last_key = line.key
        exact(line.value, self._largest, repr(line.key)[:80])

    def _artifact(self, line: Made) -> None:
        if checked_key(line.name) != line.name:
            raise _Fault("the name of an artifact is not in its normal form")
        if line.type not in ARTIFACT_TYPES:
            raise _Fault("an artifact has an unknown type")
        if line.number in self._numbers or (line.name, line.version) in self._versions:
            raise _Fault("an artifact is there twice")
        exact(line.meta, LARGEST_META, "meta")
        for text in (*line.tags, line.media, line.agent_kind, line.agent_key):
            checked_text(text, "text of an artifact", LONGEST_NOTE)
        for text in line.tags:
            if checked_name(text, "tag") != text:
                raise _Fault("a tag is not in its normal form")
        self._numbers.add(line.number)
        self._versions.add((line.name, line.version))
        if self._wanted.setdefault(line.content, line.size) != line.size:
            raise _Fault("the size of a content is not that of its artifact")

    def _content(self, line: Content) -> None:
        if self._wanted.pop(line.content, None) != line.size:
            raise _Fault("a content belongs to no artifact, or has another size")
        self._open = _Content(line)

    _CHECKS: Final[dict[type, Callable[[_Checks, Any], None]]] = {
        Begin: _begin, Described: _describe, Keyed: _key, Happened: _commit, Made: _artifact,
        Content: _content, Part: _part, End: _finish,
    }  # fmt: skip


class _Content:
    """Add up the parts of a content."""

    def __init__(self, line: Content) -> None:
        self._line = line
        self._digest = hashlib.sha256()
        self._size = self._parts = 0

    def take(self, part: Part) -> None:
        data = part.data
        if part.packed:
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data, part.size + 1)
            if not unpacking.eof or unpacking.unused_data:
                raise _Fault("a part is not packed as it should be")
        if len(data) != part.size or hashlib.sha256(data).hexdigest() != part.chunk:
            raise _Fault("a part is not what its hash says")
        self._digest.update(data)
        self._size += len(data)
        self._parts += 1

    def close(self) -> None:
        line = self._line
        found = (self._digest.hexdigest(), self._size, self._parts)
        if found != (line.content, line.size, line.parts):
            raise _Fault("a content is not what its hash says")


def exact(raw: msgspec.Raw, largest: int, path: str) -> str:
    """Return JSON of a file as it is stored; StateError if it cannot be, or is too long."""
    codec = codec_of(object)
    text = codec.encode(codec.decode(bytes(raw).decode()), path)
    if len(text) > largest:
        raise StateError(path, f"takes {len(text):,} characters, more than {largest:,}")
    return text
