"""Bytes to keep, stores of both kinds to keep them in, and looks at a store from outside."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from perdure import MemoryStore, Scope
from perdure.persistence.store.store import Store
from perdure.shared.artifacts.chunking import CHUNK
from perdure.shared.artifacts.records import Artifact
from perdure.shared.artifacts.sink import Sink

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 17)


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that do not pack."""
    return Random(seed).randbytes(size)


def stores(tmp_path: Path) -> Iterator[Store | Path]:
    """Iterate over a store of each kind."""
    yield MemoryStore()
    yield tmp_path / "artifacts.db"


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in a store, beside its owner."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def counts(path: Path) -> dict[str, int]:
    """Return how many rows the tables of artifacts have."""
    tables = ("artifacts", "artifact_tags", "lineage", "artifact_uses", "contents",
              "content_parts", "chunks")  # fmt: skip
    return {table: rows(path, f"SELECT count(*) FROM {table}")[0][0] for table in tables}  # noqa: S608


def dangling(path: Path) -> list[str]:
    """Find what leads nowhere: an artifact without content, a content without all of its chunks."""
    faults = [
        f"artifact {number} has no content"
        for (number,) in rows(
            path, "SELECT number FROM artifacts WHERE content NOT IN (SELECT content FROM contents)"
        )
    ]
    faults += [
        f"content {content} has {there} of {wanted} chunks"
        for content, wanted, there in rows(
            path,
            "SELECT c.content, c.chunks, (SELECT count(*) FROM chunks h JOIN (SELECT content,"
            " position, chunk FROM content_parts UNION SELECT content, 0, content FROM contents"
            " WHERE chunks = 1) p ON h.chunk = p.chunk WHERE p.content = c.content) AS there"
            " FROM contents c WHERE there <> c.chunks",
        )
    ]
    faults += [
        f"{tally} counts {count}, {size}"
        for *tally, count, size in rows(
            path,
            "SELECT kind, id, part, name, count, size FROM artifact_names n WHERE kind <> '' AND"
            " (count, size) <> (SELECT count(*), coalesce(sum(a.size), 0) FROM artifacts a WHERE"
            " (a.kind, a.id, a.part) = (n.kind, n.id, n.part) AND n.name IN ('', a.name))",
        )
    ]
    return faults


def orphans(path: Path) -> list[str]:
    """Find what nothing refers to."""
    leads = {
        ("contents", "content"): ("artifacts", "content"),
        ("content_parts", "content"): ("contents", "content"),
        ("chunks", "chunk"): (
            "(SELECT chunk FROM content_parts UNION SELECT content FROM contents WHERE chunks = 1)",
            "chunk",
        ),
        ("artifact_tags", "artifact"): ("artifacts", "number"),
        ("lineage", "artifact"): ("artifacts", "number"),
        ("lineage", "source"): ("artifacts", "number"),
        ("artifact_uses", "artifact"): ("artifacts", "number"),
    }
    queries = {
        table: f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT {there} FROM {other})"  # noqa: S608
        for (table, column), (other, there) in leads.items()
    }
    return [f"{what} {row[0]}" for what, query in queries.items() for row in rows(path, query)]


def content_by_hand(path: Path, content: str) -> bytes:
    """Put a content together from its rows, without the library."""
    query = (
        "SELECT content, packed, data FROM (SELECT content, position, chunk FROM content_parts"
        " UNION SELECT content, 0, content FROM contents WHERE chunks = 1)"
        " JOIN chunks USING (chunk) ORDER BY position"
    )
    parts = [row[1:] for row in rows(path, query) if row[0] == content]
    data = b"".join(zlib.decompress(d) if packed else d for packed, d in parts)
    assert hashlib.sha256(data).hexdigest() == content
    return data


def give_up(sink: Sink, data: bytes) -> None:
    """Write bytes, and raise."""
    with sink:
        sink.write(data)
        raise ZeroDivisionError


def named(found: Sequence[Artifact]) -> list[tuple[str, int]]:
    """Return names and versions."""
    return [(artifact.name, artifact.version) for artifact in found]


W = Scope.workflow("w")
