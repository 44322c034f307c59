"""`perdure hooks`: what hooks do, by who runs them, and what they did, by the history."""

from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, Breaker, Cancel, MessageDetails, OutcomeDetails, Replace
from tests.cli.commands import invoke, records
from tests.cli.programs import Desk
from tests.kit.deadline import DEADLINE


def fill(system: AgentSystem) -> None:
    """Register hooks, and have them do something of everything."""

    @system.hooks.on("message.before", on="assign", name="guard")
    def guard(details: MessageDetails) -> Replace | Cancel | None:
        if details.args == ("no",):
            return Cancel("it is full")
        return Replace((("T-9",), {})) if details.args == ("other",) else None

    @system.hooks.on("message.after", agents=Desk, name="broken", breaker=Breaker(1, 100.0))
    def broken(details: OutcomeDetails) -> None:
        raise RuntimeError("broken")

    @system.hooks.on("message.after", record=False, name="quiet")
    def quiet(details: OutcomeDetails) -> None:
        return None

    for ticket in ("T-1", "other"):
        system.agent(Desk, "emea").call(Desk.assign, ticket).get(timeout=DEADLINE)
    system.agent(Desk, "apac").cast(Desk.assign, "no")
    assert system.idle(DEADLINE)
    system.flush(DEADLINE)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store in which hooks did something."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Desk], sync="process") as system:
        fill(system)
    return tmp_path / "s.db"


def test_who_has_it_open_tells_of_its_hooks(tmp_path: Path) -> None:
    """All that are registered, in their order, with breakers and with what is not recorded."""
    store = tmp_path / "s.db"
    with AgentSystem.open(store, agents=[Desk], sync="process") as system:
        fill(system)
        system.hooks.disable("quiet")
        found = records("hooks", "--store", store)
        told = [(each["name"], each["runs"], each["failures"], each["passed"]) for each in found]
        assert told == [
            ("guard", 3, 0, 0), ("broken", 1, 1, 1), ("quiet", 2, 0, 0),
        ]  # fmt: skip
        assert found[0]["outcomes"] == {"continue": 1, "replace": 1, "cancel": 1}
        assert (found[1]["breaker"], found[1]["agents"]) == ("open", "Desk")
        assert {each["source"] for each in found} == {"process"}
        shown = invoke("hooks", "--store", store, "--after", "guard")
        assert shown.stdout.split()[-18:-14] == ["broken", "message.after", "Desk", "open"]
        assert "disabled" in shown.stdout


def test_where_nobody_has_it_open_the_history_is_counted(store: Path) -> None:
    """It says so, and claims nothing that only a process knows."""
    found = records("hooks", "--store", store)
    assert [(each["name"], each["runs"], each["failures"]) for each in found] == [
        ("broken", 1, 1), ("guard", 3, 0),
    ]  # fmt: skip
    assert found[1]["outcomes"] == {"continue": 1, "replace": 1, "cancel": 1}
    assert {(each["source"], each["breaker"], each["slow"]) for each in found} == {
        ("history", None, None)
    }
    assert 0 < found[1]["longest"] <= found[1]["seconds"]
    shown = invoke("hooks", "--store", store)
    assert "nobody has it open: this is what the history has" in shown.stderr


CHOSEN = [
    ([], 4), (["--hook", "guard"], 3), (["--kind", "Desk", "--key", "emea"], 3),
    (["--outcome", "cancel"], 1), (["--outcome", "failed"], 1), (["--point", "message.after"], 1),
    (["--longer", "60"], 0), (["--since", "2001-01-01"], 4), (["--until", "2001-01-01 12:00"], 0),
    (["--correlation", "0"], 0),
]  # fmt: skip


@pytest.mark.parametrize(("options", "count"), CHOSEN, ids=str)
def test_executions_are_chosen(store: Path, options: list[str], count: int) -> None:
    """By hook, agent, correlation, time, outcome and duration, in either order."""
    usual = records("hooks", "runs", *options, "--store", store)
    assert len(usual) == count
    assert records("hooks", "runs", *options, "--newest", "--store", store) == usual[::-1]
    assert records("hooks", "runs", *options, "--oldest", "--store", store) == usual


def test_pages_of_executions_follow_each_other(store: Path) -> None:
    """Each page names its last place, and the next one goes on behind it."""
    usual = records("hooks", "runs", "--store", store)
    found: list[dict[str, Any]] = []
    after: list[str] = []
    for _ in usual:
        (one,) = records("hooks", "runs", "--oldest", "--limit", 1, *after, "--store", store)
        found.append(one)
        after = ["--after", one["id"]]
    assert found == usual


def test_an_execution_is_shown(store: Path) -> None:
    """With all that the hook was told and answered; one that is not there is exit code 5."""
    (replaced,) = records("hooks", "runs", "--outcome", "replace", "--store", store)
    (shown,) = records("hooks", "show", replaced["id"], "--store", store)
    assert shown == replaced
    assert (shown["context"]["args"], shown["result"]) == (["other"], {"data": [["T-9"], {}]})
    assert '"args":["other"]' in invoke("hooks", "show", replaced["id"], "--store", store).stdout
    assert invoke("hooks", "show", "99999.0", "--store", store).exit_code == 5


WRONG = [
    (["list", "1.0"], "`hooks list` takes no ID"), (["show"], "needs the ID of an execution"),
    (["--outcome", "failed"], "only `hooks runs` takes --outcome"),
    (["runs", "--since", "noon"], "--since 'noon': give a time"),
    (["runs", "--after", "x"], "--after 'x': give the ID of an execution"),
    (["runs", "--key", "a"], "--key goes with --kind"), (["--newest"], "hooks have no time"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), WRONG, ids=str)
def test_mistakes_are_one_sentence(store: Path, words: list[str], said: str) -> None:
    """What cannot be is refused by name."""
    result = invoke("hooks", *words, "--store", store)
    assert result.exit_code == 2
    assert said in result.stderr
