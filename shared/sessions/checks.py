"""A session read from a file: everything is checked before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, BinaryIO, Final

import msgspec

from ...persistence.codec.codec import codec_of
from ...persistence.errors import (
    ConfigurationError,
    CorruptState,
    ImportRefused,
    ScopeError,
    StateError,
)
from ...persistence.names.keys import checked_key, checked_name
from ...persistence.names.scope import Principal
from ...persistence.secrets.detector import sensitive
from ...persistence.secrets.plain import Plain
from ..artifacts.records import ArtifactType
from .bounds import (
    HISTORY,
    LARGEST_META,
    LONGEST_NAME,
    LONGEST_NOTE,
    META_OF,
    MOST_NOTES,
    NAME,
    checked_text,
    refuse_control,
)
from .file import (
    COUNTED,
    FORMAT,
    AnyLine,
    Begin,
    Described,
    End,
    Happened,
    Keyed,
    Made,
    Piece,
    decode,
    longest,
    tag,
)
from .records import Cleanup
from .status import OPEN, SessionStatus


class Checked:
    """A file that was found good."""

    __slots__ = ("digest", "session")

    def __init__(self, session: Described, digest: str) -> None:
        """Hold what the second pass must meet again."""
        self.session = session
        self.digest = digest


class SessionFile:
    """Read one file twice: first to check all of it, then to take it over."""

    def __init__(self, file: BinaryIO, name: str, largest: int, plain: Plain | None = None) -> None:
        """Read ``file``; ``largest`` is how many characters a value may take.

        What ``plain`` refuses is refused as a fault of the file.
        """
        self._plain = plain or Plain()
        self._file = file
        self._name = name
        self._largest = largest
        self._line = 0

    def check(self) -> Checked:
        """Check the whole file; ImportRefused names the line and what is wrong with it."""
        checks = _Checks(self._largest, self._plain)
        try:
            for line in self.lines():
                checks.take(line)
            return checks.result()
        except ImportRefused:
            raise
        except _FAULTS as error:
            self._line = getattr(error, "line", 0) or self._line
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
    """Something is wrong with a line: the one just read, or an earlier one."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.line = line


_FAULTS: Final = (
    _Fault, ScopeError, StateError, CorruptState, ConfigurationError, ValueError, RecursionError,
)  # fmt: skip


