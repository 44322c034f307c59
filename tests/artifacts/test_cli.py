"""The command line of artifacts: bytes in and out, verified, and nowhere but where was named."""

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from perdure.cli.terminal.exits import ExitCode
from perdure.shared.artifacts.chunking import CHUNK
from tests.artifacts.agents import Maker, opened
from tests.artifacts.looks import W, noise
from tests.cli.commands import command, invoke, records, spawn
from tests.kit.children import environment
from tests.pages import DOCS


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a closed store with a few artifacts."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        raw = system.artifacts.save("raw", noise(2 * CHUNK + 1), scope=W, tags=["t"])
        system.artifacts.save("clean", b"clean\n", scope=W, sources=[raw], meta={"a": 1})
        system.agent(Maker, "m").proxy().make("n", "1", 1).get()
    return path


def test_lists_and_filters(store: Path) -> None:
    """Artifacts are listed by number, filtered, page by page."""
    everything = records("artifacts", "--store", store)
    assert [entry["name"] for entry in everything] == ["raw", "clean", "n"]
    for options, names in (
        (["--scope", "workflow:w"], ["raw", "clean"]),
        (["--tag", "t"], ["raw"]),
        (["--type", "agent-output"], ["n"]),
        (["--after", everything[0]["number"], "--limit", 1], ["clean"]),
        (["list", "clean"], ["clean"]),
        (["--scope", "user:nobody"], []),
    ):
        found = records("artifacts", *options, "--store", store)
        assert [entry["name"] for entry in found] == names
    shown = invoke("artifacts", "--store", store, "--limit", 2)
    assert "workflow:w" in shown.stdout
    assert f"--after {everything[1]['number']}" in shown.stderr
    assert "no artifacts" in invoke("artifacts", "--tag", "x", "--store", store).stderr


def test_shows_what_is_known(store: Path) -> None:
    """One artifact is shown with tags, sources, results and the turns it went into."""
    (raw,) = records("artifacts", "show", "raw", "--scope", "workflow:w", "--store", store)
    (clean,) = records("artifacts", "show", "clean", "--scope", "workflow:w", "--store", store)
    assert (raw["tags"], len(raw["results"]), len(raw["uses"])) == (["t"], 2, 1)
    assert (clean["sources"], clean["meta"]) == ([raw["number"]], {"a": 1})
    (source,) = records("artifacts", "sources", "clean", "--scope", "workflow:w", "--store", store)
    assert source["name"] == "raw"
    assert "agent:Maker" in invoke(
        "artifacts", "show", "n", "--scope", "agent:Maker/m", "--store", store
    ).stdout.replace("%2F", "/")


def test_bytes_go_out_and_in(store: Path, tmp_path: Path) -> None:
    """What is got is what was put, over a file and over a pipe."""
    target = tmp_path / "out.bin"
    got = invoke("artifacts", "get", "raw", target, "--scope", "workflow:w", "--store", store)
    assert got.exit_code == 0, got.output
    assert target.read_bytes() == noise(2 * CHUNK + 1)
    put = records("artifacts", "put", "copy", target, "--type", "user-input", "--media",
                  "image/tiff", "--tag", "x", "--tag", "y", "--store", store)  # fmt: skip
    assert (put[0]["action"], put[0]["version"], put[0]["media"]) == ("saved", 1, "image/tiff")
    assert spawn("artifacts", "get", "clean", "--scope", "workflow:w", "--store", store).stdout == (
        "clean\n"
    )
    (copy,) = records("artifacts", "show", "copy", "--store", store)
    assert (copy["tags"], copy["scope"]) == (["x", "y"], "global")


