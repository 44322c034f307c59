"""Artifacts saved outside of turns: stored once, read back verified, over restarts."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from perdure import Limits, MemoryStore, Scope
from perdure.persistence.errors import (
    ConfigurationError,
    QuotaExceeded,
    ScopeError,
    StateError,
    SystemClosed,
    UnknownArtifact,
)
from perdure.shared.artifacts.chunking import CHUNK
from perdure.shared.artifacts.records import ArtifactLimits
from tests.artifacts.agents import Maker, opened
from tests.artifacts.looks import (
    SIZES,
    W,
    content_by_hand,
    counts,
    dangling,
    give_up,
    named,
    noise,
    orphans,
    stores,
)


def test_every_size_is_read_back_after_a_restart(tmp_path: Path) -> None:
    """An artifact of any size is there, byte by byte, when the store is opened again."""
    for store in stores(tmp_path):
        with opened(store) as system:
            saved = [system.artifacts.save(f"s{size}", noise(size, size)) for size in SIZES]
        with opened(store) as system:
            for size, artifact in zip(SIZES, saved, strict=True):
                found = system.artifacts.get(f"s{size}")
                assert found == artifact
                assert found.content == hashlib.sha256(noise(size, size)).hexdigest()
                assert system.artifacts.read(found) == noise(size, size)


def test_the_store_holds_exactly_the_bytes(tmp_path: Path) -> None:
    """What the file holds can be put together by hand."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        saved = system.artifacts.save("a", noise(CHUNK) + bytes(CHUNK))
    assert content_by_hand(path, saved.content) == noise(CHUNK) + bytes(CHUNK)
    assert dangling(path) == orphans(path) == []


def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    """The same content under other names, in other scopes, after a restart: no byte more."""
    path = tmp_path / "a.db"
    data = noise(3 * CHUNK)
    with opened(path) as system:
        first = system.artifacts.save("a", data)
        before = counts(path)
        second = system.artifacts.save("b", data, scope=Scope.user("mira"))
    with opened(path) as system:
        third = system.artifacts.save("a", iter([data[:5], data[5:]]))
        assert named([first, second, third]) == [("a", 1), ("b", 1), ("a", 2)]
        assert len({artifact.content for artifact in (first, second, third)}) == 1
        assert counts(path) == {**before, "artifacts": 3}
        system.artifacts.save("c", data + b"more")
        assert counts(path)["chunks"] == before["chunks"] + 1


def test_a_small_one_is_one_commit(tmp_path: Path) -> None:
    """Its bytes go with its row: the next commit of all is that of the next artifact."""
    for store in stores(tmp_path):
        with opened(store) as system:
            saved = [system.artifacts.save("a", data) for data in (b"", b"few", b"few", b"more")]
            assert [artifact.sequence for artifact in saved] == [1, 2, 3, 4]
            assert [system.artifacts.read(artifact) for artifact in saved] == [
                b"", b"few", b"few", b"more",
            ]  # fmt: skip


