"""`perdure script`: a script, or what somebody types, on a store that nobody has open."""

import json
from pathlib import Path

import pytest

from perdure import AgentSystem, Scope
from tests.cli.commands import invoke, records, spawn

HERE = Scope.user("mira")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give an empty store."""
    path = tmp_path / "s.db"
    AgentSystem.open(path, agents=[], sync="process").close()
    return path


def value(store: Path, key: str) -> object:
    """Return what a store holds of the user."""
    with AgentSystem.open(store, agents=[], sync="process") as system:
        return system.state.get(HERE, key)


SCRIPTS = {
    "a.lua": 'local n = ... log("hi") return state.increment(me, "n", n)',
    "a.js": 'log("hi"); return await state.increment(me, "n", arguments[0])',
    "a.py": 'log("hi")\nstate.increment(me, "n", arguments[0])',
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_as_who_is_said(store: Path, tmp_path: Path, name: str) -> None:
    """What it returns goes to standard output, what it logs to standard error; it is committed."""
    (tmp_path / name).write_text(SCRIPTS[name])
    call = ("script", "run", tmp_path / name, "--as", "user:mira", "--store", store, "--arg", "4")
    done = invoke(*call)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "4\n", "hi\n")
    (told,) = records(*call)
    assert (told["value"], told["log"], told["calls"], told["error"]) == (8, ["hi"], 2, None)
    assert value(store, "n") == 8


def test_a_script_that_fails(store: Path, tmp_path: Path) -> None:
    """The exit code is 1, the error has the script's line, and nothing but its log is there."""
    script = tmp_path / "a.lua"
    script.write_text('state.save(me, "a", 1)\nlog("hi")\nstate.save("user:noor", "a", 1)')
    call = ("script", "run", script, "--as", "user:mira", "--store", store)
    done = invoke(*call)
    assert done.exit_code == 1
    said = "hi\nperdure: a.lua:3: Denied: user:mira may not write user:noor"
    assert done.stderr.startswith(said)
    (told,) = records(*call, code=1)
    assert told["log"] == ["hi"]
    assert (told["error"]["class"], told["error"]["line"]) == ("ScriptFailed", 3)
    assert value(store, "a") is None
    script.write_text("while true do end")
    (told,) = records(*call, "--seconds", "0.2", code=1)
    assert (told["error"]["class"], told["error"]["limit"]) == ("ScriptLimit", "seconds")


def test_what_cannot_be_run(store: Path, tmp_path: Path) -> None:
    """A wrong file, language, principal or argument is refused, and so is a store in use."""
    script = tmp_path / "a.lua"
    script.write_text("return 1")
    (tmp_path / "a.rb").write_text("")
    at = ("--store", store)
    for call, problem in [
        (("run", tmp_path / "b.lua", "--as", "system"), "cannot be read"),
        (("run", tmp_path / "a.rb", "--as", "system"), "scripts end in .lua, .js, .py"),
        (("run", script, "--as", "mira"), "is no principal"),
        (("run", script, "--as", "system", "--arg", "x"), "is no JSON"),
        (("run", script, "--as", "system", "--memory", "0"), "makes no sense"),
        (("repl", "ruby", "--as", "system"), "these are: lua, javascript, python"),
    ]:
        done = invoke("script", *call, *at)
        assert (done.exit_code, problem in done.stderr) == (2, True), done.stderr
    assert invoke("script", "run", script, *at).exit_code == 2  # who acts is not said
    gone = invoke("script", "run", script, "--as", "system", "--store", tmp_path / "gone.db")
    assert gone.exit_code == 3
    with AgentSystem.open(store, agents=[], sync="process"):
        assert invoke("script", "run", script, "--as", "system", *at).exit_code == 4


TYPED = {
    "lua": (
        "x = 3\nx * 2\nerror('no')\nstate.save(me, 'x', x)\nfunction f() \\\n  return x end\nf()\n"
    ),
    "javascript": (
        "let x = 3\nx * 2\nthrow 'no'\nawait state.save(me, 'x', x)\n"
        "function f() {\\\n  return x }\nf()\n"
    ),
    "python": (
        "x = 3\nx * 2\nraise ValueError('no')\nstate.save(me, 'x', x)\n"
        "def f():\n    return x\n\nf()\n"
    ),
}


@pytest.mark.parametrize("language", TYPED)
def test_what_is_typed_runs_input_by_input(store: Path, language: str) -> None:
    """Each input is a commit of its own; an error ends only its input, and its line is told."""
    call = ("script", "repl", language, "--as", "user:mira", "--store", store)
    done = spawn(*call, typed=TYPED[language])
    assert (done.returncode, done.stdout) == (0, "6\n1\n3\n")
    assert "no" in done.stderr
    assert "Traceback" not in done.stderr
    assert value(store, "x") == 3
    lines = spawn(*call, "--json", typed=TYPED[language]).stdout.splitlines()
    assert [json.loads(line)["value"] for line in lines] == [None, 6, None, 2, None, 3]
