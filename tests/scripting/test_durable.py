"""Scripts in Python rest at a question, and go on in another process; what is stored is signed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from perdure import AgentSystem, Keys, Pickled, ReplayRules, Scope, StaticKeys, new_key
from perdure.persistence.errors import ConfigurationError, CorruptState, PerdureError, ScriptFailed
from perdure.persistence.records.checksums import of_entry
from perdure.scripting.durable import DurableScriptAgent, SuspendedScript
from perdure.scripting.options import ScriptLimits
from perdure.scripting.scripts import Scripts
from tests.kit.children import ROOT, finished
from tests.kit.deadline import DEADLINE

OWN: Final = Scope.agent("DurableScriptAgent", "emea")
REFUND: Final = """
def refund(order, cents):
    state.save(me, order, "asked")
    notes = {"order": order, "asked": [cents]}
    who = suspend({"may I pay": cents})
    notes["asked"].append(who)
    state.save(me, order, "allowed by " + who)
    when = suspend("when?")
    state.save(me, order, "paid " + when)
    return [notes, when]
"""
KEY: Final = {"k": new_key()}


@contextmanager
def opened(
    path: Path,
    key: dict[str, bytes] | None = None,
    agent: type[DurableScriptAgent] = DurableScriptAgent,
) -> Iterator[AgentSystem]:
    """Open the store with the key that signs."""
    keys = Keys(pickles=StaticKeys(key or KEY))
    with (
        AgentSystem.open(path, agents=[agent], keys=keys, sync="process") as system,
        Scripts(system, limits=ScriptLimits(seconds=DEADLINE), warm=0),
    ):
        yield system


def test_a_script_rests_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Each question ends a turn; the answer goes on behind it, with all the variables."""
    path = tmp_path / "s.db"
    with opened(path) as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, "python", REFUND).get()
        first = emea.call(DurableScriptAgent.invoke, "refund", "T-17", 1200).get()
        assert isinstance(first, SuspendedScript)
        assert (first.id, first.question) == ("1", {"may I pay": 1200})
        assert system.state.get(OWN, "T-17") == "asked"
    with opened(path) as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, "python", "def refund(order): pass").get()
        (waits,) = emea.call(DurableScriptAgent.suspended).get()
        assert waits == first
        second = emea.call(DurableScriptAgent.answer, "1", "mira").get()
        assert isinstance(second, SuspendedScript)
        assert second.question == "when?"
        assert system.state.get(OWN, "T-17") == "allowed by mira"
    with opened(path) as system:
        emea = system.agent(DurableScriptAgent, "emea")
        assert emea.call(DurableScriptAgent.answer, "1", "today").get() == [
            {"order": "T-17", "asked": [1200, "mira"]}, "today",
        ]  # fmt: skip
        assert system.state.get(OWN, "T-17") == "paid today"
        assert emea.call(DurableScriptAgent.suspended).get() == []
        with pytest.raises(ConfigurationError, match="no call '1' that rests"):
            emea.call(DurableScriptAgent.answer, "1", "again").get()


def test_an_answer_that_fails_leaves_the_question(tmp_path: Path) -> None:
    """What goes wrong behind the answer undoes the turn: the call rests as it did."""
    with opened(tmp_path / "s.db") as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, "python", REFUND).get()
        emea.call(DurableScriptAgent.invoke, "refund", "T-17", 1200).get()
        with pytest.raises(ScriptFailed) as caught:
            emea.call(DurableScriptAgent.answer, "1", 5).get()  # no text
        assert caught.value.line == 7
        assert len(emea.call(DurableScriptAgent.suspended).get()) == 1
        emea.call(DurableScriptAgent.answer, "1", "noor").get()
        emea.call(DurableScriptAgent.forget, "1").get()
        assert emea.call(DurableScriptAgent.suspended).get() == []


def test_what_was_changed_is_not_loaded(tmp_path: Path) -> None:
    """A stored engine with another signature, or of another key, is refused unread."""
    path = tmp_path / "s.db"
    with opened(path) as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, "python", REFUND).get()
        emea.call(DurableScriptAgent.invoke, "refund", "T-17", 1200).get()
    with closing(sqlite3.connect(path)) as connection:
        ((stored,),) = connection.execute("SELECT value FROM map_entries WHERE field = 'dumps'")
    assert stored.startswith('"perdure:pickle:1:k:')
    with opened(path, {"k": new_key()}) as system:
        emea = system.agent(DurableScriptAgent, "emea")
        with pytest.raises(PerdureError, match="it was not unpickled"):
            emea.call(DurableScriptAgent.answer, "1", "mira").get()


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", 'function f() suspend("?") end'),
        ("javascript", 'async function f() { await suspend("?") }'),
    ],
)
def test_only_python_rests(tmp_path: Path, language: str, source: str) -> None:
    """The other languages say that they cannot be suspended; so do scripts outside of agents."""
    with opened(tmp_path / "s.db") as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, language, source).get()
        with pytest.raises(ScriptFailed, match="only scripts in Python can be suspended"):
            emea.call(DurableScriptAgent.invoke, "f").get()


