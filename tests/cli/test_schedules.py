"""`perdure replay-schedules`: beside an owner and without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import AgentSystem
from tests.cli.commands import invoke, records
from tests.replay.tills import Till

WRONG = "tests.replay.tills:OffByOne"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a store with two recorded turns."""
    path = tmp_path / "tills.db"
    with AgentSystem.open(path, agents=[Till], sync="process") as system:
        for amount in (1, 100):
            system.agent(Till, "head").call(Till.pay, amount).get()
    return path


@pytest.fixture(params=["owner", "nobody"])
def place(request: pytest.FixtureRequest, store: Path) -> Iterator[Path]:
    """Give the store, with a process that has it open and without."""
    if request.param == "nobody":
        yield store
        return
    with AgentSystem.open(store, agents=[Till], sync="process"):
        yield store


def schedules(*words: object) -> tuple[int, str, str]:
    """Return what the command ends with and prints."""
    result = invoke("replay-schedules", *words)
    return result.exit_code, result.stdout, result.stderr


def test_a_schedule_is_made_run_and_removed(place: Path) -> None:
    """Each step is that of whoever has the store open, else it is taken in the store."""
    at = ("--store", place)
    add = ("add", "nightly", "--every", 3600, "--against", WRONG, "--key", "head", *at)
    code, told, _ = schedules(*add)
    assert (code, told.startswith("nightly is due at ")) == (0, True)
    code, _, refused = schedules(*add)
    assert (code, "there is a schedule of that name" in refused) == (2, True)
    (made,) = records("replay-schedules", *at)
    assert (made["name"], made["every"], made["which"]) == ("nightly", 3600.0, {"key": "head"})
    code, told, _ = schedules("run", "nightly", *at)
    assert (code, told.splitlines()[-1]) == (1, "2 turns replayed: 1 same, 1 different")
    assert "high   result: 101 -> 102" in told
    (result,) = records("replay-schedules", "results", "nightly", *at)
    assert (result["outcome"], result["counts"]) == ("different", {"same": 1, "different": 1})
    assert records("replay-schedules", *at) == [made]  # its moments are as they were
    code, again, _ = schedules("show", result["id"], *at)
    assert (code, again) == (1, told)
    code, told, _ = schedules("remove", "nightly", *at)
    assert (code, told) == (0, "nightly is removed, with its results\n")
    assert schedules("results", *at)[2] == "no replay has run on a schedule\n"
    audit = records("audit", "--operation", "replay.schedule", *at)
    assert [entry["outcome"] for entry in audit] == ["allowed"]


def test_what_does_not_fit_is_refused(place: Path) -> None:
    """A wrong command line ends with 2, what is not there with 5, in one sentence."""
    at = ("--store", place)
    for words, says in (
        (("add", *at), "needs the NAME"),
        (("add", "n", *at), "give one of at=, every= and cron="),
        (("add", "n", "--every", 0.5, *at), "every"),
        (("add", "n", "--at", "soon", *at), "this is no time"),
        (("add", "n", "--every", 9, "--against", "gone:Gone", *at), "cannot be imported"),
        (("list", "--every", 9, *at), "takes no options of `add`"),
        (("list", "--newest", *at), "have no time"),
        (("show", "x", *at), "is no ID"),
    ):
        code, _, told = schedules(*words)
        assert (code, says in told) == (2, True), told
    for action, name in (("remove", "n"), ("run", "n"), ("results", "n"), ("show", "7")):
        code, _, told = schedules(action, name, *at)
        assert (code, "there is no " in told) == (5, True), told


def test_without_an_owner_a_schedule_runs_under_named_classes_only(store: Path) -> None:
    """One that runs under the system's classes waits for a process that has them."""
    at = ("--store", store)
    assert schedules("add", "own", "--at", "2031-05-07", *at)[0] == 0
    code, _, told = schedules("run", "own", *at)
    assert (code, "nobody has the store open" in told) == (2, True)
    with AgentSystem.open(store, agents=[Till], sync="process"):
        code, told, _ = schedules("run", "own", "--json", *at)
    assert (code, json.loads(told)["outcome"]) == (0, "same")


def test_a_tool_that_has_the_store_open_runs_no_schedule(store: Path) -> None:
    """What is due waits for a system with agent classes, however long a tool takes."""
    with AgentSystem.open(store, agents=[]) as system:
        system.replay.schedule("now", at=0.0)
        assert system.idle(10)
        assert system.replay.results.count() == 0
    with AgentSystem.open(store, agents=[Till]) as system:
        system.replay.schedule("first", at=0.0)
        assert system.idle(10)
        assert {each.schedule for each in system.replay.results.each()} == {"now", "first"}
