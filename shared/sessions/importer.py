"""An import taken over into the store, slice by slice, the session itself last."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Final, cast

from ...persistence.codec.codec import codec_of
from ...persistence.errors import Conflict, Denied, ImportRefused, PerdureError, SessionExists
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.shared_tables import LINEAGE, PROGRESS, SCOPED, SESSIONS
from ...persistence.records.tables import Row, Table
from ...persistence.secrets.detector import sensitive
from ...persistence.secrets.place import in_scope
from ...persistence.secrets.plain import Plain
from ..artifacts.artifacts import Artifacts
from ..artifacts.records import Artifact
from ..artifacts.sink import Sink
from ..ledger.desk import Desk
from ..ledger.unit import Unit
from ..scopes.entries import gone
from ..scopes.rows import keyed
from ..scopes.schemas import Schemas
from . import current
from .bounds import HISTORY, META_OF, NAME, NOTE, Bounds
from .checks import Checked, SessionFile, exact
from .cleanup import IMPORTS, swept
from .file import AnyLine, Described, End, Happened, Keyed, Made, Piece, encode_kept
from .pages import history_key, history_scope
from .records import LIMITS, SessionRow, owned
from .status import OPEN, SessionStatus
from .watch import SessionWatch

logger = logging.getLogger("perdure.lifecycle")

_SESSION: Final = "session"
LINK: Final = 16
"""Bytes that a source of an artifact weighs."""
SLICE: Final = 500
"""Rows in one commit."""
LARGEST_SLICE: Final = 4 * 1024 * 1024
"""Characters and bytes in one commit, about."""


class Importer:
    """Take sessions over from files."""

    def __init__(
        self, desk: Desk, watch: SessionWatch, bounds: Bounds, artifacts: Artifacts,
        values: Schemas,
    ) -> None:  # fmt: skip
        """Write by ``desk``, and ``artifacts``; ``values`` migrates keys."""
        self._desk = desk
        self._watch = watch
        self.bounds = bounds
        self.artifacts = artifacts
        self._values = values

    def read(self, path: Path, session_id: str | None) -> SessionRow:
        """Check a file and take it over; see ``Sessions.import_``."""
        try:
            file = path.open("rb")
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}; nothing was imported"
            raise ImportRefused(message, file=str(path), line=0) from None
        with file:
            source = SessionFile(file, str(path), self.bounds.largest, self.plain)
            checked = source.check()
            who = self._desk.standing().principal
            if str(who) != checked.session.owner and who != Principal.SYSTEM:
                message = f"{who} may not create a session for {checked.session.owner}"
                raise Denied(message)
            key = session_id or checked.session.id
            self._begin(key)
            correlation = -self.bounds.number()
            self._watch.expect(correlation, key)
            # What is made of the file is made in the session, although that comes last.
            current.enter(None, correlation)
            try:
                return _Taking(self, key, checked, correlation).take(source)
            except BaseException:
                self._undo(key)
                raise
            finally:
                current.leave()

    def _begin(self, key: str) -> None:
        """Say that an import is under way, so that what it leaves can be found."""
        scope = Scope.session(key)
        unit = self.unit(0)

        def begun(before: Row | None) -> Row:
            if before is not None:
                raise SessionExists(f"a session {key} is being imported; give another id")
            return (IMPORTS + key, str(self.bounds.number()), 0)

        def free(before: Row | None) -> None:
            if before is not None:
                raise SessionExists(f"there is a session {key} already; give another id")

        unit.change((SESSIONS, (key,)), free, checked=False)
        unit.change((PROGRESS, (IMPORTS + key,)), begun, checked=False)
        self._desk.commit(unit, name="(session import begun)")
        for kind in (scope.columns, history_scope(key)):
            if next(keyed(self._desk, None, kind, ""), None) is not None:
                self._refuse_used(key, "keys")
        if self.artifacts.usage(scope) != (0, 0):
            self._refuse_used(key, "artifacts")

    def _refuse_used(self, key: str, what: str) -> None:
        self._end(key, "(session import undone)")
        raise SessionExists(f"there are {what} in {Scope.session(key)} already; give another id")

    def finish(self, key: str, unit: Unit) -> None:
        """Commit the last slice, and that nothing is under way any more."""
        unit.change((PROGRESS, (IMPORTS + key,)), gone, checked=False)
        self._desk.commit(unit, name="(session imported)")

    def _end(self, key: str, name: str) -> None:
        unit = self.unit(0)
        unit.change((PROGRESS, (IMPORTS + key,)), gone, checked=False)
        self._desk.commit(unit, name=name)

    def commit(self, unit: Unit) -> None:
        """Commit a slice."""
        self._desk.commit(unit, name="(session import)")

    def unit(self, correlation: int) -> Unit:
        """Return a unit of the system's."""
        standing = self._desk.standing()._replace(correlation=correlation)
        return Unit(standing, self._desk.guard.epoch)

    def _undo(self, key: str) -> None:
        if self._desk.ledger.newest(SESSIONS, (key,)) is not None:
            return  # only the disk did not answer in time: it is saved when that is back
        try:
            while swept(self._desk, self.artifacts, key):
                pass
            self._end(key, "(session import undone)")
        except PerdureError as error:
            logger.warning("what an import has left is deleted later: %s", error)
            self._watch.on_abandoned(key)

    def brought(self, key: str, text: str, version: str) -> str:
        """Return a key's value as the type of today has it."""
        return self._values.brought(_SESSION, key, text, version, f"session, {key!r}")

    @property
    def plain(self) -> Plain:
        """What is stored of plain texts."""
        return self._desk.plain

    def appended(self) -> int:
        """Return the sequence of the newest commit."""
        return self._desk.appended()


