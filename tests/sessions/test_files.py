"""A session goes into one file and comes back, or it is refused and nothing has happened."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Artifact,
    Keys,
    Limits,
    MemoryStore,
    Scope,
    Secret,
    State,
    StaticKeys,
    VirtualClock,
    new_key,
)
from perdure.persistence.errors import (
    ConfigurationError,
    Deadlock,
    ImportRefused,
    LimitExceeded,
    SessionExists,
    StoreUnavailable,
    UnknownSession,
)
from perdure.shared.sessions.bounds import MOST_NOTES
from tests.kit.deadline import DEADLINE
from tests.sessions.agents import Desk, contents, full, keys, opened

Lines = list[dict[str, Any]]


def test_a_session_comes_back_as_it_was(tmp_path: Path) -> None:
    """Status, limits, keys with versions, artifacts with lineage: all is there in another store."""
    path = tmp_path / "chat-7.perdure"
    with opened(tmp_path / "one.db") as system:
        full(system)
        expected = contents(system, "chat-7")
        report = system.sessions.export("chat-7", path)
        history = [
            (e.kind, e.key, e.name, e.delta) for e in system.sessions.get("chat-7").history.list()
        ]
    assert (report.keys, report.commits, report.artifacts) == (32, len(history), 3)
    assert report.bytes == path.stat().st_size
    with opened(tmp_path / "two.db") as system:
        session = system.sessions.import_(path)
        assert contents(system, "chat-7") == expected
        found = session.history.list()
        assert [(e.kind, e.key, e.name, e.delta) for e in found[: len(history)]] == history
        assert [e.sequence for e in found[: len(history)]] == list(range(-len(history), 0))
        assert found[-1].name == "(session imported)"
        assert {e.correlation for e in found} == {session.correlation}
        assert session.history.list(after=-3, limit=2) == found[len(history) - 2 : len(history)]
        assert session.agent(Desk, "c").call(Desk.note, "c").get() == "chat-7"
        system.sessions.export("chat-7", path)
        again = system.sessions.import_(path, session_id="again")
        assert len(again.history.list()) > len(found)
    with opened(tmp_path / "two.db") as system:
        assert contents(system, "again") == contents(system, "chat-7")
        assert len(system.sessions.list()) == 2


def test_an_import_never_takes_the_place_of_a_session(good: Path) -> None:
    """An id that is taken, or whose scope has keys already, is refused; another id is free."""
    with opened() as system:
        system.sessions.import_(good)
        before = contents(system, "chat-7")
        with pytest.raises(SessionExists):
            system.sessions.import_(good)
        assert contents(system, "chat-7") == before
        system.state.set(Scope.session("used"), "k", 1)
        with pytest.raises(SessionExists, match="there are keys in session:used already"):
            system.sessions.import_(good, session_id="used")
        assert keys(system, "used") == ["k"]
        system.artifacts.save("a", b"1", scope=Scope.session("kept"))
        with pytest.raises(SessionExists, match="there are artifacts in session:kept already"):
            system.sessions.import_(good, session_id="kept")
        system.sessions.create("used")
        assert system.sessions.import_(good, session_id="free").id == "free"


def test_files_are_neither_written_nor_read_in_turns(good: Path) -> None:
    """In a handler export and import are a Deadlock."""

    class Clerk(Agent[State]):
        def export(self, path: str) -> None:
            self.system.sessions.create("s")
            self.system.sessions.export("s", path)

        def take(self, path: str) -> None:
            self.system.sessions.import_(path)

    with AgentSystem.open(MemoryStore(), agents=[Clerk]) as system:
        for method in (Clerk.export, Clerk.take):
            with pytest.raises(Deadlock, match="call it from outside"):
                system.agent(Clerk, "a").call(method, str(good)).get()


def test_a_transaction_takes_no_import(good: Path) -> None:
    """It would end with the artifacts alone: what the import commits itself could not be undone."""
    with opened() as system:
        with pytest.raises(ConfigurationError, match="outside of this"), system.state.transaction():
            system.sessions.import_(good)
        assert not list(system.sessions.list())
        assert not list(system.artifacts.list())


def test_an_export_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """The file is replaced when the new one is complete; nothing else is left in its folder."""
    path = tmp_path / "chat-7.perdure"
    path.write_text("precious")
    with opened() as system:
        full(system)
        store: Any = system._store
        page = store.page

        def fails(*arguments: object) -> object:
            if getattr(arguments[0], "name", "") == "artifacts":
                raise StoreUnavailable("the disk is on fire")
            return page(*arguments)

        store.page = fails
        with pytest.raises(StoreUnavailable):
            system.sessions.export("chat-7", path)
        store.page = page
        assert path.read_text() == "precious"
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(UnknownSession):
            system.sessions.export("nobody", path)


class Vault(State):
    token: Secret[str] | None = None


class Keeper(Agent[Vault]):
    def keep(self, token: Secret[str]) -> None:
        session = self.system.sessions.current()
        assert session is not None
        self.state.token = token
        self.scopes.set(session.scope, "token", token)


@pytest.mark.parametrize("secrets", [False, True])
def test_secrets_leave_only_sealed_and_only_when_asked(tmp_path: Path, *, secrets: bool) -> None:
    """A file holds no secret, and its sealed form only with secrets=True."""
    path = tmp_path / "s.perdure"
    provider = StaticKeys({"k1": new_key()})
    with AgentSystem.open(MemoryStore(), agents=[Keeper], keys=Keys(secrets=provider)) as system:
        system.state.register("token", Secret[str])
        session = system.sessions.create("s")
        session.agent(Keeper, "a").call(Keeper.keep, Secret("canary-5511")).get()
        system.sessions.export("s", path, secrets=secrets)
        system.sessions.import_(path, session_id="copy")
        if secrets:
            found = system.state.get(Scope.session("copy"), "token", Secret[str])
            assert found is not None
            assert found.reveal() == "canary-5511"
        else:
            assert system.state.get(Scope.session("copy"), "token", str) == "***"
    assert "canary" not in path.read_text()
    assert ("perdure:secret" in path.read_text()) == secrets


# Hostile files.


def dumps(line: dict[str, Any]) -> bytes:
    """Return a line."""
    return json.dumps(line).replace('"@deep@"', "[" * 5000 + "]" * 5000).encode()


def signed(lines: Lines) -> bytes:
    """Return lines as a file whose checksum is right, however wrong the lines are."""
    body = b"".join(dumps(line) + b"\n" for line in lines[:-1])
    end = {**lines[-1], "sha256": hashlib.sha256(body).hexdigest()}
    return body + dumps(end) + b"\n"


def of(lines: Lines, kind: str) -> dict[str, Any]:
    """Return the first line of a kind."""
    return next(line for line in lines if line["t"] == kind)


def deep(lines: Lines) -> None:
    """Nest a value deeply."""
    of(lines, "key")["value"] = "@deep@"


def opens(lines: Lines, **limits: int) -> None:
    """Make the session active, with other limits."""
    lines[1].update(status="active", ended=None, cleanup="keep", limits=limits)


def circle(lines: Lines) -> None:
    """Have two artifacts made from each other."""
    one, two = [line for line in lines if line["t"] == "artifact"][:2]
    one["sources"], two["sources"] = [two["number"]], [one["number"]]


FORGERIES: dict[str, tuple[Callable[[Lines], object], str]] = {
    "no beginning": (lambda x: x.pop(0), "does not begin as one"),
    "two beginnings": (lambda x: x.insert(0, x[0]), "does not belong here"),
    "no session": (lambda x: x.pop(1), "does not belong here|is missing"),
    "two sessions": (lambda x: x.insert(1, x[1]), "does not belong here"),
    "another format": (lambda x: x[0].update(perdure_session=2), "format 2 is unknown"),
    "unknown field": (lambda x: x[1].update(path="/etc/passwd"), "unknown field"),
    "missing field": (lambda x: x[1].pop("owner"), "missing required field"),
    "unknown line": (lambda x: x.insert(2, {"t": "rm"}), "Invalid value"),
    "order": (lambda x: x.insert(2, x.pop(3)), "not in order"),
    "twice": (lambda x: x.insert(2, x[2]), "not in order"),
    "late key": (lambda x: x.insert(-1, {**x[2], "key": "zz"}), "does not belong here"),
    "counts": (lambda x: x[-1]["counts"].update(key=1), "counts are wrong"),
    "lost line": (lambda x: x.pop(5), "counts are wrong"),
    "traversal": (lambda x: x[2].update(key="../../etc/passwd"), "form of paths"),
    "reserved": (lambda x: x[2].update(key="perdure.x"), "reserved"),
    "control": (lambda x: x[2].update(key="a\x00b"), "control character"),
    "long key": (lambda x: x[2].update(key="x" * 257), "257 bytes"),
    "not normal": (lambda x: x[2].update(key="e\u0301"), "normal form"),
    "negative version": (lambda x: x[2].update(version=-1), ">= 0"),
    "no version": (lambda x: x[2].update(version=0), "never written"),
    "huge version": (lambda x: x[2].update(version=2**63), "<= 9223372036854775807|out of range"),
    "huge time": (lambda x: x[1].update(created=1e300), "<="),
    "deep": (deep, "deeper|recursion"),
    "session id": (lambda x: x[1].update(id="a\nb"), "control character"),
    "empty id": (lambda x: x[1].update(id=""), "0 bytes"),
    "status": (lambda x: x[1].update(status="asleep"), "asleep"),
    "open and ended": (lambda x: x[1].update(status="active"), "do not agree"),
    "ended and open": (lambda x: x[1].update(ended=None), "do not agree"),
    "cleanup": (lambda x: x[1].update(cleanup="burn"), "burn"),
    "limits": (lambda x: x[1].update(limits={"duration": -1, "keep": 1}), "makes no sense"),
    "keep alone": (lambda x: x[1].update(limits={}), "go together"),
    "owner": (lambda x: x[1].update(owner="root"), "no principal"),
    "meta": (lambda x: x[1].update(meta=[1]), "meta is no object"),
    "large meta": (lambda x: x[1].update(meta={"x": "y" * 70_000}), "characters"),
    "name": (lambda x: x[1].update(name="n" * 300), "300 bytes"),
    "artifact name": (lambda x: of(x, "artifact").update(name="../x"), "form of paths"),
    "artifact hash": (lambda x: of(x, "artifact").update(content="0" * 64), "what its hash says"),
    "no hash": (lambda x: of(x, "artifact").update(content="../../x"), "regex"),
    "artifact size": (lambda x: of(x, "artifact").update(size=1), "what its hash says"),
    "artifact type": (lambda x: of(x, "artifact").update(type="virus"), "virus"),
    "artifact tag": (lambda x: of(x, "artifact").update(tags=["a\nb"]), "control character"),
    "bytes": (
        lambda x: of(x, "bytes").update(data=base64.b64encode(b"evil").decode()),
        "what its hash says",
    ),
    "bytes alone": (lambda x: x.remove(of(x, "artifact")), "without their artifact"),
    "bytes lost": (lambda x: x.remove(of(x, "bytes")), "what its hash says"),
    "no base64": (lambda x: of(x, "bytes").update(data="*"), "base64"),
    "history": (lambda x: of(x, "commit")["commit"].update(delta="@deep@"), "deeper|recursion"),
    "history delta": (lambda x: of(x, "commit")["commit"].update(delta=[1]), "no object"),
    "history name": (lambda x: of(x, "commit")["commit"].update(name="a\n"), "control character"),
    "control in name": (lambda x: x[1].update(name="a\x1b[2J"), "control character"),
    "bytes above": (lambda x: opens(x, bytes=500_000), "more than the 500,000 bytes"),
    "keys above": (lambda x: opens(x, bytes=100), "more than the 100 bytes"),
    "artifacts above": (lambda x: opens(x, artifacts=2), "more than the 2 artifacts"),
    "strange source": (lambda x: of(x, "artifact").update(sources=[77]), "not in the file"),
    "one source twice": (
        lambda x: of(x, "artifact").update(sources=[1, 2, 1]),
        "source of an artifact is there twice",
    ),
    "one tag twice": (lambda x: of(x, "artifact").update(tags=["a", "a"]), "tag .* twice"),
    "too many sources": (
        lambda x: of(x, "artifact").update(sources=[7] * (MOST_NOTES + 1)),
        "length <= 100000",
    ),
    "too many notes": (
        lambda x: of(x, "artifact").update(
            sources=list(range(MOST_NOTES // 2)), tags=[str(n) for n in range(MOST_NOTES)]
        ),
        "more than 100,000 tags and sources",
    ),
    "circle": (circle, "made from itself"),
    "own source": (
        lambda x: of(x, "artifact").update(sources=[of(x, "artifact")["number"]]),
        "made from itself",
    ),
    "history kind": (lambda x: of(x, "commit")["commit"].update(kind=["a"]), "Expected `str`"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused_with_its_line(good: Path, tmp_path: Path, name: str) -> None:
    """What no export writes is refused, naming file, line and reason, though the checksum fits."""
    change, reason = FORGERIES[name]
    lines: Lines = [json.loads(line) for line in good.read_bytes().splitlines()]
    change(lines)
    path = tmp_path / "forged.perdure"
    path.write_bytes(signed(lines))
    with opened() as system, unchanged(system):
        with pytest.raises(ImportRefused, match=reason) as caught:
            system.sessions.import_(path)
        assert caught.value.file == str(path)
        text = str(caught.value)
        assert text.count(f"line {caught.value.line}: ") == text.count("nothing was imported") == 1
        if name in ("strange source", "circle", "own source"):
            assert lines[caught.value.line - 1]["t"] == "artifact"


class unchanged:  # noqa: N801 - reads as a statement
    """Assert that a block changes nothing that is stored."""

    def __init__(self, system: AgentSystem) -> None:
        self._system = system

    def _stored(self) -> object:
        self._system.idle(DEADLINE)
        tables: Any = self._system._store
        return {
            table.name: dict(rows) for table, rows in tables._tables._tables.items() if rows
        }, len(self._system.journal.list(limit=1000))

    def __enter__(self) -> None:
        self._before = self._stored()

    def __exit__(self, *_: object) -> None:
        assert self._stored() == self._before


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file and a folder are ImportRefused, too."""
    with opened() as system:
        for path in (tmp_path / "absent", tmp_path):
            with pytest.raises(ImportRefused, match="cannot be read"):
                system.sessions.import_(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"{}\n", b"\x00" * 100, b"\xff\xfe\n", b"SQLite format 3\x00", b"[" * 99999],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """Any other file is ImportRefused."""
    path = tmp_path / "x"
    path.write_bytes(data)
    with opened() as system, unchanged(system), pytest.raises(ImportRefused, match="line 1"):
        system.sessions.import_(path)


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    """A line longer than any can be is refused when that is known."""
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.seek(2**31)
        file.write(b"x")
    store = MemoryStore()
    with (
        AgentSystem.open(store, agents=[], limits=Limits(largest_value=1000)) as system,
        pytest.raises(ImportRefused, match=r"longer than 2,\d\d\d,\d\d\d bytes"),
    ):
        system.sessions.import_(path)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_damage_is_found(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Flipped bits, cut ends, lost, doubled and swapped pieces: ImportRefused, and no trace."""
    original = good.read_bytes()
    damaged = bytearray(original)
    place = data.draw(st.integers(0, len(original) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "lose", "double", "junk"])):
        case "flip":
            damaged[place] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del damaged[place:]
        case "lose":
            del damaged[place : place + data.draw(st.integers(1, 5000))]
        case "double":
            damaged[place:place] = original[place : place + data.draw(st.integers(1, 5000))]
        case "junk":
            damaged += data.draw(st.binary(min_size=1, max_size=50))
    path = tmp_path / "damaged.perdure"
    path.write_bytes(damaged)
    if bytes(damaged) == original:
        return
    with opened() as system, unchanged(system), pytest.raises(ImportRefused):
        system.sessions.import_(path)


def test_an_import_that_cannot_go_on_is_undone(good: Path) -> None:
    """When an import fails half way, what it has written is deleted again."""
    with opened() as system:
        calls: Any = system.sessions._desk
        commit = calls.commit
        names: list[str] = []

        def fails(unit: object, *, name: str = "(shared)") -> None:
            names.append(name)
            if name == "(session imported)":
                raise StoreUnavailable("the disk is on fire")
            commit(unit, name=name)

        calls.commit = fails
        with pytest.raises(StoreUnavailable):
            system.sessions.import_(good)
        calls.commit = commit
        assert names[-1] == "(session import undone)"
        assert keys(system, "chat-7") == []
        assert system.artifacts.list(scope=Scope.session("chat-7")) == []
        assert system.sessions.import_(good).id == "chat-7"


def test_what_a_lost_import_left_is_deleted_at_the_next_opening(tmp_path: Path, good: Path) -> None:
    """An import that neither ended nor could be undone is swept by the next process."""
    store = tmp_path / "a.db"
    with opened(store) as system:
        calls: Any = system.sessions._desk
        commit = calls.commit

        def fails(unit: object, *, name: str = "(shared)") -> None:
            if name in {"(session imported)", "(session cleaned)", "(session import undone)"}:
                raise StoreUnavailable("the disk is on fire")
            commit(unit, name=name)

        calls.commit = fails
        with pytest.raises(StoreUnavailable):
            system.sessions.import_(good)
        with pytest.raises(SessionExists, match="is being imported"):
            system.sessions.create("chat-7")
        calls.commit = commit
    with opened(store) as system:
        system.idle(DEADLINE)
        assert keys(system, "chat-7") == []
        assert system.sessions.create("chat-7").id == "chat-7"


def test_an_import_that_an_outage_cuts_off_is_undone_when_it_is_over(good: Path) -> None:
    """What could not be undone while nothing could be saved is deleted soon afterwards."""
    clock = VirtualClock()
    with opened(clock=clock) as system:
        calls: Any = system.sessions._desk
        commit = calls.commit

        def fails(unit: object, *, name: str = "(shared)") -> None:
            if name in {"(session imported)", "(session import undone)"}:
                raise StoreUnavailable("the disk is on fire")
            commit(unit, name=name)

        calls.commit = fails
        with pytest.raises(StoreUnavailable):
            system.sessions.import_(good)
        with pytest.raises(SessionExists, match="is being imported"):
            system.sessions.create("chat-7")
        calls.commit = commit
        for _ in range(5):
            clock.advance(2)
            system.idle(DEADLINE)
        assert keys(system, "chat-7") == []
        assert system.artifacts.list(scope=Scope.session("chat-7")) == []
        assert system.sessions.import_(good).id == "chat-7"


def test_an_import_whose_last_answer_is_lost_is_there(good: Path) -> None:
    """A session that was on its way to the disk when that failed is there, whole, afterwards."""
    with opened() as system:
        calls: Any = system.sessions._desk
        commit = calls.commit

        def late(unit: object, *, name: str = "(shared)") -> None:
            commit(unit, name=name)
            if name == "(session imported)":
                raise StoreUnavailable("the disk does not answer")

        calls.commit = late
        with pytest.raises(StoreUnavailable):
            system.sessions.import_(good)
        calls.commit = commit
        assert len(keys(system, "chat-7")) == 32
        with pytest.raises(SessionExists):
            system.sessions.import_(good)


def test_sources_outside_of_the_session_are_left_out(tmp_path: Path) -> None:
    """A file names as sources only artifacts that are in it, so that it can be imported."""
    path = tmp_path / "s.perdure"
    with opened() as system:
        raw = system.artifacts.save("raw", b"1")
        with system.sessions.create("s") as session:
            near = system.artifacts.save("near", b"2")
            system.artifacts.save("a", b"3", sources=[raw, near])
        system.sessions.export(session.id, path)
        system.sessions.import_(path, session_id="copy")
        copy = system.artifacts.get("a", scope=Scope.session("copy"))
        assert [source.name for source in system.artifacts.sources(copy)] == ["near"]


def test_sources_come_back_without_a_commit_for_each(tmp_path: Path) -> None:
    """Artifacts made from one another are linked as they were, in slices."""
    file = tmp_path / "a.perdure"
    with opened() as system:
        scope = system.sessions.create("s").scope
        made: list[Artifact] = []
        for number in range(30):
            made.append(
                system.artifacts.save(f"a{number}", b"%d" % number, scope=scope, sources=made)
            )
        system.sessions.export("s", file)
        before = system.journal.list(limit=100_000)[-1].sequence
        copy = system.sessions.import_(file, session_id="copy").scope
        commits = system.journal.list(after=before, limit=100_000)
        assert len(commits) < 60  # 435 links
        for number in (0, 7, 29):
            found = system.artifacts.get(f"a{number}", scope=copy)
            names = sorted(source.name for source in system.artifacts.sources(found))
            assert names == sorted(f"a{n}" for n in range(number))


def test_an_export_that_no_import_would_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an artifact has too much of is found out when the file is made, not years later."""
    monkeypatch.setattr("perdure.shared.sessions.exporter.MOST_NOTES", 3)
    with opened() as system:
        scope = system.sessions.create("s").scope
        system.artifacts.save("a", b"1", scope=scope, tags=["a", "b", "c", "d"])
        with pytest.raises(LimitExceeded, match="which no import takes"):
            system.sessions.export("s", tmp_path / "a.perdure")
        assert list(tmp_path.iterdir()) == []


def test_a_file_is_private(tmp_path: Path) -> None:
    """What a session holds is for who may read the store."""
    file = tmp_path / "a.perdure"
    with opened() as system:
        system.sessions.create("s")
        system.sessions.export("s", file)
    assert file.stat().st_mode & 0o777 == 0o600