def test_equal_chunks_of_one_content_are_stored_once(tmp_path: Path) -> None:
    """A content that repeats itself is one chunk, referred to many times."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        zeros = system.artifacts.save("zeros", bytes(20 * CHUNK))
        assert counts(path)["chunks"] == 1
        assert counts(path)["content_parts"] == 20
        assert system.artifacts.read(zeros) == bytes(20 * CHUNK)


def test_all_that_is_said_comes_back(tmp_path: Path) -> None:
    """Type, media type, tags, sources and meta are those that were given."""
    for store in stores(tmp_path):
        with opened(store) as system:
            source = system.artifacts.save("raw", b"1", scope=W)
            system.artifacts.save(
                "ünï/report.csv", b"a,b", scope=W, type="tool-result", media="text/csv",
                tags=["x", "y", "x"], sources=[source], meta={"rows": 1, "by": ["a", None]},
            )  # fmt: skip
        with opened(store) as system:
            found = system.artifacts.get("ünï/report.csv", scope=W)
            assert (found.type, found.media, found.agent) == ("tool-result", "text/csv", None)
            assert found.meta == {"rows": 1, "by": ["a", None]}
            assert system.artifacts.tags(found) == ["x", "y"]
            assert system.artifacts.sources(found) == [source]
            assert found.sequence > source.sequence > 0


def test_versions_of_a_name(tmp_path: Path) -> None:
    """A name has all its versions; the newest is given unless another is asked for."""
    for store in stores(tmp_path):
        with opened(store) as system:
            artifacts = system.artifacts
            saved = [artifacts.save("n", b"%d" % n, scope=W) for n in range(1, 4)]
            assert [artifact.version for artifact in saved] == [1, 2, 3]
            assert artifacts.get("n", scope=W) == saved[2]
            assert artifacts.get("n", scope=W, version=1) == saved[0]
            artifacts.delete(saved[2])
            assert artifacts.get("n", scope=W) == saved[1]
            assert artifacts.save("n", b"4", scope=W).version == 4
            with pytest.raises(UnknownArtifact, match="no artifact 'n' version 3"):
                artifacts.get("n", scope=W, version=3)
            with pytest.raises(UnknownArtifact, match="no artifact 'n'"):
                artifacts.get("n")


def test_numbers_never_come_back(tmp_path: Path) -> None:
    """The number of a deleted artifact is not given again, also not after a restart."""
    for store in stores(tmp_path):
        with opened(store) as system:
            first = system.artifacts.save("a", b"1")
            system.artifacts.delete(first)
        with opened(store) as system:
            assert system.artifacts.save("a", b"1").number > first.number


def test_a_block_that_raises_makes_nothing(tmp_path: Path) -> None:
    """An upload that is given up leaves no artifact, and a sweep nothing of its bytes."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        sink = system.artifacts.create("a")
        with pytest.raises(ValueError, match="in its block alone"):
            sink.write(b"lost")
        with pytest.raises(ZeroDivisionError):
            give_up(sink, noise(3 * CHUNK))
        with pytest.raises(ValueError, match="when the block"):
            _ = sink.artifact
        with pytest.raises(ValueError, match="this sink has ended"):
            sink.write(b"more")
        assert system.artifacts.list() == []
        system.flush()
        assert counts(path)["chunks"] == 3
        assert system.artifacts.sweep().chunks == 3
        assert counts(path)["chunks"] == 0


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("", {}, ScopeError),
        ("../passwd", {}, ScopeError),
        ("a\nb", {}, ScopeError),
        ("perdure.x", {}, ScopeError),
        ("a", {"type": "picture"}, StateError),
        ("a", {"tags": ["x\0"]}, ScopeError),
        ("a", {"media": "text\n"}, ScopeError),
        ("a", {"meta": {"x": float("nan")}}, StateError),
    ],
)
def test_what_cannot_be_stored_is_refused(
    name: str, given: dict[str, object], error: type[Exception]
) -> None:
    """Names, tags and types that cannot be are refused before a byte is taken."""
    with opened(MemoryStore()) as system, pytest.raises(error):
        system.artifacts.save(name, b"x", **given)  # type: ignore[arg-type]


def test_large_meta_is_refused() -> None:
    """What is noted beside an artifact is bounded as any stored value is."""
    with (
        opened(MemoryStore(), limits=Limits(largest_value=1000)) as system,
        pytest.raises(StateError, match="more than 1,000"),
    ):
        system.artifacts.save("a", b"", meta={"x": "y" * 1000})


def test_quota_of_scopes(tmp_path: Path) -> None:
    """A scope holds what its limit allows, equal bytes counted each time; a deletion gives back."""
    limits = ArtifactLimits(scope=10, scopes={W: 4}, largest=8)
    for store in stores(tmp_path):
        with opened(store, limits=Limits(artifacts=limits)) as system:
            artifacts = system.artifacts
            first = artifacts.save("a", b"12345678")
            with pytest.raises(QuotaExceeded, match=r"than the 2 bytes left"):
                artifacts.save("b", b"123")
            artifacts.save("b", b"12")
            assert artifacts.usage(Scope.GLOBAL) == (2, 10)
            with pytest.raises(QuotaExceeded):
                artifacts.save("c", b"1")
            artifacts.delete(first)
            assert artifacts.usage(Scope.GLOBAL) == (1, 2)
            with pytest.raises(QuotaExceeded, match=r"8 bytes of ArtifactLimits\.largest"):
                artifacts.save("c", b"123456789")
            artifacts.save("c", b"12345678")
            with pytest.raises(QuotaExceeded):
                artifacts.save("d", b"12345", scope=W)
            artifacts.save("d", io.BytesIO(b"1234"), scope=W)
        with opened(store, limits=Limits(artifacts=limits)) as system, pytest.raises(QuotaExceeded):
            system.artifacts.save("e", b"1")


def test_uploads_at_once_share_a_quota(tmp_path: Path) -> None:
    """Of two uploads that fit alone and not together, the one that ends second is refused."""
    for store in stores(tmp_path):
        with opened(store, limits=Limits(artifacts=ArtifactLimits(scope=10))) as system:
            first, second = system.artifacts.create("a"), system.artifacts.create("b")
            first.__enter__().write(b"123456")
            second.__enter__().write(b"123456")
            first.__exit__(None, None, None)
            with pytest.raises(QuotaExceeded, match="would be 12, above the limit of 10"):
                second.__exit__(None, None, None)
            assert named(system.artifacts.list()) == [("a", 1)]


