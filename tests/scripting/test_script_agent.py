"""An agent whose handlers are a script: versioned, compared, rolled back, in its journal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from perdure import AgentRef, AgentSystem, Scope
from perdure.persistence.errors import ConfigurationError, ScriptFailed
from perdure.scripting.agent import ScriptAgent
from perdure.scripting.language import Language
from perdure.scripting.options import ScriptLimits, ScriptRights
from perdure.scripting.scripts import Scripts
from tests.kit.deadline import DEADLINE

LUA, JAVASCRIPT, PYTHON = Language
OWN: Final = Scope.agent("ScriptAgent", "emea")
HANDLERS: Final = {
    LUA: (
        "function assign(ticket, by) state.save(me, ticket, by)"
        ' return state.increment(me, "n", by) end'
    ),
    JAVASCRIPT: (
        "async function assign(ticket, by) { await state.save(me, ticket, by);"
        " return await state.increment(me, 'n', by) }"
    ),
    PYTHON: (
        "def assign(ticket, by):\n    state.save(me, ticket, by)\n"
        '    return state.increment(me, "n", by)'
    ),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AgentSystem]:
    """Give a system with a file, on which scripts run."""
    limits = ScriptLimits(seconds=DEADLINE)
    with (
        AgentSystem.open(tmp_path / "s.db", agents=[ScriptAgent], sync="process") as system,
        Scripts(system, limits=limits, rights=ScriptRights(agents=(ScriptAgent,)), warm=0),
    ):
        yield system


@pytest.fixture
def emea(store: AgentSystem) -> AgentRef[ScriptAgent]:
    """Refer to one agent."""
    return store.agent(ScriptAgent, "emea")


@pytest.mark.parametrize("language", Language)
def test_its_functions_are_the_handlers(
    store: AgentSystem, emea: AgentRef[ScriptAgent], language: Language
) -> None:
    """A message calls a function of the script; what that writes is one commit with the turn."""
    assert emea.call(ScriptAgent.install, language, HANDLERS[language]).get() == 1
    before = emea.describe().version
    assert emea.call(ScriptAgent.invoke, "assign", "T-1", 3).get() == 3
    assert emea.call(ScriptAgent.invoke, "assign", "T-2", 4).get() == 7
    assert emea.describe().version == before + 2
    assert store.state.get_many(OWN, ["T-1", "T-2", "n"]) == {"T-1": 3, "T-2": 4, "n": 7}


@pytest.mark.parametrize("language", Language)
def test_a_message_calls_functions_of_the_script_alone(
    emea: AgentRef[ScriptAgent], language: Language
) -> None:
    """What the language or the host has is no handler, and a name is no code."""
    emea.call(ScriptAgent.install, language, HANDLERS[language]).get()
    for name in ("close", "print", "eval", "load", "log", "state", "me", "suspend", "toString"):
        with pytest.raises(ScriptFailed, match=r"no function|not defined|not callable") as caught:
            emea.call(ScriptAgent.invoke, name, "1").get()
        assert caught.value.line <= HANDLERS[language].count("\n") + 2  # no line of ours
    for name in ("", "_host", "a.b", "f(), state.save", "x\ny"):
        with pytest.raises(ConfigurationError, match="is no function of a script"):
            emea.call(ScriptAgent.invoke, name, "1").get()


def test_versions_stay_and_come_back(emea: AgentRef[ScriptAgent]) -> None:
    """Each version is kept with its note; two are compared, and an old one is put in force."""
    emea.call(ScriptAgent.install, "lua", "function f() return 1 end", "first").get()
    emea.call(ScriptAgent.install, "lua", "function f() return 2 end", "second").get()
    assert emea.call(ScriptAgent.invoke, "f").get() == 2
    difference = emea.call(ScriptAgent.compare, 1).get()
    assert "-function f() return 1 end\n+function f() return 2 end" in difference
    emea.call(ScriptAgent.roll_back, 1).get()
    assert emea.call(ScriptAgent.invoke, "f").get() == 1
    assert [v.note for v in emea.call(ScriptAgent.versions).get()] == ["first", "second"]
    names = [entry.name for entry in emea.history()]
    assert names == ["install", "install", "roll_back"]  # a turn that changes nothing is no commit
    with pytest.raises(ConfigurationError, match="has versions 1 to 2 of its script, not 3"):
        emea.call(ScriptAgent.roll_back, 3).get()


def test_a_script_that_fails_is_not_installed(emea: AgentRef[ScriptAgent]) -> None:
    """What does not run at all is refused with its line, and what was in force stays."""
    with pytest.raises(ConfigurationError, match="has no script yet"):
        emea.call(ScriptAgent.invoke, "f").get()
    emea.call(ScriptAgent.install, "lua", "function f() return 1 end").get()
    for source in ("function f( return 2 end", 'error("no")'):
        with pytest.raises(ScriptFailed, match=r"ScriptAgent/emea#2:1: "):
            emea.call(ScriptAgent.install, "lua", source).get()
    assert emea.call(ScriptAgent.invoke, "f").get() == 1


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """An agent's script is a part of its state: the next process goes on with it."""
    for count in (1, 2):
        with (
            AgentSystem.open(tmp_path / "s.db", agents=[ScriptAgent], sync="process") as system,
            Scripts(system, limits=ScriptLimits(seconds=DEADLINE), warm=0),
        ):
            emea = system.agent(ScriptAgent, "emea")
            if count == 1:
                emea.call(ScriptAgent.install, "python", HANDLERS[PYTHON]).get()
            assert emea.call(ScriptAgent.invoke, "assign", "T", 1).get() == count


