"""The commands that list: the same flags, and a word about what they do not show."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any, Final, cast

import pytest
import typer

from perdure import Agent, AgentSystem, Scope, State
from perdure.cli.app import app
from perdure.cli.commands.journal import LINES, _widths, print_lines
from perdure.cli.terminal.listing import show
from perdure.cli.terminal.options import Listing
from perdure.cli.terminal.screen import Screen
from perdure.persistence.records.records import JournalEntry
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE


class Nothing(State):
    turns: int = 0


class Worker(Agent[Nothing]):
    def plan(self, number: int) -> None:
        self.after(1_000.0 * number, self.work, number, name=f"a {number}")

    def work(self, number: int) -> None:
        self.state.turns += number


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store with mail, timers, and patterns that hold something."""
    path = tmp_path_factory.mktemp("waiting") / "w.db"
    with AgentSystem.open(path, agents=[Worker], sync="process") as system:
        worker = system.agent(Worker, "a b")
        for number in (3, 1, 2):
            worker.call(Worker.plan, number).get()
        worker.pause()
        system.agent(Worker, "second").call(Worker.work, 1).get()
        for number in range(3):
            worker.cast(Worker.work, number)
        parts = system.sharing.pipeline("parts", ["read"])
        for number in range(3):
            parts.put(number)
        for work in parts.take("read", limit=2, lease=60.0):
            parts.drop(work, "broken")
        system.sharing.topic("news").publish("hello")
        system.flush(DEADLINE)
    return path


def test_mail_is_listed(waiting: Path) -> None:
    """Messages that wait are shown page by page, the oldest or the newest first."""
    mail = records("mail", "--store", waiting)
    assert [message["body"] for message in mail] == [[[n], {}] for n in range(3)]
    assert (
        records("mail", "--kind", "Worker", "--key", "a b", "--newest", "--store", waiting)
        == mail[::-1]
    )
    assert records("mail", "--kind", "Other", "--store", waiting) == []
    table = invoke("mail", "--limit", 2, "--store", waiting)
    assert table.stdout.splitlines()[1].split()[3:] == ["Worker/a", "b", "work", "0"]
    assert table.stderr == f"there are more; --after {mail[1]['id']} shows them\n"
    assert records("mail", "--after", mail[1]["id"], "--store", waiting) == mail[2:]


def test_timers_are_listed(waiting: Path) -> None:
    """Timers are shown as they are due; the place that a page names leads to the next."""
    timers = records("timers", "--store", waiting)
    assert [timer["name"] for timer in timers] == ["a 1", "a 2", "a 3"]
    assert records("timers", "--newest", "--store", waiting) == timers[::-1]
    table = invoke("timers", "--limit", 1, "--store", waiting)
    _, _, _, _, place, *_ = shlex.split(table.stderr)
    assert records("timers", "--after", place, "--store", waiting) == timers[1:]
    assert invoke("timers", "--after", "soon", "--store", waiting).exit_code == 2


def test_patterns_are_listed_with_what_they_hold(waiting: Path) -> None:
    """A pipeline with dropped items is shared, whatever there is of keys."""
    (pipeline, topic) = records("sharing", "--store", waiting)
    assert (pipeline["pattern"], pipeline["name"]) == ("pipeline", "parts")
    assert (pipeline["counts"]["dropped"], pipeline["counts"]["read"]) == (2, 1)
    assert (topic["pattern"], topic["name"], topic["counts"]["item"]) == ("topic", "news", 1)
    assert records("sharing", "topic", "--store", waiting) == [topic]
    first = invoke("sharing", "--limit", 1, "--store", waiting)
    assert first.stderr == "there are more; --after pipeline/parts shows them\n"
    assert records("sharing", "--after", "pipeline/parts", "--store", waiting) == [topic]
    said = invoke("state", "--store", waiting).stderr
    assert (
        said == "no shared keys in this store; `perdure sharing` lists the topics, pipelines, ...\n"
    )


LISTS: Final = {
    "agents", "journal", "mail", "timers", "dead-letters", "hooks", "audit", "state", "sharing",
    "sessions", "artifacts", "growth", "doctor", "timeline", "replay-schedules", "backup", "runs",
}  # fmt: skip


