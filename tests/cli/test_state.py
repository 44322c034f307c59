"""`perdure state`: shared keys, read beside a live owner, written under the lease."""

import hashlib
import json
import random
import sqlite3
from pathlib import Path

import pytest

from perdure import AgentSystem, Keys, Scope, Secret, StaticKeys, new_key
from perdure.persistence.errors import ImportRefused
from perdure.shared.scopes import files
from tests.cli.commands import Running, invoke, on_terminal, records, spawn
from tests.cli.conftest import HOSTILE

W = Scope.workflow("w/1")
FORM = "workflow:w%2F1"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Give a store with some shared keys."""
    path = tmp_path / "shared.db"
    with AgentSystem.open(path, agents=[], sync="process") as system:
        state = system.state
        state.set_many(W, {"out/1": {"a": [1, 2]}, "out/2": "text", "n": 7})
        state.set(Scope.GLOBAL, "all", None)
        state.set(Scope.user("mira"), "language", "en", ttl=86_400)
    return path


def test_keys_are_read(shared: Path) -> None:
    """A value is got; list gives keys, of a prefix or behind one; without a scope, scopes."""
    assert invoke("state", "get", FORM, "out/1", "--store", shared).stdout == '{"a": [1, 2]}\n'
    (entry,) = records("state", "get", FORM, "n", "--store", shared)
    assert (entry["value"], entry["version"], entry["scope"]) == (7, 1, FORM)
    listed = records("state", "list", FORM, "--store", shared)
    assert [row["key"] for row in listed] == ["n", "out/1", "out/2"]
    assert records("state", "list", FORM, "--prefix", "out/", "--store", shared) == listed[1:]
    assert records("state", "list", FORM, "--after", "n", "-n", 1, "--store", shared) == [listed[1]]
    assert records("state", "--store", shared) == [
        {"scope": "global", "keys": 1},
        {"scope": "user:mira", "keys": 1},
        {"scope": FORM, "keys": 3},
    ]
    table = invoke("state", "list", FORM, "-n", 2, "--store", shared)
    assert table.stdout.splitlines()[1].split() == ["n", "1", "7"]
    assert table.stderr == "there are more; --after out/1 shows them\n"
    assert (
        invoke("state", "list", "tool:none", "--store", shared).stderr == "no keys in tool:none\n"
    )


def test_keys_are_written(shared: Path) -> None:
    """set, delete and clear change the store, each in one commit."""
    assert invoke("state", "set", FORM, "n", "[8]", "--store", shared).stdout == (
        f"set n in {FORM}, version 2\n"
    )
    (told,) = records("state", "set", "tool:t", "new", '"x"', "--ttl", 1000, "--store", shared)
    assert told == {"action": "set", "scope": "tool:t", "key": "new", "version": 1}
    (entry,) = records("state", "get", "tool:t", "new", "--store", shared)
    assert entry["expires"] is not None
    assert records("state", "delete", FORM, "out/1", "n", "--store", shared)[0]["keys"] == 2
    assert [row["key"] for row in records("state", "list", FORM, "--store", shared)] == ["out/2"]
    cleared = invoke("state", "clear", FORM, "--store", shared)
    assert cleared.stdout == f"deleted 1 key in {FORM}\n"
    assert records("state", "list", FORM, "--store", shared) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["get", FORM, "none"], 5, "no key 'none'"),
        (["delete", FORM, "n", "none"], 5, "no key 'none'"),
        (["get", FORM], 2, "SCOPE KEY"),
        (["get", "workflow:w/1", "n"], 2, "no scope"),
        (["get", FORM, "a//b"], 2, "//"),
        (["set", FORM, "k", "{"], 2, "JSON"),
        (["set", FORM, "k", "1", "--ttl", "-1"], 2, "ttl"),
        (["list", FORM, FORM], 2, "[SCOPE]"),
        (["set", FORM, "k", "1", "--ttl", "1e12"], 2, "below 10,000,000,000"),
        (["import", "none.jsonl"], 2, "cannot be read"),
        (["import", "/"], 2, "cannot be read"),
        (["export", "/nowhere/x"], 2, "cannot be written"),
        (["clear", "sharing:a/b"], 2, "perdure's own"),
    ],
)
def test_mistakes_are_one_sentence(shared: Path, words: list[str], code: int, said: str) -> None:
    """What is not there or makes no sense is refused, and changes nothing."""
    before = records("state", "list", FORM, "--store", shared)
    result = invoke("state", *words, "--store", shared)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert records("state", "list", FORM, "--store", shared) == before


def test_a_live_owner_is_not_disturbed(own_store: Path) -> None:
    """Beside a process that owns the store reading works; writing is refused and names it."""
    invoke("state", "set", "global", "k", "1", "--store", own_store)
    with Running("tests.cli.programs:agents", "--store", own_store) as child:
        child.until("running")
        assert invoke("state", "get", "global", "k", "--store", own_store).stdout == "1\n"
        for words in (["set", "global", "k", "2"], ["delete", "global", "k"], ["clear", "global"]):
            result = invoke("state", *words, "--store", own_store)
            assert (result.exit_code, result.stdout) == (4, "")
            assert f"by process {child.process.pid} on " in result.stderr
        assert invoke("state", "get", "global", "k", "--store", own_store).stdout == "1\n"


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    """Writing to a path without a store is an error and makes no file."""
    path = tmp_path / "none.db"
    assert invoke("state", "set", "global", "k", "1", "--store", path).exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_a_file_holds_all_there_is(shared: Path, tmp_path: Path) -> None:
    """An export read into another store gives the same keys, values and expiries."""
    file, other = tmp_path / "all.jsonl", tmp_path / "other.db"
    AgentSystem.open(other, agents=[], sync="process").close()
    (told,) = records("state", "export", file, "--store", shared)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (told["keys"], told["left_out"]) == (5, 0)
    assert records("state", "import", file, "--store", other)[0]["keys"] == 5
    for scope in (FORM, "global", "user:mira"):
        mine, theirs = (records("state", "list", scope, "--store", s) for s in (shared, other))
        assert [(r["key"], r["value"]) for r in mine] == [(r["key"], r["value"]) for r in theirs]
        for one, two in zip(mine, theirs, strict=True):
            assert (one["expires"] is None) == (two["expires"] is None)
            assert abs((one["expires"] or 0) - (two["expires"] or 0)) < 1
    invoke("state", "set", FORM, "n", "0", "--store", other)
    assert records("state", "import", file, "--keep", "--store", other)[0]["keys"] == 0
    assert invoke("state", "get", FORM, "n", "--store", other).stdout == "0\n"
    assert records("state", "import", file, "--store", other)[0]["keys"] == 5
    assert invoke("state", "get", FORM, "n", "--store", other).stdout == "7\n"
    part = tmp_path / "part.jsonl"
    assert records("state", "export", part, FORM, "--store", shared)[0]["keys"] == 3
    again = invoke("state", "export", part, "--store", shared)
    assert again.exit_code == 2  # no file is overwritten


def test_a_spoilt_file_is_refused_whole(shared: Path, tmp_path: Path) -> None:
    """Bits flipped, lines lost, doubled or swapped, an end cut off: refused, nothing written."""
    file = tmp_path / "all.jsonl"
    invoke("state", "export", file, "--store", shared)
    good = file.read_bytes()
    lines = good.splitlines(keepends=True)
    chance = random.Random(7)
    spoilt = [
        b"", b"\n", good[:-1], good[:-20], good + b"\n", good + lines[1], b"".join(lines[1:]),
        b"".join([*lines[:2], *lines[3:]]), b"".join([lines[0], lines[1], *lines[1:]]),
        b"".join([lines[0], lines[2], lines[1], *lines[3:]]), lines[0] + lines[-1],
        good.replace(b'"perdure_state":1', b'"perdure_state":2'), b"[" * 100_000 + b"\n",
        lines[0] * 2 + b"".join(lines[1:]), b"\xff\xfe" * 30 + b"\n",
        good.replace(b'"out/1"', b'"../1"'), good.replace(b"global", b"gl\\u0000bal"),
    ]  # fmt: skip
    for _ in range(150):
        flipped = bytearray(good)
        flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        spoilt.append(bytes(flipped))
    other = tmp_path / "other.db"
    with AgentSystem.open(other, agents=[], sync="process") as system:
        for data in spoilt:
            if data == good:
                continue
            file.write_bytes(data)
            with pytest.raises(ImportRefused, match="line"):
                files.load(file, system.state, now=0.0)
        assert list(files.scopes(system._store)) == []
    result = invoke("state", "import", file, "--store", other)
    assert result.exit_code == 1
    assert "nothing of it was imported" in result.stderr


UNWRITABLE = [
    ("global", "1", "1e300", "a time to live"),
    ("global", "1", "10000000000000", "a time to live"),
    ("global", "[" * 600 + "]" * 600, "null", "nests deeper"),
    ("global", "NaN", "null", "no line of an export"),
    ("global", '"\\ud800"', "null", "no line of an export"),
    ("global", "1e400", "null", "no line of an export"),
    ("session:over", "1", "null", "session over is completed"),
]


@pytest.mark.parametrize(("scope", "value", "expires", "why"), UNWRITABLE)
def test_what_cannot_be_written_stops_all_of_it(
    tmp_path: Path, scope: str, value: str, expires: str, why: str
) -> None:
    """A whole file whose last key no write would take is refused before the first is written."""
    key = '{"t":"key","scope":"%s","key":"k%04d","value":%s,"version":1,"expires":%s}\n'
    lines = ['{"t":"begin","perdure_state":1}\n']
    lines += [key % ("global", number, number, "null") for number in range(600)]
    lines.append(key % (scope, 600, value, expires))
    body = "".join(lines).encode()
    file = tmp_path / "all.jsonl"
    digest = hashlib.sha256(body).hexdigest().encode()
    file.write_bytes(body + b'{"t":"end","keys":601,"sha256":"%s"}\n' % digest)
    with AgentSystem.open("memory://", agents=[]) as system:
        system.sessions.create("over").complete()
        with pytest.raises(ImportRefused, match=f"line 602.*{why}"):
            files.load(file, system.state, now=0.0)
        assert list(files.scopes(system._store)) == []


def test_an_export_says_what_is_missing(shared: Path, tmp_path: Path) -> None:
    """Damaged keys are counted and give exit code 1; the others are in the file all the same."""
    connection = sqlite3.connect(shared)
    connection.execute("UPDATE scoped SET value = '8' WHERE key IN ('n', 'language')")
    connection.commit()
    connection.close()
    result = invoke("state", "export", tmp_path / "all", "--store", shared)
    assert (result.exit_code, result.stderr) == (
        1, "2 keys are damaged and are missing; `perdure doctor` names them\n",
    )  # fmt: skip
    assert len(list(files.read(tmp_path / "all"))) == 3
    (told,) = records("state", "export", tmp_path / "part", FORM, "--store", shared, code=1)
    assert (told["keys"], told["missing"]) == (2, 1)
    (told,) = records("state", "export", tmp_path / "good", "global", "--store", shared)
    assert (told["keys"], told["missing"]) == (1, 0)


def test_an_export_goes_through_a_pipe(shared: Path, tmp_path: Path) -> None:
    """With - for a file an export is all that is written to standard output."""
    result = spawn("state", "export", "-", "--store", shared)
    assert result.returncode == 0
    file = tmp_path / "piped"
    file.write_text(result.stdout)
    assert len(list(files.read(file))) == 5


def test_a_secret_is_not_written_over(tmp_path: Path) -> None:
    """A key that holds a secret is set from here only with --force, and then plain."""
    path = tmp_path / "s.db"
    keys = StaticKeys({"k1": new_key()})
    with AgentSystem.open(path, agents=[], keys=Keys(secrets=keys)) as system:
        system.state.register("token", Secret[str])
        system.state.set(W, "token", Secret("hush"))
    result = invoke("state", "set", FORM, "token", '"x"', "--store", path)
    assert result.exit_code == 2
    assert "holds a secret" in result.stderr
    assert records("state", "get", FORM, "token", "--store", path)[0]["version"] == 1
    assert invoke("state", "set", FORM, "token", '"x"', "--force", "--store", path).exit_code == 0
    assert records("state", "get", FORM, "token", "--store", path)[0]["value"] == "x"


def test_hostile_keys_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Whatever keys and values hold, what is shown is visible text."""
    path = tmp_path / "hostile.db"
    with AgentSystem.open(path, agents=[], sync="process") as system:
        for number, text in enumerate(HOSTILE):
            key = "".join(c for c in text if c.isprintable() or c == "\u202e")
            key = key.replace("\\", "").replace("//", "")[:60]
            system.state.set(Scope.user(key), f"{number} {key}", [text * 50])
    for scope in [row["scope"] for row in records("state", "--store", path)]:
        for words in (["list", scope], ["list", scope, "--json"], []):
            result = invoke("state", *words, "--store", path)
            assert result.exit_code == 0, result.output
            assert not [c for c in result.output.replace("\n", "") if not c.isprintable()]
    assert "\x1b[31m" not in on_terminal("state", "list", scope, "--store", path)


def test_many_keys_go_through_files(tmp_path: Path) -> None:
    """Thousands of keys are exported and imported in slices; the list stays a page."""
    path, other, file = tmp_path / "a.db", tmp_path / "b.db", tmp_path / "f.jsonl"
    with AgentSystem.open(path, agents=[], sync="process") as system:
        system.state.set_many(W, {f"k{number:05}": number for number in range(3_210)})
    AgentSystem.open(other, agents=[], sync="process").close()
    assert spawn("state", "export", file, "--store", path).returncode == 0
    assert json.loads(file.read_text().splitlines()[-1])["keys"] == 3_210
    assert records("state", "import", file, "--store", other)[0]["keys"] == 3_210
    assert len(records("state", "list", FORM, "--store", other)) == 50
    found = records("state", "list", FORM, "-n", 5_000, "--store", other)
    assert [row["value"] for row in found] == list(range(3_210))
