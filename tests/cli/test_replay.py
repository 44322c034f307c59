"""`perdure replay`: recorded turns under changed code, for people and for CI."""

import contextlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from perdure import AgentSystem
from tests.cli.commands import invoke, records, spawn
from tests.replay.hooked import Desk, spell
from tests.replay.tills import Till, turns


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a store with four recorded turns, one of which has failed."""
    path = tmp_path / "tills.db"
    with AgentSystem.open(path, agents=[Till], sync="process") as system:
        head = system.agent(Till, "head")
        for amount in (1, 100, 2):
            head.call(Till.pay, amount, who="<w>").get()
        with pytest.raises(ValueError, match="below 0"):
            head.call(Till.pay, -1).get()
        system.flush()
    return path


def test_turns_that_come_out_as_recorded_end_with_0(store: Path) -> None:
    """The same code gives the same results, a failure as a failure, and the exit code is 0."""
    result = invoke("replay", "--against", "tests.replay.tills:Till", "--store", store)
    assert (result.exit_code, result.stdout) == (
        0, "4 turns replayed: 3 same, 1 failed as recorded\n"
    )  # fmt: skip


def test_a_difference_ends_with_1_and_is_named(store: Path, tmp_path: Path) -> None:
    """The one turn that the fault reaches is named in the terminal, in JSON, JUnit and HTML."""
    reports = tmp_path / "r.xml", tmp_path / "r.html"
    against = ("replay", "--against", "tests.replay.tills:OffByOne", "--store", store)
    result = invoke(*against, "--junit", reports[0], "--html", reports[1])
    assert result.exit_code == 1
    assert "high   result: 101 -> 102" in result.stdout
    assert result.stdout.count(": different, score") == 1
    told = json.loads(invoke(*against, "--json").stdout)
    assert told["counts"] == {"same": 2, "different": 1, "failed": 1}
    suite = ET.fromstring(reports[0].read_text())  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase"))) == (
        "4", "1", 4
    )  # fmt: skip
    html = reports[1].read_text()
    assert "delta.set.total" in html
    assert "&lt;w&gt;" in html
    assert "<w>" not in html


def test_rules_and_ranges_are_given_on_the_command_line(store: Path) -> None:
    """What is ignored or left out by a range makes no difference."""
    against = ("replay", "--against", "tests.replay.tills:OffByOne", "--store", store)
    with AgentSystem.open(store, agents=[Till]) as system:
        ids = turns(system)
    assert invoke(*against, "--first", ids[2]).exit_code == 0
    assert invoke(*against, "--most", 1, "--kind", "Till").exit_code == 0
    ignored = ("--ignore", "delta", "--tolerance", "0.01")
    assert invoke(*against, *ignored).exit_code == 0


def test_one_turn_may_be_changed(store: Path) -> None:
    """With its id a turn is replayed with other values in message and state."""
    with AgentSystem.open(store, agents=[Till]) as system:
        run = turns(system)[0]
    one = ("replay", run, "--against", "tests.replay.tills:Till", "--store", store)
    assert invoke(*one).exit_code == 0
    result = invoke(*one, "--message", "amount=5", "--state", "total=10")
    assert result.exit_code == 1
    assert "result: 1 -> 15" in result.stdout


def test_a_turn_is_debugged_from_a_terminal(store: Path) -> None:
    """Pdb stops at the handler, prints what it is asked for, and stops once more behind it."""
    with AgentSystem.open(store, agents=[Till]) as system:
        run = turns(system)[1]
    commands = "p ('before', amount, who)\ncontinue\np ('behind', result, state.total)\ncontinue\n"
    result = spawn(
        "replay", run, "--against", "tests.replay.tills:Till", "--store", store, "--debug",
        typed=commands,
    )  # fmt: skip
    assert "('before', 100, '<w>')" in result.stdout, result.stderr
    assert "('behind', 101, 101)" in result.stdout
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--against", "tests.replay.tills:Nobody"], 2, "has no 'Nobody'"),
        (["--against", "tests.replay.tills:Till", "--debug"], 2, "give its ID"),
        (["1.0", "--against", "tests.replay.tills:Till", "--message", "a"], 2, "PATH=JSON"),
        (["--against", "tests.cli.programs:Desk"], 5, "no such recorded turns of Desk"),
        (["--against", "tests.replay.tills:Till", "--html", "/nowhere/x"], 2, "cannot be written"),
        ([], 2, "--against"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(
    store: Path, arguments: list[str], code: int, says: str
) -> None:
    """A wrong command line ends with 2, turns that are not there with 5."""
    result = invoke("replay", *arguments, "--store", store)
    assert result.exit_code == code
    assert says in result.output


def test_one_execution_of_a_hook_runs_again(tmp_path: Path) -> None:
    """Under its own code the same; under other code, or told something else, what it answers."""
    path = tmp_path / "desk.db"
    with AgentSystem.open(path, agents=[Desk], sync="process") as system:
        system.hooks.on("message.before", spell, name="spell")
        system.agent(Desk, "a").call(Desk.assign, "t-1").get()
        system.idle()
        runs = {record.hook: record.id for record in system.hooks.history.each()}

    def replayed(hook: str, against: str, *more: str) -> tuple[int, str]:
        target = f"tests.replay.hooked:{against}"
        result = invoke(
            "replay", "--hook-run", runs[hook], "--against", target, "--store", path, *more
        )
        return result.exit_code, result.stdout or result.stderr

    assert replayed("spell", "spell") == (0, "1 hook replayed: 1 same\n")
    assert replayed("Desk.early", "Desk") == (0, "1 hook replayed: 1 same\n")
    code, told = replayed("spell", "shout")
    assert code == 1
    assert f"{runs['spell']} spell at message.before: different" in told
    assert 'result.data[0][0]: "T-1" -> "T-1!"' in told
    code, told = replayed("spell", "spell", "--details", 'args[0]="x"', "--junit", str(path) + "j")
    assert code == 1
    assert '"X"' in told
    assert "spell at message.before" in Path(str(path) + "j").read_text()
    code, told = replayed("spell", "Desk")
    assert (code, "no hook 'spell' is here" in told) == (1, True)
    assert replayed("spell", "spell", "--kind", "Desk")[0] == 2
    assert replayed("Desk.early", "Desk", "--message", "ticket=1")[0] == 2


def test_details_are_of_a_hook(store: Path) -> None:
    """They go with the execution of a hook, and with nothing else."""
    turns = ("replay", "--against", "tests.replay.tills:Till", "--store", store)
    assert invoke(*turns, "--details", "a=1").exit_code == 2


def noted(store: Path) -> list[tuple[str, str, str]]:
    """Return what the audit has of replays: who, whose turns, and what became of it."""
    entries = records("audit", "--operation", "replay", "--store", store)
    return [(entry["who"], entry["scope"], entry["outcome"]) for entry in entries]


@pytest.mark.parametrize("owned", [True, False])
def test_each_use_is_in_the_audit(store: Path, *, owned: bool) -> None:
    """By the process that has the store open, else by the command; --read-only writes nothing."""
    turns_of = ("replay", "--against", "tests.replay.tills:Till", "--store", store)
    with contextlib.ExitStack() as stack:
        if owned:
            stack.enter_context(AgentSystem.open(store, agents=[Till], sync="process"))
        assert invoke(*turns_of, "--read-only").exit_code == 0
        assert noted(store) == []
        assert invoke(*turns_of).exit_code == 0
        assert noted(store) == [("system", "agent:Till/head", "allowed")]
        run = records("replay", "--against", "tests.replay.tills:Till", "--store", store)
        assert invoke(*turns_of, "--key", "nobody").exit_code == 5
        one = run[0]["replays"][0]["id"]
        assert invoke("replay", one, *turns_of[1:], "--message", "amount=1").exit_code == 0
        assert len(noted(store)) == 3
    assert records("audit", "verify", "--store", store)[0]["intact"]


def test_an_owner_that_does_not_listen_is_not_gone_round(store: Path) -> None:
    """Without its socket the use cannot be noted: the command says so, and what goes without."""
    turns_of = ("replay", "--against", "tests.replay.tills:Till", "--store", store)
    with AgentSystem.open(store, agents=[Till], sync="process", service=False):
        result = invoke(*turns_of)
        assert (result.exit_code, result.stdout) == (4, "")
        assert "--read-only replays without an entry" in result.stderr
        assert invoke(*turns_of, "--read-only").exit_code == 0
