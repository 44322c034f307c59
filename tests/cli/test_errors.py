"""Every way to fail: one sentence on stderr, nothing on stdout, an exit code that tells which."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from perdure.cli.commands import agents
from perdure.cli.terminal.exits import ExitCode, exit_code, sentence
from perdure.persistence import errors
from tests.cli.commands import command, invoke, spawn
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE

READERS = (["agents"], ["show", "K", "k"], ["journal"], ["dead-letters"], ["growth"], ["doctor"])
WRITERS = (["dead-letters", "requeue", "1"], ["dead-letters", "discard", "1"])


def sentence_of(*words: object, code: int) -> str:
    """Run a command that must fail with ``code`` and return its one sentence."""
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("perdure: ")
    return line.removeprefix("perdure: ")


@pytest.mark.parametrize("words", [*READERS, *WRITERS], ids=" ".join)
def test_a_store_that_is_not_there(tmp_path: Path, words: list[str]) -> None:
    """A missing store is said to be missing and not created, also by commands that write."""
    path = tmp_path / "gone.db"
    assert "does not exist" in sentence_of(*words, "--store", path, code=3)
    assert not path.exists()


@pytest.mark.parametrize(
    "words", [*READERS, *WRITERS, ["run", "tests.cli.programs:Desk"]], ids=" ".join
)
def test_a_path_that_cannot_be_looked_at(tmp_path: Path, words: list[str]) -> None:
    """A name that no file can have, as a folder that one may not enter, is no defect of perdure."""
    path = tmp_path / ("x" * 300)
    assert "File name too long" in sentence_of(*words, "--store", path, code=3)


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_file_that_is_no_store(tmp_path: Path, words: list[str]) -> None:
    """A text file, a foreign database, an empty file and a folder are refused, not changed."""
    text, foreign, empty = tmp_path / "text", tmp_path / "foreign.db", tmp_path / "empty"
    text.write_text("nothing like a database " * 100)
    empty.touch()
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    for path in (text, foreign, empty):
        before = path.read_bytes()
        assert "another" in sentence_of(*words, "--store", path, code=3)
        assert path.read_bytes() == before
    sentence_of(*words, "--store", tmp_path, code=3)


def test_a_store_from_the_future(own_store: Path) -> None:
    """A store of a newer release asks for an upgrade."""
    with sqlite3.connect(own_store) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    assert "upgrade perdure" in sentence_of("agents", "--store", own_store, code=3)


@pytest.mark.parametrize("url", ["memory://", "postgres://host/db", ""])
def test_a_url_that_cannot_be_read(url: str) -> None:
    """A URL that names no file to read is wrong usage."""
    sentence_of("agents", "--store", url, code=2)


@pytest.mark.parametrize(
    "words",
    [
        ["agents"],  # no store
        ["agents", "--store"],
        ["agents", "--store", "x", "--limit", "0"],
        ["agents", "--store", "x", "--limit", str(2**63)],
        ["agents", "--store", "x", "--status", "tired"],
        ["dead-letters", "bury", "--store", "x"],
        ["dead-letters", "show", "x", "--store", "x"],
        ["dead-letters", "show", str(2**63), "--store", "x"],
        ["show", "Desk", "--store", "x"],
        ["run", "--store", "x"],
        ["run", "desk:Desk", "--store", "x", "--sync", "never"],
        ["run", "desk:Desk", "--store", "x", "--workers", "0"],
        ["run", "desk:Desk", "--store", "x", "--drain", "-1"],
        ["fly"],
        ["--fly"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line(words: list[str]) -> None:
    """What the grammar does not have is refused with exit code 2, in one sentence."""
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("place", [str(2**63), "-1", "x", ""])
def test_a_place_that_is_no_number(desk_store: Path, place: str) -> None:
    """Where places are numbers, what is none is refused by every list."""
    for words in (["journal"], ["mail"], ["dead-letters"], ["audit"], ["artifacts"]):
        said = sentence_of(*words, "--after", place, "--store", desk_store, code=2)
        assert said.endswith("here it takes a number that a page has named")


def test_a_key_without_its_kind(desk_store: Path) -> None:
    """The same key in two kinds is two agents: ``--key`` alone is refused by every list."""
    for words in (["agents"], ["journal"], ["mail"], ["timers"], ["dead-letters"]):
        said = sentence_of(*words, "--key", "emea", "--store", desk_store, code=2)
        assert "--key goes with --kind" in said


def test_a_list_without_times_has_no_newest(desk_store: Path) -> None:
    """Sizes and findings are in no order of time, and a report has no place to go on behind."""
    for words in (["growth"], ["growth", "agents"], ["doctor"], ["doctor", "findings"]):
        for flag in ("--newest", "--oldest"):
            assert "have no time" in sentence_of(*words, flag, "--store", desk_store, code=2)
    for words in (["growth"], ["doctor"]):
        assert "--after goes with" in sentence_of(*words, "--after", 1, "-s", desk_store, code=2)
    assert "none of that name" in sentence_of(
        "growth", "agents", "--after", "Desk/nobody", "--store", desk_store, code=2
    )


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["list", "7"], "takes no ID"),
        (["show"], "needs the ID"),
        (["requeue"], "needs the ID"),
        (["discard"], "needs the ID"),
    ],
)
def test_dead_letters_want_ids_where_they_belong(
    desk_store: Path, words: list[str], part: str
) -> None:
    """An ID for ``list``, or none for the others, is wrong usage."""
    assert part in sentence_of("dead-letters", *words, "--store", desk_store, code=2)


def test_what_is_not_in_the_store(desk_store: Path) -> None:
    """An agent or dead letter that is not there has its own exit code and a hint."""
    hint = sentence_of("show", "Desk", "emae", "--store", desk_store, code=5)
    assert hint == "there is no Desk/emae; of that kind there are 'apac', 'emea'"
    hint = sentence_of("show", "Dusk", "emea", "--store", desk_store, code=5)
    assert "`perdure agents` lists" in hint
    hint = sentence_of("dead-letters", "show", "7", "--store", desk_store, code=5)
    assert "there is no dead letter 7" in hint


@pytest.mark.parametrize("words", [["doctor"], ["agents"]], ids=" ".join)
def test_a_file_whose_end_is_missing(own_store: Path, words: list[str]) -> None:
    """A truncated store needs a backup, or a repair; `doctor` alone cannot look either."""
    with own_store.open("r+b") as file:
        file.truncate(own_store.stat().st_size // 2)
    said = sentence_of(*words, "--store", own_store, code=3)
    assert "the file is damaged beyond reading; restore a backup, or save what is whole" in said


def test_several_programs(tmp_path: Path) -> None:
    """`run` with several programs advises a list and starts nothing."""
    said = sentence_of("run", "desk:Desk", "shop:Till", "--store", tmp_path / "x.db", code=2)
    assert "takes one MODULE:NAME, not 2" in said
    assert "AGENTS = [Desk, Till]" in said
    assert not list(tmp_path.iterdir())


def test_names_that_are_not_text(desk_store: Path) -> None:
    """A key that is not UTF-8 is refused, since no agent can have it."""
    done = subprocess.run(
        [*command("show", "Desk"), b"\xff\xfe", "--store", str(desk_store)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "kinds and keys are text" in done.stderr


def test_a_defect_is_one_sentence(desk_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody foresaw is called a defect; the traceback comes only when asked for."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("oh [red]no[/red]\nforged")

    monkeypatch.setattr(agents, "list_agents", broken)
    said = sentence_of("agents", "--store", desk_store, code=70)
    assert r"RuntimeError: oh [red]no[/red]\nforged" in said
    monkeypatch.setenv("PERDURE_TRACEBACK", "1")
    monkeypatch.setattr("tests.cli.commands._runner.env", {})
    result = invoke("agents", "--store", desk_store)
    assert "Traceback" in result.stderr


def test_every_error_has_its_exit_code() -> None:
    """Each class of errors of perdure leads to a documented code; only the unforeseen to 70."""
    owned = errors.StoreOwned("x.db", host="h", pid=1, started="now")
    expected: dict[Exception, ExitCode] = {
        errors.ConfigurationError("x"): ExitCode.USAGE,
        errors.StoreUnavailable("x"): ExitCode.STORE,
        errors.NotAStore("x"): ExitCode.STORE,
        errors.StoreTooNew("x"): ExitCode.STORE,
        errors.CorruptState("x", "y"): ExitCode.STORE,
        owned: ExitCode.OWNED,
        errors.Fenced("x.db", token=1, current=2): ExitCode.OWNED,
        errors.SystemClosed("x"): ExitCode.PROBLEMS,
        KeyError("x"): ExitCode.DEFECT,
    }
    assert {error: exit_code(error) for error in expected} == expected
    assert sentence(owned) == str(owned)
    assert "process 1 on h" in sentence(owned)


def test_a_reader_that_goes_away_ends_the_command_quietly(desk_store: Path) -> None:
    """Written into a closed pipe, as before ``| head``, a command ends without a word."""
    for words in (["journal", "--after", "0"], ["agents", "--json"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        store = [] if words == ["--help"] else ["--store", desk_store]
        process = subprocess.Popen(
            command(*words, *store),
            cwd=ROOT, env=environment(), stdout=write, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(write)
        _, said = process.communicate(timeout=30)
        assert said == b""
        assert process.returncode == -13  # SIGPIPE, which shells report as 141


def test_an_answer_for_which_there_is_no_room(desk_store: Path) -> None:
    """A full disk is no defect of ours, and an answer that was not given no success."""
    words = command("journal", "--store", desk_store, "--json")
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            words, cwd=ROOT, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=DEADLINE, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert "to give it: [Errno 28] No space left" in result.stderr


def test_a_folder_that_cannot_be_written(desk_store: Path, tmp_path: Path) -> None:
    """`run` on a store whose folder does not exist says so before anything starts."""
    done = spawn("run", "tests.cli.programs:Desk", "--store", tmp_path / "no" / "desk.db")
    assert done.returncode == 3
    assert "is not a directory; create it" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208