def test_a_pipe_is_saved(store: Path) -> None:
    """Without a file, bytes come from standard input."""
    subprocess.run(
        command("artifacts", "put", "piped", "--store", store),
        input=b"from a pipe", env=environment(), check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    assert spawn("artifacts", "get", "piped", "--store", store).stdout == "from a pipe"


def test_nothing_is_replaced(store: Path, tmp_path: Path) -> None:
    """A file that is there, or a link, is left alone."""
    target, link = tmp_path / "there", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    for file in (target, link, tmp_path / "none" / "out"):
        got = invoke("artifacts", "get", "clean", file, "--scope", "workflow:w", "--store", store)
        assert got.exit_code == ExitCode.USAGE
    assert target.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_damage_leaves_no_file(store: Path, tmp_path: Path) -> None:
    """Bytes that are not what was saved end the command, and the file is not left behind."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE chunks SET data = x'00' WHERE size = 1")
    target = tmp_path / "out.bin"
    got = invoke("artifacts", "get", "raw", target, "--scope", "workflow:w", "--store", store)
    assert got.exit_code == ExitCode.STORE
    assert "chunk 2" in got.stderr
    assert not target.exists()


def test_deleting_frees(store: Path) -> None:
    """A deleted artifact is gone, and so are its bytes."""
    (gone,) = records("artifacts", "delete", "raw", "--scope", "workflow:w", "--store", store)
    assert gone["action"] == "deleted"
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (2,)
    again = invoke("artifacts", "delete", "raw", "--scope", "workflow:w", "--store", store)
    assert again.exit_code == ExitCode.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["get"], ExitCode.USAGE, "needs the NAME"),
        (["get", "none"], ExitCode.NOT_FOUND, "global has no artifact 'none'"),
        (["show", "clean", "file", "--scope", "workflow:w"], ExitCode.USAGE, "takes no FILE"),
        (["list", "--type", "picture"], ExitCode.USAGE, "no type of artifact"),
        (["put", "x", "/none/file"], ExitCode.USAGE, "cannot be read"),
        (["get", "a", "--scope", "planet:x"], ExitCode.USAGE, "is no scope"),
        (["get", "../x"], ExitCode.USAGE, "form of paths"),
        (["get", "clean", "--version", "2"], ExitCode.NOT_FOUND, "'clean' version 2"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(store: Path, words: list[str], code: int, text: str) -> None:
    """What cannot be done is said in one sentence, with its exit code."""
    done = invoke("artifacts", *words, "--store", store)
    assert (done.exit_code, text in done.stderr) == (code, True), done.output
    assert "Traceback" not in done.output


def test_beside_a_live_owner(store: Path) -> None:
    """Reading goes on beside a live process; writing names the owner."""
    with opened(store) as system:
        system.artifacts.save("live", b"now")
        assert spawn("artifacts", "get", "live", "--store", store).stdout == "now"
        done = spawn("artifacts", "delete", "live", "--store", store)
        assert done.returncode == ExitCode.OWNED
        assert "open for writing" in done.stderr


def test_no_store_is_made(tmp_path: Path) -> None:
    """A mistyped store is an error, and no new file."""
    done = invoke("artifacts", "put", "a", __file__, "--store", tmp_path / "none.db")
    assert done.exit_code == ExitCode.STORE
    assert list(tmp_path.iterdir()) == []


def test_json_keys_are_the_documented_ones(store: Path) -> None:
    """What `artifacts` prints as JSON has exactly the keys of docs/cli.md."""
    (listed, *_) = records("artifacts", "--store", store)
    (shown,) = records("artifacts", "show", "raw", "--scope", "workflow:w", "--store", store)
    (put,) = records("artifacts", "put", "x", __file__, "--store", store)
    rows = {
        line.split("|")[1].strip(): set(re.findall(r"`([a-z_]+)`", line.split("|")[2]))
        for line in (DOCS / "cli.md").read_text().splitlines()
        if line.startswith("| `artifacts")
    }
    common = rows["`artifacts`, `artifacts sources`"]
    assert set(listed) == common
    assert set(shown) == common | rows["`artifacts show`"] - {"artifacts"}
    assert set(put) == common | rows["`artifacts put`, `artifacts delete`"] - {"artifacts"}


def test_a_full_disk_is_one_sentence(store: Path) -> None:
    """Bytes that the standard output does not take are no defect, however many there are."""
    for name, scope in (("raw", "workflow:w"), ("clean", "workflow:w")):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command("artifacts", "get", name, "--scope", scope, "--store", store),
                env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == ExitCode.USAGE
        assert done.stderr.splitlines() == [
            "perdure: the standard output cannot be written: No space left on device"
        ]
