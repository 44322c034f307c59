"""Scripts run as a principal, commit together or not at all, and are killed at their deadline."""

import asyncio
import threading
from pathlib import Path
from typing import Final

import pytest

from perdure import AgentSystem, Principal, Right, Scope
from perdure.persistence.errors import (
    ConfigurationError,
    Deadlock,
    ScopeError,
    ScriptError,
    ScriptFailed,
    ScriptLimit,
)
from perdure.scripting import language as language_module
from perdure.scripting.language import Language
from perdure.scripting.options import ScriptLimits
from perdure.scripting.script import Script, ScriptResult
from perdure.scripting.scripts import Scripts
from tests.scripting.conftest import MIRA

HERE: Final = Scope.user("mira")
LUA, JAVASCRIPT, PYTHON = Language

CALLS: Final = {
    LUA: """
        state.save("user:mira", "a", 1)
        state.save("user:mira", "b", 2, 3600)
        return {
            state.load("user:mira", "a"), state.exists("user:mira", "none"),
            state.increment("user:mira", "n"), state.increment("user:mira", "n", 4),
            state.compare_and_set("user:mira", "c", missing, 7),
            state.compare_and_set("user:mira", "c", 8, 9),
            state.delete("user:mira", "a"), state.delete("user:mira", "a"),
            state.list_keys("user:mira"), state.list_keys("user:mira", "", "b", 1),
        }""",
    JAVASCRIPT: """
        await state.save("user:mira", "a", 1)
        await state.save("user:mira", "b", 2, 3600)
        return [
            await state.load("user:mira", "a"), await state.exists("user:mira", "none"),
            await state.increment("user:mira", "n"), await state.increment("user:mira", "n", 4),
            await state.compare_and_set("user:mira", "c", missing, 7),
            await state.compare_and_set("user:mira", "c", 8, 9),
            await state.delete("user:mira", "a"), await state.delete("user:mira", "a"),
            ...await Promise.all([
                state.list_keys("user:mira"), state.list_keys("user:mira", "", "b", 1)]),
        ]""",
    PYTHON: """
state.save("user:mira", "a", 1)
state.save("user:mira", "b", 2, ttl=3600)
[
    state.load("user:mira", "a"), state.exists("user:mira", "none"),
    state.increment("user:mira", "n"), state.increment("user:mira", "n", 4),
    state.compare_and_set("user:mira", "c", missing, 7),
    state.compare_and_set("user:mira", "c", 8, 9),
    state.delete("user:mira", "a"), state.delete("user:mira", "a"),
    state.list_keys("user:mira"), state.list_keys("user:mira", after="b", limit=1),
]""",
}


@pytest.mark.parametrize("language", Language)
def test_the_calls_of_state(system: AgentSystem, scripts: Scripts, language: Language) -> None:
    """Each call of state does what the same call of the host does, in each language."""
    result = scripts.run(Script(language, CALLS[language]), principal=MIRA)
    assert result.value == [1, False, 1, 5, True, False, True, False, ["b", "c", "n"], ["c"]]
    assert result.calls == 12
    assert dict(system.state.get_many(HERE, ["a", "b", "c", "n"])) == {"b": 2, "c": 7, "n": 5}
    entry = system.state.entry(HERE, "b")
    assert entry is not None
    assert entry.expires is not None


FAILS: Final = {
    LUA: 'state.save("user:mira", "a", 1)\n\nerror("no more")',
    JAVASCRIPT: 'await state.save("user:mira", "a", 1)\n\nthrow new Error("no more")',
    PYTHON: 'state.save("user:mira", "a", 1)\n\nraise ValueError("no more")',
}


