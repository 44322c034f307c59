"""What scripts reach beside shared state: agents, artifacts, replays, backups, turns."""

import base64
from pathlib import Path
from typing import Final

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backups,
    Log,
    Principal,
    Scope,
    State,
    ThinkingAgent,
    ThinkingState,
    tool,
)
from perdure.persistence.errors import Conflict, ScriptFailed
from perdure.scripting.language import Language
from perdure.scripting.options import ScriptLimits, ScriptRights
from perdure.scripting.script import Script
from perdure.scripting.scripts import Scripts
from tests.kit.deadline import DEADLINE
from tests.scripting.conftest import MIRA

LUA, JAVASCRIPT, PYTHON = Language
LIMITS: Final = ScriptLimits(seconds=DEADLINE)


class DeskState(State):
    open: int = 0
    notes: Log[str] = Log.field()


class Desk(Agent[DeskState]):
    record = True

    def assign(self, ticket: str, by: int = 1) -> dict[str, object]:
        self.state.open += by
        self.state.notes.append(ticket)
        return {"open": self.state.open, "key": self.key}

    def mark(self) -> None:
        self.scopes.set(self.scopes.own, "mark", self.key)

    def script(self, scripts_of: str, source: str, *, caught: bool = False) -> object:
        self.state.open += 100
        try:
            return HELD[scripts_of].run(Script(LUA, source)).value
        except ScriptFailed:
            if caught:
                return "caught"
            raise


class Helper(ThinkingAgent[ThinkingState]):
    @tool(effect="once", approve=True)
    async def refund(self, order: str) -> str:
        """Pay an order back."""
        return order


HELD: Final[dict[str, Scripts]] = {}
"""What the handlers run scripts by."""


TALK: Final = {
    LUA: """
        agents.tell("Desk", "emea", "assign", "T-2", 5)
        return agents.call("Desk", "emea", "assign", "T-1")""",
    JAVASCRIPT: """
        await agents.tell("Desk", "emea", "assign", "T-2", 5)
        return await agents.call("Desk", "emea", "assign", "T-1")""",
    PYTHON: """
agents.tell("Desk", "emea", "assign", "T-2", 5)
agents.call("Desk", "emea", "assign", "T-1")""",
}


@pytest.mark.parametrize("language", Language)
def test_agents_are_called_at_once_and_told_with_the_commit(language: Language) -> None:
    """A call is answered at once; what is told leaves when the script has ended well."""
    rights = ScriptRights(agents=(Desk,))
    with (
        AgentSystem.open("memory://", agents=[Desk]) as system,
        Scripts(system, limits=LIMITS, rights=rights, warm=0) as scripts,
    ):
        result = scripts.run(Script(language, TALK[language]), principal=MIRA)
        assert result.value == {"open": 1, "key": "emea"}
        assert system.idle(DEADLINE)
        emea = system.agent(Desk, "emea")
        assert emea.call(Desk.assign, "T-3").get() == {"open": 7, "key": "emea"}
        lost = 'agents.tell("Desk", "emea", "assign", "T-4", 5) error("no")'
        with pytest.raises(ScriptFailed):
            scripts.run(Script(LUA, lost), principal=MIRA)
        assert system.idle(DEADLINE)
        assert emea.call(Desk.assign, "T-5").get() == {"open": 8, "key": "emea"}


def test_what_a_handler_raises_is_an_error_in_the_script() -> None:
    """An agent's error is raised where the script called it, with the error's class as kind."""
    source = """
        local good, failure = pcall(agents.call, "Desk", "emea", "assign", "T-1", {})
        return {good, failure.kind}"""
    with (
        AgentSystem.open("memory://", agents=[Desk]) as system,
        Scripts(system, limits=LIMITS, rights=ScriptRights(agents=(Desk,)), warm=0) as scripts,
    ):
        assert scripts.run(Script(LUA, source), principal=MIRA).value == [False, "TypeError"]


VAIN: Final = {
    LUA: """state.load(OWN, "mark"); agents.call("Desk", "emea", "mark")
        state.save(OWN, "mark", 1); state.commit()""",
    JAVASCRIPT: """await state.load(OWN, "mark"); await agents.call("Desk", "emea", "mark")
        await state.save(OWN, "mark", 1); await state.commit()""",
    PYTHON: """
state.load(OWN, "mark")
agents.call("Desk", "emea", "mark")
state.save(OWN, "mark", 1)
state.commit()""",
}


