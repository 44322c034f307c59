"""``perdure runs``: what agents think about is listed, shown and decided."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage

from perdure import AgentSystem
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Budget
from perdure.llm.tools import ask_person
from perdure.persistence.errors import RunFailed
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, returned, scripted


def script(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Ask a person, and say what that has answered."""
    return str(returned(messages)) if nth else [("ask_person", {"question": "Really?"})]


Asker = ThinkingAgent.define("Asker", model=scripted(script), tools=[ask_person])


@contextlib.contextmanager
def waiting(store: Path) -> Iterator[AgentSystem]:
    """Give a system with an agent that waits for an answer."""
    with AgentSystem.open(store, agents=[Asker]) as system:
        asker = system.agent(Asker, "one")
        asker.cast(Asker.think, "go", run="r")
        for _ in range(int(DEADLINE / 0.01)):
            if system.runs.list() and system.runs.list()[0].waiting:
                break
            threading.Event().wait(0.01)
        yield system


@pytest.fixture
def system(tmp_path: Path) -> Iterator[AgentSystem]:
    """Give such a system."""
    with waiting(tmp_path / "store.db") as system:
        yield system


def test_runs_are_listed_shown_and_answered(system: AgentSystem, tmp_path: Path) -> None:
    """What a run waits for stands in the list; an answer from the command line has it go on."""
    store = ("--store", tmp_path / "store.db")
    (run,) = records("runs", *store)
    (held,) = run["waiting"]
    assert (run["key"], run["run"], held["why"]) == ("one", "r", "question")
    assert "Really?" in invoke("runs", *store).stdout
    steps = records("runs", "show", "Asker", "one", "r", *store)
    assert [step["what"] for step in steps] == ["asked", "begun", "done", "waits"]
    names = ("Asker", "one", "r", held["call"])
    done = records("runs", "answer", *names, "--result", '"Yes."', *store)
    assert done[0]["what"] == "answer"
    asker = system.agent(Asker, "one")
    assert asker.call(Asker.think, "", run="r").get() == "['Yes.']"
    assert records("runs", *store) == []
    with pytest.raises(RunFailed):
        asker.call(Asker.think, "go", run="s", budget=Budget(tools=0)).get(timeout=DEADLINE)
    kept = records("runs", "list", "Asker", "one", *store)
    assert [(each["run"], each["status"]) for each in kept] == [("r", "done"), ("s", "failed")]
    assert "0 tools" in kept[1]["error"]
    assert "0 tools" in invoke("runs", "list", "Asker", "one", *store).stdout


def test_a_decision_waits_for_the_next_owner(tmp_path: Path) -> None:
    """Where nobody has the store open, a decision is mail that the next process handles."""
    store = tmp_path / "store.db"
    with waiting(store):
        pass
    (run,) = records("runs", "--store", store)
    names = ("Asker", "one", "r", run["waiting"][0]["call"])
    result = invoke("runs", "approve", *names, "--store", store)
    assert (result.exit_code, "takes answer" in result.stderr) == (2, True)
    records("runs", "answer", *names, "--result", '"Yes."', "--store", store)
    with AgentSystem.open(store, agents=[Asker]) as system:
        assert system.agent(Asker, "one").call(Asker.think, "", run="r").get() == "['Yes.']"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("answer", "Asker", "one", "r", "c"), 2, "needs --result"),
        (("answer", "Asker", "one", "r", "c", "--result", "yes"), 2, "no JSON"),
        (("retry", "Asker", "one", "r"), 2, "takes KIND KEY RUN CALL"),
        (("retry", "Asker", "one", "r", "another"), 5, "does not wait"),
        (("show", "Asker", "one", "another"), 5, "has no run"),
        (("list", "Asker", "two"), 5, "there is no Asker/two"),
        (("list", "Asker"), 2, "or KIND KEY"),
    ],
)
def test_what_cannot_be_decided_is_said(
    system: AgentSystem, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """What is missing or wrong is one sentence, and changes nothing."""
    result = invoke("runs", *words, "--store", tmp_path / "store.db")
    assert result.exit_code == code
    assert said in result.stderr
    assert len(system.runs.list()) == 1


Finder = ThinkingAgent.define(
    "Finder", model=scripted(lambda prompt, _nth, _messages: f"{prompt}!"), instructions="Be kind."
)
Brief = ThinkingAgent.define("Brief", model="nobody:knows-it", instructions="Be brief.")


def test_calls_are_counted_once_over_restarts(tmp_path: Path) -> None:
    """What calls came to is the same in the list, with the agent, and where it is described."""
    store = tmp_path / "store.db"
    for run in ("a", "b", "b"):
        with AgentSystem.open(store, agents=[Finder]) as system:
            finder = system.agent(Finder, "one")
            finder.call(Finder.think, "hello", run=run).get()
    with AgentSystem.open(store, agents=[Finder]) as system:
        ((name, tally),) = system.agent(Finder, "one").describe().tallies.items()
        assert system.agent(Finder, "two").describe().tallies == {}
    assert (tally.calls, tally.failures) == (2, 0)
    (row,) = records("runs", "stats", "Finder", "one", "--store", store)
    assert [row] == records("show", "Finder", "one", "--store", store)[0]["calls"]
    assert f"{row['op']}/{row['name']}" == name
    assert (row["calls"], row["tokens_in"]) == (2, tally.tokens_in)
    assert "calls of models and tools" in invoke("show", "Finder", "one", "--store", store).stdout
    assert "2" in invoke("runs", "stats", "--store", store).stdout.split()
    assert records("runs", "stats", "Another", "--store", store) == []


def test_counts_that_are_damaged_are_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    """What calls came to is a problem of the agent where it cannot be read; all else is shown."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Finder]) as system:
        system.agent(Finder, "one").call(Finder.think, "hello", run="r").get()
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("UPDATE map_entries SET value = '7' WHERE field = 'tallies'")
        db.execute("DELETE FROM journal")
        db.commit()
    (row,) = records("show", "Finder", "one", "--store", store, code=1)
    assert (row["calls"], row["logs"]["transcript"]["length"]) == ([], 3)
    assert "tallies" in row["problems"][0]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--against", "tests.llm.test_command:Finder"), 0, "as it was recorded"),
        (("--against", "tests.llm.test_command:Brief"), 1, "Be brief."),
        ((), 2, "needs --against MODULE:NAME"),
        (("--against", "tests.cli.programs:Desk"), 2, "has no class of agents that think"),
    ],
)
def test_a_run_is_replayed_against_code(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """Other code shows what its model would be told, whose provider need not be there."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Finder]) as system:
        system.agent(Finder, "one").call(Finder.think, "hello", run="r").get()
    named = ("runs", "replay", "Finder", "one", "r", "--store", store, *words)
    result = invoke(*named)
    assert result.exit_code == code
    assert said in result.stdout + result.stderr
    if code < 2:
        (line,) = records(*named, code=code)
        assert (line["same"], line["models"], line["output"]) == (not code, 1, "hello!")
        assert [each["what"] for each in line["differs"]] == ["instructions"] * code