class _Taking:
    """Write the lines of a checked file."""

    def __init__(self, importer: Importer, key: str, checked: Checked, correlation: int) -> None:
        self._importer = importer
        self._key = key
        self._checked = checked
        self._correlation = correlation
        self._first = importer.appended()
        self._unit = importer.unit(self._correlation)
        self._weight = self._history = 0
        self._made: dict[int, Artifact] = {}
        self._sources: list[tuple[int, int]] = []
        self._number = 0
        self._sink: Sink | None = None
        self._sinks = ExitStack()

    def take(self, source: SessionFile) -> SessionRow:
        digest = ""
        for line in source.lines():
            if isinstance(line, End):
                digest = line.sha256
            self._line(line)
        if digest != self._checked.digest:
            message = "the file was changed while it was read; nothing was imported"
            raise ImportRefused(message, file="", line=0)
        for made, of in self._sources:
            # No circle: the file was checked, and nobody else knows of these yet.
            self._put(LINEAGE, (self._made[made].number, self._made[of].number), LINK)
        row = self._row(self._checked.session)

        def placed(before: Row | None) -> Row:
            if before is not None:
                raise SessionExists(f"there is a session {self._key} already; give another id")
            return tuple(row)

        self._unit.change((SESSIONS, (self._key,)), placed, checked=False)
        if row.owner != Principal.SYSTEM:
            place, step = owned(row)
            self._unit.change(place, step, checked=False)
        self._importer.finish(self._key, self._unit)
        return row

    def _line(self, line: AnyLine) -> None:
        if not isinstance(line, Piece):
            self._close()
        match line:
            case Keyed():
                text = exact(line.value, self._importer.bounds.largest, line.key)
                text = self._importer.brought(line.key, text, line.schema)
                there, here = self._checked.session.id, self._key
                text = self._importer.plain.moved(
                    text, in_scope(_SESSION, there, "", line.key),
                    in_scope(_SESSION, here, "", line.key), f"session {here}, {line.key!r}",
                )  # fmt: skip
                text = self._importer.plain.value(text, f"session {line.key}", sensitive(line.key))
                place = (_SESSION, self._key, "", line.key)
                self._put(SCOPED, (*place, text, line.version, 0, line.expires), len(text))
            case Happened():
                text = self._importer.plain.value(encode_kept(line.commit), HISTORY)
                place = (*history_scope(self._key), history_key(self._history))
                self._put(SCOPED, (*place, text, 1, 0, None), len(text))
                self._history += 1
            case Made():
                self._open(line)
            case Piece():
                assert self._sink is not None
                self._sink.write(line.data)

    def _open(self, line: Made) -> None:
        self._number = line.number
        self._sources += [(line.number, source) for source in line.sources]
        scope, text = Scope.session(self._key), bytes(line.meta).decode()
        if text != "{}":  # some were given
            text = self._importer.artifacts.brought(scope, line.name, text, line.schema)
        meta = codec_of(dict[str, object]).load(text, "meta")
        sink = self._importer.artifacts.create(
            line.name, scope=scope, type=line.type, media=line.media,
            tags=line.tags, meta=cast("dict[str, object]", meta),
        )  # fmt: skip
        self._sink = self._sinks.enter_context(sink)

    def _close(self) -> None:
        """Complete the artifact whose bytes were read."""
        sink, self._sink = self._sink, None
        if sink is not None:
            self._sinks.close()
            self._made[self._number] = sink.artifact

    def _put(self, table: Table, row: Row, weight: int) -> None:
        key = table.place(row)

        def step(before: Row | None) -> Row:
            if before is not None and not table.fixed:
                raise Conflict(f"{table.name} {key!r:.200} is taken; import again")
            return row if before is None else before

        self._unit.change((table, key), step, checked=False)
        self._weight += weight
        if len(self._unit.steps) >= SLICE or self._weight >= LARGEST_SLICE:
            self._importer.commit(self._unit)
            self._unit = self._importer.unit(self._correlation)
            self._weight = 0

    def _row(self, line: Described) -> SessionRow:
        status, plain = SessionStatus(line.status), self._importer.plain
        meta = exact(line.meta, self._importer.bounds.largest, "meta")
        row = SessionRow(
            self._key, "", plain.words(line.name, NAME), str(status),
            *Principal.parse(line.owner).columns,
            self._correlation, line.created, line.changed, line.ended, None,
            line.cleanup, LIMITS.encode(line.limits, "limits"),
            plain.value(meta, META_OF), plain.reason(line.note, NOTE), self._first, 0,
        )  # fmt: skip
        duration = line.limits.duration
        if status in OPEN:
            deadline = None if duration is None else line.created + duration
        else:
            deadline = row.cleaned_at
        return row._replace(deadline=deadline)