class _Checks:
    """Know what is allowed after the lines so far."""

    def __init__(self, largest: int, plain: Plain) -> None:
        self._largest = largest
        self._plain = plain
        self._stage = -1
        self._counts = dict.fromkeys(COUNTED, 0)
        self._session: Described | None = None
        self._end: End | None = None
        self._last_key = ""
        self._line = self._size = self._notes = 0
        self._made: dict[int, tuple[int, list[int]]] = {}  # lines and sources, by number
        self._open: _Bytes | None = None

    def take(self, line: AnyLine) -> None:
        self._line += 1
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
        if self._open is not None and not isinstance(line, Piece):
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
        refuse_control(line.commit.name, "the name of a commit")
        delta = exact(line.commit.delta, self._largest, "delta")
        if not delta.startswith("{"):
            raise _Fault("a delta is no object")
        self._plain.value(delta, HISTORY)

    def _part(self, line: Piece) -> None:
        if self._open is None:
            raise _Fault("bytes stand without their artifact")
        self._open.take(line)

    def _finish(self, line: End) -> None:
        if line.counts != self._counts:
            raise _Fault("its counts are wrong: lines are missing, or there are too many")
        self._check_lineage()
        self._end = line

    def _check_lineage(self) -> None:
        for number, (at, sources) in self._made.items():
            for source in sources:
                if source not in self._made:
                    raise _Fault(f"artifact {number} has a source that is not in the file", at)
        try:
            TopologicalSorter({made: of for made, (_, of) in self._made.items()}).prepare()
        except CycleError as error:
            number = error.args[1][0]
            why = f"artifact {number} is made from itself, directly or not"
            raise _Fault(why, self._made[number][0]) from None

    def _count(self, size: int) -> None:
        """Add up what the session is to hold; one that has ended has no limits any more."""
        assert self._session is not None
        self._size += size
        if self._session.ended is not None:
            return
        limits, made = self._session.limits, self._counts["artifact"]
        for what, held, limit in (
            ("bytes", self._size, limits.bytes), ("artifacts", made, limits.artifacts),
        ):  # fmt: skip
            if limit is not None and held > limit:
                raise _Fault(f"the session holds more than the {limit:,} {what} it may")

    def _describe(self, line: Described) -> None:
        self._session = line
        if checked_name(line.id, "session id") != line.id:
            raise _Fault("the id of the session is not in its normal form")
        checked_text(line.name, "name", LONGEST_NAME)
        refuse_control(line.name, "the name of the session")
        checked_text(line.note, "note", LONGEST_NOTE)
        status = SessionStatus(line.status)
        if (status in OPEN) != (line.ended is None):
            raise _Fault("its status and the time of its end do not agree")
        line.limits.checked(Cleanup(line.cleanup))
        Principal.parse(line.owner)
        meta = exact(line.meta, LARGEST_META, "meta")
        if not isinstance(codec_of(object).decode(meta), dict):
            raise _Fault("its meta is no object")
        self._plain.words(line.name, NAME)
        self._plain.value(meta, META_OF)

    def _key(self, line: Keyed) -> None:
        if checked_key(line.key) != line.key:
            raise _Fault("a key is not in its normal form")
        if line.key <= self._last_key:
            raise _Fault("its keys are not in order")
        if not line.version:
            raise _Fault("a key was never written")
        self._last_key = line.key
        text = exact(line.value, self._largest, repr(line.key)[:80])
        self._plain.name(line.key, "a key")
        self._plain.value(text, f"session {line.key}", sensitive(line.key))
        self._count(len(line.key.encode()) + len(text.encode()))

    def _artifact(self, line: Made) -> None:
        if checked_key(line.name) != line.name:
            raise _Fault("the name of an artifact is not in its normal form")
        ArtifactType(line.type)
        if line.number in self._made:
            raise _Fault("an artifact is there twice")
        self._plain.name(line.name, "the name of an artifact")
        self._plain.value(exact(line.meta, LARGEST_META, "meta"), "meta of an artifact")
        for text in (*line.tags, line.media or "-"):
            self._plain.words(text, "a tag or media type")
            if checked_name(text, "tag or media type") != text:
                raise _Fault("a tag or a media type is not in its normal form")
        for what, named in (("tag", list[object](line.tags)), ("source", [*line.sources])):
            if len(set(named)) != len(named):
                raise _Fault(f"a {what} of an artifact is there twice")
        self._notes += len(line.tags) + len(line.sources)
        if self._notes > MOST_NOTES:
            raise _Fault(f"its artifacts have more than {MOST_NOTES:,} tags and sources together")
        self._made[line.number] = self._line, line.sources
        self._count(line.size)
        self._open = _Bytes(line)

    _CHECKS: Final[dict[type, Callable[[_Checks, Any], None]]] = {
        Begin: _begin, Described: _describe, Keyed: _key, Happened: _commit, Made: _artifact,
        Piece: _part, End: _finish,
    }  # fmt: skip


class _Bytes:
    """Add up the bytes of an artifact."""

    def __init__(self, line: Made) -> None:
        self._line = line
        self._digest = hashlib.sha256()
        self._size = 0

    def take(self, part: Piece) -> None:
        self._digest.update(part.data)
        self._size += len(part.data)

    def close(self) -> None:
        line = self._line
        if (self._digest.hexdigest(), self._size) != (line.content, line.size):
            raise _Fault("the bytes of an artifact are not what its hash says")


def exact(raw: msgspec.Raw, largest: int, path: str) -> str:
    """Return JSON of a file as it is stored; StateError if it cannot be, or is too long."""
    codec = codec_of(object)
    text = codec.encode(codec.decode(bytes(raw).decode()), path)
    if len(text) > largest:
        raise StateError(path, f"takes {len(text):,} characters, more than {largest:,}")
    return text
