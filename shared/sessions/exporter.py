"""A session written to one file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec

from ...persistence.errors import Conflict, LimitExceeded
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import ARTIFACT_TAGS, ARTIFACTS, LINEAGE, SCOPED
from ...persistence.records.tables import Order, Row, Table
from ...persistence.schema.registry import Registry
from ...persistence.secrets.masking import masked
from ...persistence.store.store import StoreReader
from ..artifacts.content import chunks
from ..artifacts.records import CONTENT, KIND, META, NAME, SIZE, TYPE
from ..scopes.entries import EXPIRES, KEY, SEQUENCE, VALUE, VERSION
from ..scopes.schemas import Versions
from .bounds import MOST_NOTES
from .file import (
    COUNTED,
    FORMAT,
    AnyLine,
    Begin,
    Described,
    End,
    Happened,
    Kept,
    Keyed,
    Made,
    Piece,
    encode,
    tag,
)
from .pages import PAGE, commits
from .records import SessionRow

_SESSION: Final = "session"
MEDIA: Final = ARTIFACTS.names.index("media")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What a file of a session holds."""

    session: str
    keys: int
    commits: int
    """Of its history."""
    artifacts: int
    bytes: int
    """Of the file."""


def export(
    reader: StoreReader,
    session: SessionRow,
    path: Path,
    *,
    now: float,
    largest: int,
    secrets: bool = False,
) -> ExportReport:
    """Write a session to ``path``, which is replaced when the file is complete and on the disk.

    A commit whose delta takes more than ``largest`` characters is written without it.
    """
    writer = _Writer(reader, session, largest, secrets=secrets)
    folder = path.resolve().parent
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            digest, counts = hashlib.sha256(), dict.fromkeys(COUNTED, 0)
            for line in writer.lines(now):
                text = encode(line)
                digest.update(text)
                file.write(text)
                if tag(line) in counts:
                    counts[tag(line)] += 1
            file.write(encode(End(counts=counts, sha256=digest.hexdigest())))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.replace(name, path)  # noqa: PTH105 - the name is text
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return ExportReport(session.id, counts["key"], counts["commit"], counts["artifact"], size)


class _Writer:
    """Give the lines of a file, a page of rows at a time."""

    def __init__(
        self, reader: StoreReader, session: SessionRow, largest: int, *, secrets: bool
    ) -> None:
        self._reader = reader
        self._session = session
        self._largest = largest
        self._secrets = secrets
        self._numbers: set[int] = set()
        self._sources: set[int] = set()
        self._notes = 0
        registry = Registry.only_read(reader)
        self._values, self._metadata = Versions(registry, "values"), Versions(registry, "metadata")

    def lines(self, now: float) -> Iterator[AnyLine]:
        session = self._session
        yield Begin(perdure_session=FORMAT, made=now)
        yield Described(
            id=session.id, name=session.name, status=session.status, owner=str(session.owner),
            created=session.created, changed=session.changed, ended=session.ended,
            cleanup=session.cleanup, limits=session.bounds, meta=self._raw(session.meta),
            note=session.note,
        )  # fmt: skip
        scope = ("session", session.id, "")
        for row in self._rows(SCOPED, Order(("kind", "id", "part"), scope), "key"):
            if row[EXPIRES] is None or cast("float", row[EXPIRES]) > now:
                yield Keyed(
                    key=str(row[KEY]), value=self._raw(str(row[VALUE])),
                    version=cast("int", row[VERSION]), expires=cast("float | None", row[EXPIRES]),
                    schema=self._values.of(_SESSION, str(row[KEY]), cast("int", row[SEQUENCE])),
                )  # fmt: skip
        for entry in commits(self._reader, session, None):
            yield Happened(commit=self._kept(entry))
        order = Order(("kind", "id", "part", "name", "version"), scope)
        for row in self._rows(ARTIFACTS, order, "name", "version", "number"):
            yield self._made(row)
            where = f"artifact {row[NAME]!s} of session {session.id}"
            for data in chunks(self._reader, str(row[CONTENT]), where):
                yield Piece(data=data)
        if not self._sources <= self._numbers:
            message = (
                f"the artifacts of session {session.id} were changed while they were exported;"
                " suspend it, and export it again"
            )
            raise Conflict(message)

    def _raw(self, text: str) -> msgspec.Raw:
        return msgspec.Raw((text if self._secrets else masked(text)).encode())

    def _kept(self, entry: JournalEntry) -> Kept:
        delta = entry.delta
        if len(delta) > self._largest:
            delta = f'{{"left_out":{len(delta)}}}'
        return Kept(
            entry.kind, entry.key, entry.version, entry.time, entry.name, entry.message,
            entry.cause, self._raw(delta),
        )  # fmt: skip

    def _made(self, row: Row) -> Made:
        number = row[0]
        tags = self._rows(ARTIFACT_TAGS, Order(("artifact",), (number,)), "tag")
        linked = self._rows(LINEAGE, Order(("artifact",), (number,)), "source")
        # Those outside of the session are not in its file.
        sources = [cast("int", of[1]) for of in linked if self._has(of[1])]
        self._numbers.add(cast("int", number))
        self._sources.update(sources)
        named = [str(of[0]) for of in tags]
        self._notes += len(named) + len(sources)
        if self._notes > MOST_NOTES:
            message = (
                f"the artifacts of session {self._session.id} have more than {MOST_NOTES:,} tags"
                " and sources together, which no import takes; remove some, and export it again"
            )
            raise LimitExceeded(message)
        return Made(
            number=cast("int", number), name=str(row[NAME]), content=str(row[CONTENT]),
            size=cast("int", row[SIZE]), type=str(row[TYPE]), media=str(row[MEDIA]),
            meta=self._raw(str(row[META])), tags=named,
            sources=sources,
            schema=self._metadata.of(_SESSION, str(row[NAME]), cast("int", row[META + 1])),
        )  # fmt: skip

    def _has(self, number: object) -> bool:
        row = self._reader.row(ARTIFACTS, (number,))  # type: ignore[arg-type]
        return row is not None and row[KIND:NAME] == ("session", self._session.id, "")

    def _rows(self, table: Table, order: Order, *free: str) -> Iterator[Row]:
        """Iterate over an order; ``free`` are the columns behind which a page goes on."""
        places = [table.names.index(name) for name in free]
        after: Row | None = None
        while True:
            rows = self._reader.page(table, order, after, PAGE)
            yield from rows
            if len(rows) < PAGE:
                return
            after = tuple(rows[-1][place] for place in places)