def test_the_engines_are_not_imported() -> None:
    """A host that runs scripts imports no engine: they are in the workers alone."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from perdure import *\n"
        "with AgentSystem.open('memory://', agents=[]) as system, Scripts(system) as scripts:\n"
        "    for language in Language:\n"
        "        scripts.run(Script(language, ''), principal=Principal.SYSTEM)\n"
        "print([m for m in ('lupa', 'quickjs', '_quickjs', 'pydantic_monty') if m in sys.modules])"
    )
    said, _ = finished("-c", code, str(ROOT))
    assert said == "[]\n"


def test_a_dump_that_is_moved_to_another_agent_is_noticed(tmp_path: Path) -> None:
    """What one agent's script was, well signed, runs under no other's name, call or version."""
    with opened(tmp_path / "s.db") as system:
        emea, apac = (system.agent(DurableScriptAgent, key) for key in ("emea", "apac"))
        for agent in (emea, apac):
            agent.call(DurableScriptAgent.install, "python", REFUND).get()
        emea.call(DurableScriptAgent.invoke, "refund", "T-17", 1200).get()
        emea.call(DurableScriptAgent.invoke, "refund", "T-18", 1200).get()
        apac.call(DurableScriptAgent.invoke, "refund", "T-17", 900).get()
    move(tmp_path / "s.db", ("emea", "2"), ("emea", "1"))
    move(tmp_path / "s.db", ("emea", "2"), ("apac", "1"))
    with opened(tmp_path / "s.db") as system:
        for key in ("emea", "apac"):
            agent = system.agent(DurableScriptAgent, key)
            with pytest.raises(CorruptState, match="is that of DurableScriptAgent/emea at call 2"):
                agent.call(DurableScriptAgent.answer, "1", "mira").get()
            agent.call(DurableScriptAgent.forget, "1").get()
        second = system.agent(DurableScriptAgent, "emea")
        assert second.call(DurableScriptAgent.answer, "2", "mira").get()


class Careless(DurableScriptAgent):
    kind = "DurableScriptAgent"

    def keep(self, number: int) -> None:
        """Have something else stand for what the engine was, well signed."""
        self.state.dumps["1"] = Pickled(FORMS[number])


FORMS: Final[tuple[Any, ...]] = (
    ("DurableScriptAgent", "emea", "1", 1),
    ("DurableScriptAgent", "emea", "1", 1, "dump"),
)


@pytest.mark.parametrize("number", range(len(FORMS)))
def test_a_signed_value_of_another_form_is_no_dump(tmp_path: Path, number: int) -> None:
    """What is well signed and no dump at all is corrupt, and the call can be forgotten."""
    with opened(tmp_path / "s.db", agent=Careless) as system:
        emea = system.agent(Careless, "emea")
        emea.call(Careless.install, "python", REFUND).get()
        emea.call(Careless.invoke, "refund", "T-17", 1200).get()
        emea.call(Careless.keep, number).get()
        with pytest.raises(CorruptState, match="is of another form; `forget` the call"):
            emea.call(Careless.answer, "1", "mira").get()
        emea.call(Careless.forget, "1").get()
        assert emea.call(Careless.suspended).get() == []


def move(path: Path, source: tuple[str, str], target: tuple[str, str]) -> None:
    """Put what is stored of one agent's call in the place of another's, with a good checksum."""
    query = (
        "SELECT e.agent, e.value FROM map_entries e JOIN agents a ON a.agent = e.agent"
        " WHERE a.key = ? AND e.field = 'dumps' AND e.entry = ?"
    )
    with closing(sqlite3.connect(path)) as db:
        _, value = db.execute(query, source).fetchone()
        agent, _ = db.execute(query, target).fetchone()
        db.execute(
            "UPDATE map_entries SET value = ?, crc = ? WHERE agent = ? AND field = 'dumps'"
            " AND entry = ?",
            (value, of_entry(agent, "dumps", target[1], value), agent, target[1]),
        )
        db.commit()


def test_turns_in_which_a_script_rests_are_replayed(tmp_path: Path) -> None:
    """A replay of an invocation and of its answer comes to the same, but for the dump."""
    with opened(tmp_path / "s.db") as system:
        emea = system.agent(DurableScriptAgent, "emea")
        system.hooks.record(emea)
        emea.call(DurableScriptAgent.install, "python", REFUND).get()
        emea.call(DurableScriptAgent.invoke, "refund", "T-17", 1200).get()
        emea.call(DurableScriptAgent.answer, "1", "mira").get()
        assert system.idle(DEADLINE)
        rules = ReplayRules(ignore=("delta.put.dumps",))  # an engine is never the same twice
        report = system.replay.batch(rules=rules).report()
        assert report.counts == {"same": 3}, report.text()


def test_a_question_of_nothing_is_refused(tmp_path: Path) -> None:
    """It is an error of that call, which the script may catch: its worker was called lost."""
    source = """
def nothing():
    return suspend(missing)
def caught():
    try:
        suspend(missing)
    except Exception as error:
        return str(error)
"""
    with opened(tmp_path / "s.db") as system:
        emea = system.agent(DurableScriptAgent, "emea")
        emea.call(DurableScriptAgent.install, "python", source).get()
        with pytest.raises(ScriptFailed, match="#1:3: ConfigurationError: there is no question"):
            emea.call(DurableScriptAgent.invoke, "nothing").get()
        assert "no question" in str(emea.call(DurableScriptAgent.invoke, "caught").get())
