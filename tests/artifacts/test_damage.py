"""Damaged bytes are never given out; the error names the chunk."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from perdure import open_reader
from perdure.persistence.errors import CorruptState
from perdure.persistence.records.shared_tables import CHUNKS, CONTENT_PARTS, CONTENTS
from perdure.persistence.records.tables import Row
from perdure.persistence.sqlite import tables
from perdure.persistence.upkeep.doctor import examine
from perdure.shared.artifacts.chunking import CHUNK
from perdure.shared.artifacts.records import Artifact
from tests.artifacts.agents import opened
from tests.artifacts.looks import counts, dangling, noise, orphans

FIRST, SECOND = noise(CHUNK, 1), noise(CHUNK, 2)


def made(path: Path) -> Artifact:
    """Save an artifact of three chunks."""
    with opened(path) as system:
        return system.artifacts.save("scan", FIRST + SECOND + b"end")


def damage(path: Path, statement: str, *values: object) -> None:
    """Change a closed store behind its back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def chunk_of(data: bytes, *, stored: bytes | None = None) -> Row:
    """Return the row of a chunk with a good checksum, whatever is in it."""
    row: Row = (hashlib.sha256(data).hexdigest(), len(data), 0, data if stored is None else stored)
    return (*row, tables.checksum(CHUNKS, row))


def read(path: Path, artifact: Artifact) -> tuple[bytes, CorruptState]:
    """Read until the damage; return what was given out and the error."""
    given = b""
    with opened(path) as system, system.artifacts.open(artifact) as source:
        try:
            for chunk in source:
                given += chunk
        except CorruptState as error:
            return given, error
    pytest.fail("the damage was not found")


SECOND_NAME = str(chunk_of(SECOND)[0])


@pytest.mark.parametrize(
    ("statement", "values", "reason"),
    [
        ("UPDATE chunks SET data = x'00' || substr(data, 2) WHERE chunk = ?", (SECOND_NAME,),
         "checksum"),
        ("DELETE FROM chunks WHERE chunk = ?", (SECOND_NAME,), "not in the store"),
        ("DELETE FROM content_parts WHERE position = ?", (1,), "not there"),
        ("UPDATE content_parts SET chunk = 'x' WHERE position = ?", (1,), "not there"),
        ("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?)",
         chunk_of(SECOND, stored=FIRST), "not those that were saved"),
    ],
)  # fmt: skip
def test_a_bad_chunk_is_named(
    tmp_path: Path, statement: str, values: tuple[object, ...], reason: str
) -> None:
    """Chunk 1 is damaged: chunk 0 is given out, then an error names artifact, chunk and reason."""
    path = tmp_path / "a.db"
    artifact = made(path)
    damage(path, statement, *values)
    given, error = read(path, artifact)
    assert given == FIRST
    assert error.where.startswith("global 'scan' version 1, chunk 1")
    assert reason in error.reason


def test_a_chunk_that_does_not_unpack_is_named(tmp_path: Path) -> None:
    """Bytes that are said to be packed and are not are named as any other damage."""
    path = tmp_path / "a.db"
    artifact = made(path)
    name, size, _, data, _ = chunk_of(SECOND)
    row = (name, size, 1, data)
    crc = tables.checksum(CHUNKS, row)
    damage(path, "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?)", *row, crc)
    given, error = read(path, artifact)
    assert given == FIRST
    assert "does not unpack" in error.reason


def test_chunks_of_another_content_are_found(tmp_path: Path) -> None:
    """Good chunks in a wrong number or order are not the content, and that is said."""
    path = tmp_path / "a.db"
    artifact = made(path)
    row = (artifact.content, artifact.size + 1, 3)
    crc = tables.checksum(CONTENTS, row)
    damage(path, "UPDATE contents SET size = size + 1, crc = ?", crc)
    _, error = read(path, artifact)
    assert "not the content" in error.reason
    damage(path, "DELETE FROM contents")
    given, error = read(path, artifact)
    assert (given, "is not in the store" in error.reason) == (b"", True)