def test_every_list_has_the_same_options() -> None:
    """Commands that list have five options in common, word for word; no other has one of them."""
    group = cast("Any", typer.main.get_group(app))
    shared: dict[str, set[tuple[object, ...]]] = {}
    where: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        for option in command.params:
            said = (option.opts, option.secondary_opts, option.default, option.metavar, option.help)
            shared.setdefault(option.name, set()).add((*map(str, said), option.required))
            where.setdefault(option.name, set()).add(name)
    for option in ("after", "newest", "limit", "wide", "json"):
        assert len(shared[option]) == 1, option
    assert where["after"] == where["newest"] == where["limit"] == LISTS
    assert LISTS < where["wide"] <= where["json"]
    agents = {"agents", "journal", "mail", "timers", "dead-letters", "hooks", "timeline"}
    others = {"show", "diff", "isolate", "restore", "why", "replay", "replay-schedules"}
    assert where["key"] - others == agents
    # A folder of backups is looked into without any store.
    assert [len(shared[name]) for name in ("store", "scope")] == [2, 2]


@pytest.mark.parametrize("words", [["agents"], ["sharing"], ["state"], ["state", "list", "global"]])
def test_lists_in_another_order_know_the_newest(shared_things: Path, words: list[str]) -> None:
    """With --newest what changed last comes first, page by page, also where names give the order.

    With --oldest, and with neither, names give the order.
    """
    usual = records(*words, "--store", shared_things)
    assert records(*words, "--oldest", "--store", shared_things) == usual
    newest = records(*words, "--newest", "--store", shared_things)
    assert newest == [usual[place] for place in (0, 2, 1)]
    found: list[dict[str, Any]] = []
    more = ["--newest", "--limit", "1", "--json", "--store", str(shared_things)]
    place: list[str] = []
    for _ in usual:
        result = invoke(*words, *more, *place)
        found.append(json.loads(result.stdout))
        place = shlex.split(result.stderr)[3:5]
    assert found == newest
    assert place == []


@pytest.fixture(scope="module")
def shared_things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store with three of each, the first of them changed last."""
    path = tmp_path_factory.mktemp("things") / "t.db"
    with AgentSystem.open(path, agents=[Worker], sync="process") as system:
        for name in ("b", "c", "a"):
            system.agent(Worker, name).call(Worker.work, 1).get()
            system.sharing.topic(name).publish(name)
            system.state.set(Scope.GLOBAL if name == "a" else Scope.workflow(name), "k", name)
            system.flush(DEADLINE)
        for name in ("b", "c", "a"):
            system.state.set(Scope.GLOBAL, name, name)
        system.state.delete(Scope.GLOBAL, "k")
        system.flush(DEADLINE)
    return path


@pytest.mark.parametrize(
    "words", [["agents"], ["journal"], ["mail"], ["timers"], ["sharing"]], ids=" ".join
)
def test_programs_are_told_of_more_as_well(waiting: Path, words: list[str]) -> None:
    """With --json the word goes to stderr, and stdout stays lines of JSON."""
    result = invoke(*words, "--limit", 1, "--json", "--store", waiting)
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr.startswith(("there are more; ", "there are older ones; "))


def test_columns_stay_where_they_are_when_following(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that follow stand below the page, and a column that had to grow stays wide."""
    entries = [
        JournalEntry(number, "K", key, 1, 0.0, "work", 0, 0, 0, "{}")
        for number, key in ((9, "key"), (10, "k"), (11, "a-long-key"), (12, "k"))
    ]
    show(entries[:1], Listing(), LINES)
    widths = _widths(entries[:1])
    print_lines(entries[1:], widths, json=False)
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.index("1970") for line in lines] == [10, 10, 10, 10]
    assert [line.index("work") - line.index("K/") for line in lines] == [7, 7, 14, 14]


def test_a_wide_table_cuts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow screen --wide shows whole values; without it they are cut."""
    monkeypatch.setenv("COLUMNS", "60")
    with AgentSystem.open(tmp_path / "s.db", agents=[]) as system:
        system.state.set(Scope.GLOBAL, "k", "x" * 200)
    words = ("state", "list", "global", "--store", tmp_path / "s.db")
    monkeypatch.setattr("tests.cli.commands._runner.env", {})
    assert "x" * 200 not in invoke(*words).stdout
    assert "x" * 200 in invoke(*words, "--wide").stdout
    assert "x" * 200 not in invoke(*words).stdout
    assert Screen().console.width == 60