@pytest.mark.parametrize("language", Language)
def test_a_session_begins_anew_where_a_call_was_not_answered(language: Language) -> None:
    """After a Conflict in the middle of an input the next one is a new input, not an answer."""
    with (
        AgentSystem.open("memory://", agents=[Desk]) as system,
        Scripts(system, limits=LIMITS, rights=ScriptRights(agents=(Desk,)), warm=0) as scripts,
        scripts.session(language, principal=Principal.SYSTEM) as session,
    ):
        with pytest.raises(Conflict):
            session.run(VAIN[language].replace("OWN", '"agent:Desk/emea"'))
        assert not session.begun
        assert session.run("1 + 1").value == 2
        assert system.state.get(Scope.agent("Desk", "emea"), "mark") == "emea"


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ('agents.call("Other", "a", "assign")', "may not talk to agents of kind 'Other'"),
        ('agents.call("Desk", "a", "on_receive")', "no method 'on_receive'"),
        ('agents.call("Desk", "a", "delete_self")', "no method 'delete_self'"),
        ('agents.tell("Desk", "a", "__init__")', "no method '__init__'"),
        ('agents.call("Helper", "a", "refund", "17")', "no method 'refund'"),
        ('agents.call("Helper", "a", "approve", "run1", "c")', "no method 'approve'"),
        ('agents.tell("Helper", "a", "decide", "run1", "c", "done")', "no method 'decide'"),
        ('hooks.replay("1.0")', "may not replay turns"),
        ("backup.create()", "may not make backups"),
    ],
)
def test_what_is_not_granted_is_denied(call: str, problem: str) -> None:
    """Of agents, replays and backups a script reaches what it was granted, and nothing else."""
    rights = ScriptRights(agents=(Desk, Helper))
    with (
        AgentSystem.open("memory://", agents=[Desk, Helper]) as system,
        Scripts(system, limits=LIMITS, rights=rights, warm=0) as scripts,
        pytest.raises(ScriptFailed, match=problem) as caught,
    ):
        scripts.run(Script(LUA, call), principal=MIRA)
    assert caught.value.kind == "Denied"


def test_replays_and_backups_where_they_are_granted(tmp_path: Path) -> None:
    """A script of the system replays a recorded turn and makes a backup; both are in the audit."""
    rights = ScriptRights(replay=True, backups=tmp_path / "backups")
    with (
        AgentSystem.open(tmp_path / "desk.db", agents=[Desk], sync="process") as system,
        Scripts(system, limits=LIMITS, rights=rights, warm=0) as scripts,
    ):
        system.agent(Desk, "emea").call(Desk.assign, "T-1").get()
        (turn,) = system.hooks.history.list(point="turn")
        source = f'return {{hooks.replay("{turn.id}").outcome, backup.create("before").name}}'
        value = scripts.run(Script(LUA, source), principal=Principal.SYSTEM).value
        assert isinstance(value, list)
        assert value[0] == "same"
        assert {entry.operation for entry in system.audit.list()} >= {"replay", "backup.create"}
        with pytest.raises(ScriptFailed, match="only the system may"):
            scripts.run(Script(LUA, "backup.create()"), principal=MIRA)
    (backup,) = Backups(tmp_path / "backups").list()
    assert (backup.name, backup.note) == (value[1], "before")


KEEP: Final = {
    LUA: """
        artifacts.save("a.txt", "h\\u{e9}llo", "user:mira")
        artifacts.save("a.bin", "/wA=", "user:mira", "base64")
        return {artifacts.load("a.txt", "user:mira"),
            artifacts.load("a.bin", "user:mira", "base64")}""",
    JAVASCRIPT: """
        await artifacts.save("a.txt", "h\\u{e9}llo", "user:mira")
        await artifacts.save("a.bin", "/wA=", "user:mira", "base64")
        return [await artifacts.load("a.txt", "user:mira"),
            await artifacts.load("a.bin", "user:mira", "base64")]""",
    PYTHON: """
artifacts.save("a.txt", "h\\u00e9llo", "user:mira")
artifacts.save("a.bin", "/wA=", "user:mira", encoding="base64")
[artifacts.load("a.txt", "user:mira"), artifacts.load("a.bin", "user:mira", "base64")]""",
}


@pytest.mark.parametrize("language", Language)
def test_artifacts(system: AgentSystem, scripts: Scripts, language: Language) -> None:
    """Text is saved as UTF-8, bytes as base64, and both come back as they were."""
    result = scripts.run(Script(language, KEEP[language]), principal=MIRA)
    assert result.value == ["h\u00e9llo", "/wA="]
    kept = system.artifacts.get("a.bin", scope=Scope.user("mira"))
    assert system.artifacts.read(kept) == base64.b64decode("/wA=")
    with pytest.raises(ScriptFailed, match="is no UTF-8 text"):
        scripts.run(Script(LUA, 'artifacts.load("a.bin", "user:mira")'), principal=MIRA)


def test_a_script_in_a_turn_is_a_part_of_it() -> None:
    """In a handler a script acts as the agent, sees and joins its turn, and is undone with it."""
    own = Scope.agent("Desk", "emea")
    write = 'state.save("agent:Desk/emea", "k", 1) return state.exists("agent:Desk/emea", "k")'
    with (
        AgentSystem.open("memory://", agents=[Desk]) as system,
        Scripts(system, limits=LIMITS, warm=0) as scripts,
    ):
        HELD["here"] = scripts
        emea = system.agent(Desk, "emea")
        before = len(system.journal.list())
        assert emea.call(Desk.script, "here", write).get() is True
        assert len(system.journal.list()) == before + 1
        for source in ('error("no")', "state.commit()", 'state.save("user:mira", "k", 1)'):
            failing = f'state.save("agent:Desk/emea", "k", 2) {source}'
            with pytest.raises(ScriptFailed):
                emea.call(Desk.script, "here", failing).get()
            assert emea.call(Desk.script, "here", failing, caught=True).get() == "caught"
            assert system.state.get(own, "k") == 1
        assert emea.call(Desk.assign, "T").get() == {"open": 401, "key": "emea"}
        (refused,) = {entry.who for entry in system.audit.list() if entry.outcome == "refused"}
        assert refused == Principal.agent("Desk", "emea")
        HELD.clear()