def test_scripts_invoke_and_install_nothing(emea: AgentRef[ScriptAgent]) -> None:
    """A script calls the handlers of another agent's script, but gives it no other script."""
    emea.call(ScriptAgent.install, "lua", "function f(x) return x + 1 end").get()
    apac: AgentRef[Any] = emea.__class__(emea._post, ScriptAgent, "apac")
    source = """
        function ask() return agents.call("ScriptAgent", "emea", "invoke", "f", 41) end
        function install() agents.call("ScriptAgent", "emea", "install", "lua", "") end"""
    apac.call(ScriptAgent.install, "lua", source).get()
    assert apac.call(ScriptAgent.invoke, "ask").get() == 42
    with pytest.raises(ScriptFailed, match="no method 'install' that a script may call"):
        apac.call(ScriptAgent.invoke, "install").get()


def test_without_scripts_it_says_what_to_open() -> None:
    """Without open scripts a message is refused by a sentence that says what to open."""
    with AgentSystem.open("memory://", agents=[ScriptAgent]) as system:
        emea = system.agent(ScriptAgent, "emea")
        with pytest.raises(ConfigurationError, match=r"open Scripts\(system\) first"):
            emea.call(ScriptAgent.install, "lua", "").get()


@pytest.mark.parametrize("language", Language)
def test_a_turn_of_its_script_is_replayed(
    store: AgentSystem, emea: AgentRef[ScriptAgent], language: Language
) -> None:
    """A recorded turn runs its script again, on what was there then: nothing is written."""
    store.hooks.record(emea)
    emea.call(ScriptAgent.install, language.value, HANDLERS[language]).get()
    for by in (3, 4):
        emea.call(ScriptAgent.invoke, "assign", "T-1", by).get()
    assert store.idle(DEADLINE)
    report = store.replay.batch().report()
    assert report.counts == {"same": 3}, report.text()
    assert store.state.get(OWN, "n") == 7


def test_a_turn_of_its_script_is_replayed_from_the_store_alone(tmp_path: Path) -> None:
    """Who has the file alone replays it, under a script that asked others, too."""
    limits, path = ScriptLimits(seconds=DEADLINE), tmp_path / "s.db"
    source = """
        function ask(key) return agents.call("ScriptAgent", key, "invoke", "answer") end
        function answer() return state.increment(me, "n") end"""
    with (
        AgentSystem.open(path, agents=[ScriptAgent], sync="process") as system,
        Scripts(system, limits=limits, rights=ScriptRights(agents=(ScriptAgent,)), warm=0),
    ):
        emea, apac = (system.agent(ScriptAgent, key) for key in ("emea", "apac"))
        for agent in (emea, apac):
            system.hooks.record(agent)
            agent.call(ScriptAgent.install, "lua", source).get()
        assert apac.call(ScriptAgent.invoke, "ask", "emea").get() == 1
    with AgentSystem.open_replays(path, agents=[ScriptAgent]) as replays:
        report = replays.batch().report()
        assert report.counts == {"same": 4}, report.text()