def test_damage_of_one_artifact_hurts_no_other(tmp_path: Path) -> None:
    """A sweep beside damaged rows goes through, and deletes nothing that may be needed."""
    path = tmp_path / "a.db"
    artifact = made(path)
    damage(path, "UPDATE artifacts SET name = 'other'")
    damage(path, "UPDATE content_parts SET chunk = chunk || '' WHERE position = 0")
    with opened(path) as system:
        other = system.artifacts.save("fine", b"fine")
        system.artifacts.sweep()
        assert system.artifacts.read(other) == b"fine"
        assert system.artifacts.list() == [other]
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM contents WHERE content = ?"
        assert connection.execute(query, (artifact.content,)).fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (4,)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("DELETE FROM chunks WHERE size = 3", "chunks"),
        ("DELETE FROM content_parts WHERE position = 2", "content_parts"),
        ("DELETE FROM contents", "contents"),
        ("UPDATE chunks SET data = x'00' WHERE size = 3", "chunks"),
    ],
)
def test_the_doctor_finds_what_is_lost(tmp_path: Path, statement: str, table: str) -> None:
    """Lost and damaged rows of artifacts are named; a good store is called healthy."""
    path = tmp_path / "a.db"
    made(path)
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy
    damage(path, statement)
    with closing(open_reader(path)) as reader:
        report = examine(reader)
    assert [bad.table for bad in report.bad] == [table]
    assert report.healthy is False


def test_damaged_tallies_are_counted_again(tmp_path: Path) -> None:
    """A store opens with damaged tallies; the first sweep counts again, and saving goes on."""
    path = tmp_path / "a.db"
    first = made(path)
    damage(path, "UPDATE artifact_names SET count = count + 7")
    with opened(path) as system:
        with pytest.raises(CorruptState, match="artifact_names"):
            system.artifacts.save("scan", b"more")
        system.artifacts.sweep()
        second = system.artifacts.save("scan", b"more")
        assert (second.version, second.number > first.number) == (2, True)
        assert system.artifacts.usage(second.scope) == (2, first.size + 4)
    with opened(path) as system:
        assert system.artifacts.save("other", b"").number > second.number
    assert dangling(path) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET data = x'00' WHERE size = 3",
        "DELETE FROM chunks WHERE size = 3",
        "UPDATE chunks SET packed = 1, size = 4 WHERE size = 3",
        "DELETE FROM content_parts WHERE position = 2",
        "UPDATE content_parts SET chunk = 'x' WHERE position = 0",
        "UPDATE contents SET size = 1",
        "DELETE FROM contents",
    ],
)
def test_saving_again_heals(tmp_path: Path, statement: str) -> None:
    """Who saves bytes whose stored copy is damaged gets good ones, and so has everybody else."""
    path = tmp_path / "a.db"
    first = made(path)
    damage(path, statement)
    with opened(path) as system:
        second = system.artifacts.save("again", FIRST + SECOND + b"end")
        for artifact in (first, second):
            assert system.artifacts.read(artifact) == FIRST + SECOND + b"end"
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy
    assert dangling(path) == orphans(path) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET data = x'00'",
        "DELETE FROM chunks",
        "UPDATE chunks SET packed = 1, size = 4",
        "UPDATE contents SET size = 1",
        "DELETE FROM contents",
    ],
)
def test_saving_a_small_one_again_heals(tmp_path: Path, statement: str) -> None:
    """So it is with bytes that are few, whichever of their rows is damaged."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        first = system.artifacts.save("note", b"few")
    damage(path, statement)
    with opened(path) as system:
        second = system.artifacts.save("again", b"few")
        for artifact in (first, second):
            assert system.artifacts.read(artifact) == b"few"
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy
    assert dangling(path) == orphans(path) == []


def test_one_chunk_needs_no_list(tmp_path: Path) -> None:
    """Earlier releases stored a list of one chunk: damaged or not, it hurts nobody, and it goes."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        kept, gone = (system.artifacts.save(name, name.encode()) for name in ("kept", "gone"))
    for content, damaged in ((kept.content, 1), (gone.content, 0)):
        row = (content, 0, content)
        crc = tables.checksum(CONTENT_PARTS, row) + damaged
        damage(path, "INSERT INTO content_parts VALUES (?, ?, ?, ?)", *row, crc)
    with opened(path) as system:
        assert system.artifacts.read(kept) == b"kept"
        system.artifacts.delete(gone)
        assert system.artifacts.sweep().chunks == 1
    assert counts(path)["content_parts"] == 1
    assert dangling(path) == orphans(path) == []
