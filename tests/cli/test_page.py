"""docs/cli.md says what the commands do: their help, their JSON keys, their exit codes."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from docs import make_cli
from perdure import AgentSystem, Backups
from perdure.cli.terminal.exits import ExitCode
from tests.cli import everything
from tests.cli.commands import invoke, records, spawn
from tests.kit.children import finished

TEXT = make_cli.PAGE.read_text()
NAMED = {
    "fields", "logs", "maps", "counts", "orphans", "limits", "meta", "remaining", "keys",
    "migrated", "compatible", "left", "waiting", "values", "codes",
}  # fmt: skip
"""Keys of `show` and `doctor` whose values are by name; `fields` of `growth` is a list."""
OPAQUE = {
    "outcomes", "context", "result", "body", "delta", "value", "entry", "before", "after", "detail",
    "arguments", "recorded", "replayed", "json_schema", "output", "now",
}  # fmt: skip


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


ROWS: Final = {
    name: line.split("|")[2]
    for line in TEXT.partition("## JSON")[2].partition("## Exit codes")[0].splitlines()
    if line.startswith("| `")
    for name in re.findall(r"`([^`]+)`", line.split("|")[1])
}
"""What the table says of each command that prints JSON."""
RUNS: Final[dict[str, list[list[str]]]] = {
    "agents": [[]],
    "agents pause": [["Desk", "apac"]],
    "agents resume": [["Desk", "emea"]],
    "agents restart": [["Desk", "emea"]],
    "agents stop": [["Desk", "emea"]],
    "agents delete": [["Desk", "emea"]],
    "agents fork": [["Desk", "emea", "--as", "again"]],
    "isolate": [["Desk", "emea", "--reason", "it leaks"]],
    "restore": [["Desk", "emea"]],
    "stats": [[]],
    "flush": [[]],
    "show": [["Desk", "emea"], ["Asker", "one"]],
    "show --at": [["1", "Desk", "emea"]],
    "diff": [["Desk", "emea", "0"], ["Desk", "emea", "1", "0"]],
    "journal": [[]],
    "timeline": [[]],
    "why": [["Desk", "emea", "open"]],
    "mail": [[]],
    "timers": [[]],
    "runs": [[]],
    "runs show": [["Asker", "one", "approval"]],
    "runs stats": [[]],
    "runs replay": [["Asker", "one", "approval", "--against", "tests.cli.everything:Asker"]],
    "runs retry": [["Asker", "one", "in doubt", "c"]],
    "runs done": [["Asker", "one", "in doubt", "c", "--result", "1"]],
    "runs skip": [["Asker", "one", "question", "c"]],
    "runs fail": [["Asker", "one", "question", "c"]],
    "runs approve": [["Asker", "one", "approval", "c"]],
    "runs deny": [["Asker", "one", "approval", "c"]],
    "runs answer": [["Asker", "one", "question", "c", "--result", "1"]],
    "dead-letters": [[]],
    "dead-letters show": [["LETTER"]],
    "dead-letters requeue": [["LETTER"]],
    "dead-letters discard": [["LETTER"]],
    "hooks": [[]],
    "hooks runs": [[]],
    "hooks waiting": [[]],
    "hooks show": [["RUN"]],
    "replay": [["--against", "tests.cli.programs:Desk"]],
    "replay-schedules": [[]],
    "replay-schedules add": [["weekly", "--every", "604800"]],
    "replay-schedules remove": [["nightly"]],
    "replay-schedules results": [["nightly"]],
    "replay-schedules show": [["RESULT"]],
    "replay-schedules run": [["nightly"]],
    "audit": [[]],
    "audit verify": [[]],
    "audit head": [[]],
    "audit seal": [["--keys", "env:KEYS"]],
    "state": [[]],
    "state list": [["workflow:w"]],
    "state get": [["workflow:w", "k"]],
    "state set": [["workflow:w", "j", "1"]],
    "state delete": [["workflow:w", "k"]],
    "state clear": [["workflow:w"]],
    "state export": [["FILE"]],
    "state import": [["KEYS"]],
    "sharing": [[]],
    "sessions": [[]],
    "sessions show": [["chat"]],
    "sessions history": [["chat"]],
    "sessions export": [["chat", "FILE"]],
    "sessions import": [["SESSION", "--as", "again"]],
    "sessions archive": [["done"]],
    "secrets": [[]],
    "secrets rotate": [["--keys", "env:KEYS"]],
    "secrets scan": [[]],
    "artifacts": [[]],
    "artifacts show": [["report"]],
    "artifacts sources": [["report"]],
    "artifacts put": [["new", "KEYS"]],
    "artifacts delete": [["report"]],
    "schema": [[]],
    "schema show": [["1"]],
    "schema diff": [["1", "1"]],
    "migrate": [["--code", "tests.cli.programs:Desk"]],
    "rehearse": [["--code", "tests.cli.programs:Desk"]],
    "growth": [[]],
    "growth fields": [[]],
    "growth agents": [[]],
    "rewrite": [[]],
    "backup": [["list", "BACKUPS"]],
    "backup create": [["BACKUPS", "--incremental"]],
    "backup info": [["BACKUPS"]],
    "backup verify": [["BACKUPS"]],
    "backup pin": [["BACKUPS", "BACKUP"]],
    "backup unpin": [["BACKUPS", "BACKUP"]],
    "backup rate": [["BACKUPS", "BACKUP", "--importance", "3"]],
    "backup restore": [["BACKUPS", "--to", "FILE"]],
    "backup prune": [["BACKUPS", "--keep", "1"]],
    "backup schedule": [["BACKUPS", "--every", "3600", "--keep", "3"]],
    "backup unschedule": [["BACKUPS"]],
    "backup rewrite": [["BACKUPS"]],
    "script": [["run", "SCRIPT", "--as", "system"]],
    "script run": [["SCRIPT", "--as", "system"]],
    "script repl": [["python", "--as", "system"]],
    "doctor": [[]],
    "doctor findings": [[]],
    "doctor --repair": [["--to", "FILE"]],
}
"""How each command of the table is called."""
ALSO: Final = {
    "faults": {"number", "what"},
    "differs": {"nth", "what", "recorded", "now"},
    "places": {"where", "what"},
    "tally": {"what", "outcome", "count"},
    "losses": {"what", "outcome", "kind", "key", "name", "why", "backup"},
    "audit": {"number", "what"},
    "bad": {"table", "kind", "key", "place"},
    "findings": {"path", "before", "after", "severity"},
    "differences": {"path", "change", "told", "compatibility"},
    "not_migrated": {"kind", "key", "reason"},
    "samples": {"kind", "key", "before", "after"},
    "not_passed": {"what", "kind", "key", "name", "outcome", "told", "migrated"},
}
"""Keys inside lists that are empty where nothing is wrong."""
OF_AN_ERROR: Final = {"class", "text", "line", "kind", "trace", "limit"}
"""Keys of the error of a script, which is null where it did well."""


def documented(command: str) -> set[str]:
    """Return the keys that the page gives for a command, those it refers to included."""
    row = ROWS[command]
    found = set(re.findall(r"`([a-z_]+)`", row))
    for other in ROWS:
        if re.search(rf"(those of|as of) `{other}`", row):
            found = (found - {other}) | documented(other)
    if command == "show --at":
        found -= {"status", "reason", "calls", "mail", "timers", "dead_letters"} | MAIL
        found -= documented("runs stats") - {"kind", "key", "name"}
    return found


MAIL: Final = {"id", "body", "sent", "method", "due", "interval", "catch_up"}


def test_every_command_has_a_row() -> None:
    """The table has each command but `run`, `mcp`, and each of its actions; none besides."""
    expected = set()
    for name in make_cli.commands():
        (actions,) = re.findall(r"ACTION <([a-z|]+)>", invoke(name, "--help").stdout) or [""]
        usual = {"list", "status", "report"}
        expected |= {f"{name} {action}" for action in {*actions.split("|")} - usual if action}
        expected.add(name)
    files = {"artifacts get"}  # prints what `artifacts` prints, where the bytes go to a file
    others = {"show --at", "state list", "doctor --repair"}
    assert expected - {"run", "mcp"} - files == set(ROWS) - others == set(RUNS) - others


def made_for(command: str, store: Path) -> dict[str, object]:
    """Bring about what a command prints something of; return the words for it."""
    words: dict[str, object] = {}
    if command.startswith("runs") or command == "show":
        everything.think(store)
    if command.startswith("backup"):
        backups = Backups(folder := store.with_name("backups"))
        words = {"BACKUPS": folder, "BACKUP": backups.create(store).name}
        if command == "backup rewrite":
            erased = invoke("agents", "delete", "Desk", "emea", "--erase", "--store", store)
            assert erased.exit_code == 0
            backups.create(store)
        if command == "backup unschedule":
            records("backup", "schedule", folder, "--every", "3600", "--store", store)
    if command == "doctor findings":
        with closing(sqlite3.connect(store)) as connection, connection:
            connection.execute("UPDATE fields SET value = '7'")
    return words


@pytest.mark.parametrize("command", RUNS)
def test_json_keys_are_the_documented_ones(
    full_store: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command prints has exactly the keys of the page: programs can rely on them."""
    store = tmp_path / "own.db"
    shutil.copy(full_store, store)
    monkeypatch.setenv("KEYS", "k1:" + "A" * 43 + "=")
    (letter, *_) = records("dead-letters", "--store", store)
    (run, *_) = records("hooks", "runs", "--store", store)
    words: dict[str, object] = {"LETTER": letter["id"], "RUN": run["id"]}
    (result, *_) = records("replay-schedules", "results", "--store", store)
    words["RESULT"] = result["id"]
    words["FILE"] = tmp_path / "file"
    words["SCRIPT"] = tmp_path / "script.lua"
    (tmp_path / "script.lua").write_text("return 1")
    typed = iter(["1 + 1"])

    def read(_prompt: str) -> str:
        for line in typed:
            return line
        raise EOFError

    monkeypatch.setattr("builtins.input", read)
    words |= {name: full_store.with_name(name) for name in ("KEYS", "SESSION")}
    words |= made_for(command, store)
    damaged = command in {"doctor findings", "secrets scan"}
    found: set[str] = set()
    for given in RUNS[command]:
        called = [*command.split(), *(words.get(word, word) for word in given)]
        lines = records(*called, "--store", store, code=int(damaged))
        assert lines
        found |= {key for line in lines for key in keys(line)}
    if command.startswith("script"):  # whose calls are a number
        found |= OF_AN_ERROR
    else:
        for name, inside in ALSO.items():
            found |= inside if name in found else set()
    expected = documented(command)
    assert found == ({"owner"} if command == "stats" else expected)


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store that holds something of everything, and files that were exported from it."""
    path = tmp_path_factory.mktemp("full") / "full.db"
    everything.fill(path)
    assert invoke("state", "export", path.with_name("KEYS"), "--store", path).exit_code == 0
    session = ("sessions", "export", "chat", path.with_name("SESSION"), "--store", path)
    assert invoke(*session).exit_code == 0
    return path


def test_stats_of_a_running_system_are_the_documented_ones(tmp_path: Path) -> None:
    """With an owner `stats` has the other keys of its row."""
    with AgentSystem.open(tmp_path / "s.db", agents=[]):
        (facts,) = records("stats", "--store", tmp_path / "s.db")
    assert set(keys(facts)) == documented("stats") - {"owner"}


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
