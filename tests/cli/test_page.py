"""docs/cli.md says what the commands do: their help, their JSON keys, their exit codes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import make_cli
from perdure.cli.terminal.exits import ExitCode
from tests.cli.commands import invoke, records, spawn
from tests.kit.children import finished

TEXT = make_cli.PAGE.read_text()
NAMED = {"fields", "logs", "maps", "counts", "orphans"}
"""Keys of `show` and `doctor` whose values are by name; `fields` of `growth` is a list."""
OPAQUE = {"body", "delta", "value", "entry"}


def keys(value: object) -> Iterator[str]:
    """Return every key in a record, those below names and in lists included."""
    if isinstance(value, list):
        for item in value:
            yield from keys(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key in NAMED and isinstance(inner, dict):
                for each in inner.values():
                    yield from keys(each)
            elif key not in OPAQUE:
                yield from keys(inner)


def documented(command: str) -> set[str]:
    """Return the keys that the page gives for a command, those it refers to included."""
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{command}`")]
    found = set(re.findall(r"`([a-z_]+)`", row.split("|")[2]))
    for other in ("agents", "journal", "dead-letters"):
        if re.search(rf"(those of|as of) `{other}`", row):
            found = (found - {other}) | documented(other)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["agents"],
        ["show", "Desk", "emea"],
        ["journal"],
        ["dead-letters"],
        ["growth"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_json_keys_are_the_documented_ones(own_store: Path, words: list[str]) -> None:
    """What a command prints has exactly the keys of the page: programs can rely on them."""
    found: set[str] = set()
    for more in (["show", "Desk", "apac"], words) if words[0] == "show" else (words,):
        found |= {key for record in records(*more, "--store", own_store) for key in keys(record)}
    if words[0] == "doctor":  # a healthy store has no bad rows to show the keys of
        found |= {"table", "kind", "key", "place"}
    assert found == documented(words[0])


def test_json_keys_of_moved_letters(own_store: Path) -> None:
    """The same for letters that were put back."""
    (letter, _) = records("dead-letters", "--store", own_store)
    (moved,) = records("dead-letters", "requeue", letter["id"], "--store", own_store)
    assert set(keys(moved)) == documented("dead-letters requeue")


def test_the_page_is_up_to_date() -> None:
    """The second half of the page is what `--help` says today."""
    assert make_cli.render() == TEXT, "run: python -m docs.make_cli"


def test_every_exit_code_is_documented() -> None:
    """The page lists every exit code of ours, and the main help its numbers."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)}
    assert listed == {int(code) for code in ExitCode}
    shown = invoke("--help").stdout.partition("Exit codes:")[2]
    assert {int(code) for code in re.findall(r"\d+", shown)} == listed


@pytest.mark.parametrize("command", make_cli.commands())
def test_every_command_has_an_example(command: str) -> None:
    """Each command's help shows how it is called, with its own name."""
    assert f"\n  perdure {command} " in invoke(command, "--help").stdout.partition("\n")[2]


def test_help_starts_without_the_actors() -> None:
    """Neither help nor reading loads the actors, and help loads no tables and no driver."""
    code = (
        "import sys; from perdure.cli.app import app\n"
        "try: app([{words}])\n"
        "except SystemExit: pass\n"
        "print([m for m in {heavy} if m in sys.modules])"
    )
    heavy = ["perdure.actors.agent.agent", "pykka", "asyncio", "cloudpickle", "sqlite_utils"]
    for words, unwanted in (
        ("'--help'", [*heavy, "sqlite3", "msgspec", "rich"]),
        ("'agents', '--store', 'gone.db'", heavy),
    ):
        said, _ = finished("-c", code.format(words=words, heavy=unwanted))
        assert said.splitlines()[-1] == "[]"


def test_the_version() -> None:
    """`--version` prints one line and ends, also where perdure is not installed."""
    done = spawn("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"perdure (\d+\.\d+\.\d+|\(not installed: .*\))\n", done.stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    """The completion that typer installs offers the commands."""
    done = spawn(
        _PERDURE_COMPLETE=f"complete_{shell}", COMP_WORDS="perdure do", COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="perdure do", _TYPER_COMPLETE_FISH_ACTION="get-args",
    )  # fmt: skip
    assert "doctor" in done.stdout
    assert "journal" not in done.stdout
