"""An import taken over into the store, slice by slice, the session itself last."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final, cast

from ...persistence.errors import Conflict, ImportRefused, PerdureError, SessionExists
from ...persistence.shared.ledger import Ledger
from ...persistence.shared.scope import Principal, Scope
from ...persistence.shared.unit import Unit
from ...persistence.shared_tables import (
    ARTIFACT_TAGS,
    ARTIFACTS,
    CHUNKS,
    CONTENT_PARTS,
    CONTENTS,
    LINEAGE,
    PROGRESS,
    SCOPED,
    SESSIONS,
)
from ...persistence.tables import Order, Row, Table
from ..scopes.listing import listed
from .calls import Bounds, SessionCalls
from .cleaning import IMPORTS, swept
from .file import AnyLine, Content, Described, End, Happened, Keyed, Made, Part, encode_kept
from .finding import history_key, history_scope
from .importing import Checked, SessionFile, exact
from .records import LIMITS, SessionRow
from .status import OPEN, SessionStatus

logger = logging.getLogger("perdure.lifecycle")

SLICE: Final = 500
"""Rows in one commit."""
LARGEST_SLICE: Final = 4 * 1024 * 1024
"""Characters and bytes in one commit, about."""


class Importer:
    """Take sessions over from files."""

    def __init__(self, ledger: Ledger, calls: SessionCalls, bounds: Bounds) -> None:
        """Write to ``ledger`` by ``calls``."""
        self._ledger = ledger
        self._calls = calls
        self._bounds = bounds

    def read(self, path: Path, session_id: str | None) -> SessionRow:
        """Check a file and take it over; see ``Sessions.import_``."""
        try:
            file = path.open("rb")
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}; nothing was imported"
            raise ImportRefused(message, file=str(path), line=0) from None
        with file:
            source = SessionFile(file, str(path), self._bounds.largest)
            checked = source.check()
            key = session_id or checked.session.id
            self._begin(key)
            try:
                return _Taking(self, key, checked).take(source)
            except BaseException:
                self._undo(key)
                raise

    def _begin(self, key: str) -> None:
        """Say that an import is under way, so that what it leaves can be found."""
        scope = Scope.session(key)
        unit = self.unit(0)

        def begun(before: Row | None) -> Row:
            if before is not None:
                raise SessionExists(f"a session {key} is being imported; give another id")
            return (IMPORTS + key, str(self._bounds.number()), 0)

        def free(before: Row | None) -> None:
            if before is not None:
                raise SessionExists(f"there is a session {key} already; give another id")

        unit.change((SESSIONS, (key,)), free, checked=False)
        unit.change((PROGRESS, (IMPORTS + key,)), begun, checked=False)
        self._calls.commit(unit, name="(session import begun)")
        for kind in (scope.columns, history_scope(key)):
            if next(listed(self._ledger, self.unit(0), kind, "", ""), None) is not None:
                self.finish(key, self.unit(0))
                raise SessionExists(f"there are keys in {scope} already; give another id")

    def finish(self, key: str, unit: Unit) -> None:
        """Commit a unit, and that nothing is under way any more."""
        unit.change((PROGRESS, (IMPORTS + key,)), lambda _before: None, checked=False)
        self._calls.commit(unit, name="(session imported)")

    def commit(self, unit: Unit) -> None:
        """Commit a slice."""
        self._calls.commit(unit, name="(session import)")

    def unit(self, correlation: int) -> Unit:
        """Return a unit of the system's."""
        standing = self._calls.standing()._replace(correlation=correlation)
        return Unit(standing, self._ledger.guard.epoch)

    def _undo(self, key: str) -> None:
        try:
            while swept(self._ledger, self._calls, key):
                pass
            self.finish(key, self.unit(0))
        except PerdureError as error:
            logger.warning("what an import left is deleted at the next opening: %s", error)

    @property
    def ledger(self) -> Ledger:
        """Where it is written."""
        return self._ledger

    @property
    def bounds(self) -> Bounds:
        """What a session may hold."""
        return self._bounds

    def appended(self) -> int:
        """Return the sequence of the newest commit."""
        return self._calls.appended()


class _Taking:
    """Write the lines of a checked file."""

    def __init__(self, importer: Importer, key: str, checked: Checked) -> None:
        self._importer = importer
        self._key = key
        self._checked = checked
        self._correlation = -importer.bounds.number()
        self._first = importer.appended()
        self._unit = importer.unit(self._correlation)
        self._weight = self._history = 0
        self._numbers: dict[int, int] = {}
        self._sources: list[tuple[int, int]] = []
        self._content = ""
        self._position = 0

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
            if of in self._numbers:
                key = (self._numbers[made], self._numbers[of])
                self._put(LINEAGE, key, 0)
        row = self._row(self._checked.session)

        def placed(before: Row | None) -> Row:
            if before is not None:
                raise SessionExists(f"there is a session {self._key} already; give another id")
            return tuple(row)

        self._unit.change((SESSIONS, (self._key,)), placed, checked=False)
        self._importer.finish(self._key, self._unit)
        return row

    def _line(self, line: AnyLine) -> None:
        match line:
            case Keyed():
                text = exact(line.value, self._importer.bounds.largest, line.key)
                place = ("session", self._key, "", line.key)
                self._put(SCOPED, (*place, text, line.version, 0, line.expires), len(text))
            case Happened():
                text = encode_kept(line.commit)
                place = (*history_scope(self._key), history_key(self._history))
                self._put(SCOPED, (*place, text, 1, 0, None), len(text))
                self._history += 1
            case Made():
                self._artifact(line)
            case Content():
                self._content, self._position = line.content, 0
                self._put(CONTENTS, (line.content, line.size, line.parts), 0)
            case Part():
                row = (line.chunk, line.size, line.packed, line.data)
                self._put(CHUNKS, row, len(line.data))
                self._put(CONTENT_PARTS, (self._content, self._position, line.chunk), 0)
                self._position += 1

    def _artifact(self, line: Made) -> None:
        number = self._number()
        self._numbers[line.number] = number
        self._sources += [(line.number, source) for source in line.sources]
        values: dict[str, Any] = {
            **{name: getattr(line, name) for name in line.__struct_fields__},
            "number": number, "kind": "session", "id": self._key, "part": "",
            "session": self._key, "correlation": self._correlation, "sequence": 0,
            "meta": exact(line.meta, self._importer.bounds.largest, "meta"),
        }  # fmt: skip
        self._put(ARTIFACTS, tuple(values[name] for name in ARTIFACTS.names), 0)
        for tag in dict.fromkeys(line.tags):
            self._put(ARTIFACT_TAGS, (tag, number), 0)

    def _number(self) -> int:
        if self._numbers:
            return max(self._numbers.values()) + 1
        ledger = self._importer.ledger
        newest = ledger.page(ARTIFACTS, Order(("number",), (), descending=True), None, 1)
        known = [cast("int", row[0]) for row in newest]
        known += [cast("int", key[0]) for key in ledger.appended(ARTIFACTS)]
        return max(known, default=0) + 1

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
        status = SessionStatus(line.status)
        row = SessionRow(
            self._key, "", line.name, str(status), *Principal.parse(line.owner).columns,
            self._correlation, line.created, line.changed, line.ended, None,
            line.cleanup, LIMITS.encode(line.limits, "limits"),
            exact(line.meta, self._importer.bounds.largest, "meta"), line.note, self._first, 0,
        )  # fmt: skip
        duration = line.limits.duration
        if status in OPEN:
            deadline = None if duration is None else line.created + duration
        else:
            deadline = row.cleaned_at
        return row._replace(deadline=deadline)