def test_a_session_is_where_its_artifacts_are() -> None:
    """In a session, what names no scope is the session's, and is found by it."""
    with opened(MemoryStore()) as system:
        with system.sessions.create("s1") as session:
            artifact = system.artifacts.save("a", b"1")
            session.agent(Maker, "m").proxy().make("b", "2").get()
        assert artifact.scope == Scope.session("s1")
        found = system.artifacts.list(session="s1")
        assert [(a.name, a.session, a.scope) for a in found] == [
            ("a", "s1", Scope.session("s1")), ("b", "s1", Scope.session("s1")),
        ]  # fmt: skip


def test_a_limit_below_nothing_is_refused() -> None:
    """A limit is a number of bytes."""
    for bad in (-1, float("inf"), float("nan"), "5", True):
        with pytest.raises(ConfigurationError, match=f"a limit of {bad!r} bytes"):
            ArtifactLimits(largest=cast("int", bad))


def test_limits_are_of_scopes() -> None:
    """The text of a scope is none: its limit would hold for nothing."""
    with pytest.raises(ConfigurationError, match="'user:q' is no scope"):
        ArtifactLimits(scopes=cast("dict[Scope, int]", {"user:q": 1}))


def test_the_limit_of_one_artifact_names_itself() -> None:
    """Who is refused for `largest` learns that it is that limit."""
    with (
        opened(
            MemoryStore(), limits=Limits(artifacts=ArtifactLimits(largest=3, scope=5))
        ) as system,
        pytest.raises(QuotaExceeded, match=r"more than the 3 bytes of ArtifactLimits\.largest"),
    ):
        system.artifacts.save("a", b"1234")


def test_what_is_of_another_kind_is_one_sentence() -> None:
    """A scope as text, a number as bytes, a text as tags: each is refused in words of ours."""
    with opened(MemoryStore()) as system:
        artifacts: Any = system.artifacts
        saved = artifacts.save("a", b"1")
        wrongs: list[tuple[Callable[[], object], type[Exception], str]] = [
            (lambda: artifacts.list(scope="global"), ScopeError, "is no scope"),
            (lambda: artifacts.get("a", scope="global"), ScopeError, "is no scope"),
            (lambda: artifacts.save("b", b"1", scope="global"), ScopeError, "is no scope"),
            (lambda: artifacts.save("b", b"1", sources=[1]), StateError, "1 is none"),
            (lambda: artifacts.link(saved, 1), StateError, "1 is none"),
            (lambda: artifacts.tag(1, "t"), StateError, "1 is none"),
            (lambda: artifacts.save("g", 5), StateError, "data: is int; give bytes"),
            (lambda: artifacts.save("g", [b"1", 5]), StateError, "5 is no piece of bytes"),
            (lambda: artifacts.save("b", b"1", tags="raw"), StateError, "a list of tags"),
            (lambda: artifacts.get("a", version="1"), StateError, "no number of a version"),
            (lambda: artifacts.get("a", version=2**63), UnknownArtifact, "no artifact 'a' version"),
            (lambda: artifacts.get("a", version=-(2**70)), UnknownArtifact, "no artifact 'a'"),
        ]
        for wrong, error, reason in wrongs:
            with pytest.raises(error, match=reason):
                wrong()
        assert artifacts.list() == [saved]


def test_an_artifact_of_another_store_is_not_in_this_one() -> None:
    """What was made elsewhere is not said to be deleted."""
    with opened(MemoryStore()) as one, opened(MemoryStore()) as other:
        artifact = one.artifacts.save("a", b"1")
        with pytest.raises(UnknownArtifact, match="is not in this store"):
            other.artifacts.read(artifact)


def test_a_source_is_read_in_any_steps(tmp_path: Path) -> None:
    """A source gives out its bytes by size, by chunk, and in any mixture; not when it is closed."""
    data = noise(2 * CHUNK + 9)
    with opened(tmp_path / "a.db") as system:
        artifact = system.artifacts.save("a", data)
        with system.artifacts.open(artifact) as source:
            taken = [source.read(1), source.read(CHUNK), source.read(0), *source]
            assert source.read(1) == source.read() == b""
        assert b"".join(taken) == data
        for use in (source.read, lambda: list(source)):
            with pytest.raises(ValueError, match="closed"):
                use()
        with system.artifacts.open(artifact) as source:
            assert [len(chunk) for chunk in source] == [CHUNK, CHUNK, 9]


def test_nothing_is_saved_after_the_close() -> None:
    """A closed system refuses an upload in one sentence."""
    with opened(MemoryStore()) as system:
        pass
    with pytest.raises(SystemClosed):
        system.artifacts.save("a", b"x")