@pytest.mark.parametrize("language", Language)
def test_nothing_of_a_script_that_fails(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """A script that raises leaves nothing behind, and its error names its own line."""
    before = len(system.journal.list())
    with pytest.raises(ScriptFailed, match="no more") as caught:
        scripts.run(Script(language, FAILS[language], "nightly"), principal=MIRA)
    assert (caught.value.script, caught.value.line) == ("nightly", 3)
    assert len(system.journal.list()) == before


def test_all_of_a_script_is_one_commit(system: AgentSystem, scripts: Scripts) -> None:
    """What a script writes is one commit at its end; state.commit() ends a commit before."""
    writes = 'for _, key in ipairs{"a", "b", "c"} do state.save("user:mira", key, 1) end '
    before = len(system.journal.list())
    scripts.run(Script(LUA, writes), principal=MIRA)
    assert len(system.journal.list()) == before + 1
    source = writes + 'state.commit() state.save("user:mira", "d", 1) error("late")'
    with pytest.raises(ScriptFailed, match="late"):
        scripts.run(Script(LUA, source), principal=MIRA)
    assert len(system.journal.list()) == before + 2
    assert not system.state.exists(HERE, "d")


DENIED: Final = {
    LUA: 'local good, e = pcall(state.save, "user:noor", "a", 1)'
    " if not good then return {e.kind, e.message} end",
    JAVASCRIPT: """
        try { await state.save("user:noor", "a", 1) } catch (e) { return [e.kind, e.message] }""",
    PYTHON: """
told = None
try:
    state.save("user:noor", "a", 1)
except PermissionError as error:
    told = str(error).split(": ", 1)
told""",
}


@pytest.mark.parametrize("language", Language)
def test_a_script_may_what_its_principal_may(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """A refusal is an error that the script can catch; it is in the audit as anybody's."""
    result = scripts.run(Script(language, DENIED[language]), principal=MIRA)
    assert isinstance(result.value, list)
    assert result.value[0] == "Denied"
    assert "user:mira may not write user:noor" in result.value[1]
    (decision,) = system.audit.list()
    assert (decision.who, decision.outcome) == (MIRA, "refused")
    system.access.grant(MIRA, Scope.user("noor"), Right.WRITE)
    assert scripts.run(Script(language, DENIED[language]), principal=MIRA).value is None
    assert system.state.get(Scope.user("noor"), "a") == 1


ENDLESS: Final = {
    LUA: 'state.save("user:mira", "a", 1) while true do end',
    JAVASCRIPT: 'await state.save("user:mira", "a", 1); for (;;) {}',
    PYTHON: 'state.save("user:mira", "a", 1)\nwhile True:\n    pass',
}


@pytest.mark.parametrize("language", Language)
def test_a_script_is_killed_at_its_deadline(system: AgentSystem, language: Language) -> None:
    """A script that does not end is killed, and nothing that it wrote is there."""
    with (
        Scripts(system, limits=ScriptLimits(seconds=0.5), warm=0) as scripts,
        pytest.raises(ScriptLimit, match=r"longer than the 0\.5 seconds") as caught,
    ):
        scripts.run(Script(language, ENDLESS[language]), principal=MIRA)
    assert caught.value.limit == "seconds"
    assert not system.state.exists(HERE, "a")


@pytest.mark.parametrize("language", Language)
def test_without_its_engine_a_language_says_what_to_install(
    scripts: Scripts, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra a run is refused by a sentence that says what to install."""
    monkeypatch.setattr("perdure.scripting.language._installed", lambda _name: False)
    language_module._folders.cache_clear()
    with pytest.raises(ConfigurationError, match=r'pip install "perdure\[scripts\]"'):
        scripts.run(Script(language, ""), principal=MIRA)


def test_others_changes_have_a_script_run_again(system: AgentSystem, scripts: Scripts) -> None:
    """A script whose reads were overtaken runs again from its beginning; no sum is lost."""
    source = 'state.save("user:mira", "n", state.load("user:mira", "n", 0) + 1)'
    errors: list[BaseException] = []

    def run() -> None:
        try:
            scripts.run(Script(LUA, source), principal=MIRA)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert system.state.get(HERE, "n") == 6


def test_wrong_calls_are_refused(scripts: Scripts) -> None:
    """A call with wrong arguments says in one sentence what it takes."""
    for source, problem in {
        'state.save("user:mira")': "state.save takes scope, key, value, ttl",
        'state.save("nowhere", "a", 1)': "nowhere",
        'state.save(1, "a", 1)': "the scope must be text",
        'state.increment("user:mira", "a", 1.5)': "must be a whole number",
        'state.list_keys("user:mira", "", "", 0)': "give 1 to 10,000",
    }.items():
        with pytest.raises(ScriptFailed, match=problem):
            scripts.run(Script(LUA, source), principal=MIRA)


def test_a_closed_pool_takes_no_script(system: AgentSystem) -> None:
    """Scripts that were closed refuse a run at once, by a sentence, and never wait for it."""
    scripts = Scripts(system, warm=1)
    scripts.warm_up("lua")
    scripts.close()
    scripts.close()
    with pytest.raises(ConfigurationError, match="these scripts are closed"):
        scripts.run(Script(LUA, ""), principal=MIRA)


def test_an_event_loop_is_not_held_up(scripts: Scripts) -> None:
    """In an event loop a run is refused with the way that does not block it."""

    async def run() -> object:
        with pytest.raises(Deadlock, match=r"asyncio\.to_thread"):
            scripts.run(Script(LUA, "return 1"), principal=MIRA)
        return await asyncio.to_thread(scripts.run, Script(LUA, "return 1"), principal=MIRA)

    assert isinstance(result := asyncio.run(run()), ScriptResult)
    assert result.value == 1


INPUTS: Final = {
    LUA: ["x = 3", "function f(a) return a * x end", "f(5)", 'error("q")', "x", "= bad"],
    JAVASCRIPT: [
        "let x = 3", "function f(a) { return a * x }", "f(5)", 'throw new Error("q")', "x", "= bad",
    ],
    PYTHON: [
        "x = 3", "def f(a):\n    return a * x", "f(5)", 'raise ValueError("q")', "x", "= bad",
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", Language)
def test_a_session_keeps_what_was_defined(
    system: AgentSystem, scripts: Scripts, language: Language
) -> None:
    """Inputs find what those before them have defined; each commits, or fails, by itself."""
    outcomes: list[object] = []
    save = ("await " if language is JAVASCRIPT else "") + 'state.save("user:mira", "x", x)'
    with scripts.session(language, principal=MIRA) as session:
        for source in [*INPUTS[language], save]:
            try:
                outcomes.append(session.run(source).value)
            except ScriptFailed as error:
                outcomes.append(error.line)
    assert outcomes == [None, None, 15, 1, 3, 1, 1]
    assert system.state.get(HERE, "x") == 3


WRONG_OPTIONS: Final[dict[str, object]] = {
    "workers": 0, "warm": -1, "confinement": "none", "limits": None, "rights": "all",
}  # fmt: skip
WRONG_CALLS: Final[dict[str, object]] = {"script": "return 1", "entry": 5, "arguments": "abc"}


def test_wrong_runs_are_refused(scripts: Scripts, tmp_path: Path) -> None:
    """A script without a principal, compiled, or of no known suffix is refused by name."""
    with pytest.raises(ConfigurationError, match="a script acts as somebody"):
        scripts.run(Script(LUA, ""))
    with pytest.raises(ConfigurationError, match="stands for many"):
        scripts.run(Script(LUA, ""), principal=Principal.agents("Desk"))
    with pytest.raises(ConfigurationError, match="'ruby' is no language of scripts"):
        Script("ruby", "")  # type: ignore[arg-type]
    for name, value in WRONG_OPTIONS.items():
        with pytest.raises(ConfigurationError, match=rf"Scripts\({name}=.*\) makes no sense"):
            Scripts(scripts.system, **{name: value})  # type: ignore[arg-type]
    script = Script(LUA, "return 1")
    for name, value in WRONG_CALLS.items():
        with pytest.raises(ConfigurationError, match=rf"run\({name}=.*\) makes no sense; give a"):
            scripts.run(**{"script": script, "principal": MIRA, name: value})  # type: ignore[arg-type]
    with pytest.raises(ScopeError, match="'user:mira' is no principal"):
        scripts.run(script, principal="user:mira")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the name 5 of a script"):
        Script(LUA, "return 1", 5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="is compiled"):
        Script(LUA, "\x1bLua")
    (tmp_path / "a.luac").write_bytes(b"\x1bLua\xff")
    with pytest.raises(ConfigurationError, match=r"end in \.lua, \.js, \.py"):
        Script.read(tmp_path / "a.luac")
    with pytest.raises(ConfigurationError, match="no UTF-8 text"):
        Script.read(tmp_path / "a.luac", LUA)


LOGGING: Final = {
    LUA: "log('one') log('two') {} error('no')",
    JAVASCRIPT: "log('one'); log('two'); {}; throw new Error('no')",
    PYTHON: "log('one')\nlog('two')\n{}\nraise ValueError('no')",
}
ENDS: Final[dict[str, type[ScriptError]]] = {"": ScriptFailed, "log('three')": ScriptLimit}


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("last", ENDS)
def test_what_a_script_logged_goes_with_its_error(
    system: AgentSystem, language: Language, last: str
) -> None:
    """Also where it was ended, and in a session: it may say why it failed."""
    source = LOGGING[language].format(last)
    with Scripts(system, limits=ScriptLimits(output=8), warm=0) as scripts:
        with pytest.raises(ENDS[last]) as caught:
            scripts.run(Script(language, source), principal=MIRA)
        assert list(caught.value.log) == ["one", "two"]
        with scripts.session(language, principal=MIRA) as session:
            with pytest.raises(ENDS[last]) as caught:
                session.run(source)
            assert list(caught.value.log) == ["one", "two"]


STACKS: Final = {
    "function deep(n) {\n  if (!n) throw new TypeError('no')\n  deep(n - 1)\n}\ndeep(1)": (
        2, ["deep (report.js:2", "deep (report.js:3", "report.js:5"],
    ),
    "let a = 1;\nlet b = ;": (2, ["report.js:2"]),
    "const f = () => state.save(me, 'k', f)\n\nawait f()": (1, ["f (report.js:1", "report.js:3"]),
}  # fmt: skip


@pytest.mark.parametrize("source", STACKS)
def test_a_stack_of_javascript_names_the_script(scripts: Scripts, source: str) -> None:
    """Each line of it is one of the script's, by its name; nothing is said of what is ours."""
    line, frames = STACKS[source]
    with pytest.raises(ScriptFailed) as caught:
        scripts.run(Script(JAVASCRIPT, source, "report.js"), principal=MIRA)
    assert caught.value.line == line
    said = caught.value.trace.split("\n")
    assert len(said) == len(frames)
    assert all(frame in one for frame, one in zip(frames, said, strict=True)), said


LOST: Final = [
    'state.save("user:noor", "a", 1).then(() => log("saved"))',
    'state.save("user:noor", "a", 1).finally(() => log("tried"))',
    'async function later() { await null; await null; state.save("user:noor", "a", 1) } later()',
]


@pytest.mark.parametrize("source", LOST)
def test_no_failure_of_a_call_that_is_not_awaited_is_lost(scripts: Scripts, source: str) -> None:
    """Behind `then` and `finally`, and behind the script's end, it fails the script as well."""
    with pytest.raises(ScriptFailed, match=r"script:1: Denied: user:mira may not write user:noor"):
        scripts.run(Script(Language.JAVASCRIPT, source), principal=MIRA)
    caught = source.replace("))", ")).catch(() => 0)") if "=>" in source else "return 1"
    scripts.run(Script(Language.JAVASCRIPT, caught), principal=MIRA)


def test_an_error_of_javascript_is_told_with_a_long_message(scripts: Scripts) -> None:
    """What the engine adds up of long texts is told as well: the script's error was lost."""
    source = "\nthrow new Error('no ' + 'x'.repeat(1000))"
    with pytest.raises(ScriptFailed, match="script:2: Error: no xxx") as caught:
        scripts.run(Script(Language.JAVASCRIPT, source), principal=MIRA)
    assert (caught.value.line, caught.value.kind) == (2, "error")


def test_a_result_that_cannot_be_stored_has_no_line_of_ours(scripts: Scripts) -> None:
    """No line of the script is at fault, and one of the host's is not told for it."""
    with pytest.raises(ScriptFailed, match="the result: a Date cannot be stored") as caught:
        scripts.run(Script(Language.JAVASCRIPT, "return new Date(0)"), principal=MIRA)
    assert (caught.value.line, caught.value.trace) == (0, "")
