"""Messages that end their process: they are counted over its ends, and no other message is."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import open_reader
from perdure.persistence.records.records import DeadLetter
from perdure.persistence.records.shared_tables import ATTEMPTS, HOOK_QUEUE
from tests.kit.children import started

ATTEMPTS_OF_A_MESSAGE = 3
MOST_KILLS = 60


def live(store: Path, task: str, **more: str) -> list[list[Any]]:
    """Run a process until it closes or its own messages kill it; return what it said."""
    with started("-m", "tests.attack.fatal", store, task, **more) as process:
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        process.wait()
    return [json.loads(line) for line in lines if line.endswith(b"]")]


def lives(store: Path, task: list[list[str]], **more: str) -> list[list[list[Any]]]:
    """Run one process after the other until one is not killed; return what each has said."""
    said = [live(store, json.dumps(task), **more)]
    while said[-1][-1] != ["closed"]:
        assert len(said) < MOST_KILLS, "it is killed for ever"
        said.append(live(store, "run", **more))
    return said


def died(said: list[list[list[Any]]], what: str) -> int:
    """Return how many processes a message has ended."""
    return sum(event[0] == "die" and event[2] == what for each in said for event in each)


def ended(store: Path) -> tuple[list[DeadLetter], dict[tuple[str, str], list[str]]]:
    """Return the dead letters of a closed store, and what each agent has done.

    Nothing else is left: no mail, and no counts.
    """
    reader = open_reader(store)
    try:
        assert not reader.mailbox()
        assert not reader.keys(ATTEMPTS, None, 9)
        done = {}
        for head in reader.agents():
            agent = reader.load(head.kind, head.key)
            assert agent is not None
            items = reader.log_items(head.agent, "done", 0, agent.log_lengths.get("done", 0))
            done[head.kind, head.key] = [json.loads(item) for item in items]
        return reader.dead_letters(), done
    finally:
        reader.close()


def test_a_message_that_ends_its_process_becomes_a_dead_letter(tmp_path: Path) -> None:
    """It is begun its attempts and once more; the mail behind it is handled, once."""
    store = tmp_path / "s.db"
    said = lives(store, [["Mortal/a", "die", "x"], ["Mortal/a", "note", "y"]])
    assert died(said, "x") == ATTEMPTS_OF_A_MESSAGE + 1
    letters, done = ended(store)
    assert [(letter.name, letter.attempts) for letter in letters] == [("die", 3)]
    assert "process ended" in letters[0].reason
    assert done["Mortal", "a"] == ["y"]
    assert ["dead", "a", "die", 3] in [event for each in said for event in each]


def test_a_deep_one_is_found_and_nobody_dies_for_it(tmp_path: Path) -> None:
    """Behind much mail that is well, one that kills is counted as soon as it is met twice."""
    store = tmp_path / "s.db"
    before = [["Mortal/a", "note", f"before {n}"] for n in range(40)]
    behind = [["Mortal/a", "note", f"behind {n}"] for n in range(5)]
    said = lives(store, [*before, ["Mortal/a", "die", "x"], *behind])
    assert died(said, "x") <= ATTEMPTS_OF_A_MESSAGE + 2
    letters, done = ended(store)
    assert [letter.name for letter in letters] == ["die"]
    assert done["Mortal", "a"] == [row[2] for row in (*before, *behind)]


def test_who_is_always_cut_off_by_another_is_not_counted_for_it(tmp_path: Path) -> None:
    """Handlers that are under way whenever another's message kills are not taken for its cause."""
    store = tmp_path / "s.db"
    slow = [[f"Mortal/slow {n}", "slow", "done"] for n in range(6)]
    lives(store, [*slow, ["Mortal/a", "die", "x"]])
    letters, done = ended(store)
    assert [letter.name for letter in letters] == ["die"]
    for agent, _, _ in slow:
        assert done["Mortal", agent.removeprefix("Mortal/")] == ["done"]


@pytest.mark.parametrize("seed", range(2))
def test_only_what_kills_or_fails_is_buried(tmp_path: Path, seed: int) -> None:
    """Whatever order mail comes in: what is well is handled once, and the rest is a dead letter."""
    chance, store = Random(seed), tmp_path / "s.db"
    methods = ["note"] * 30 + ["fail"] * 3 + ["die", "fail_then_die"]
    chance.shuffle(methods)
    task = [
        [f"Mortal/{chance.randrange(3)}", method, f"{method} {n}"]
        for n, method in enumerate(methods)
    ]
    said = lives(store, task)
    letters, done = ended(store)
    assert sorted(json.loads(letter.body)[0][0] for letter in letters) == sorted(
        what for _, method, what in task if method != "note"
    )
    for kind, key in done:
        told = [what for agent, m, what in task if agent == f"{kind}/{key}" and m == "note"]
        assert done[kind, key] == told
    for what in (what for _, method, what in task if "die" in method):
        # One that failed before was counted; no other is counted for it.
        assert ATTEMPTS_OF_A_MESSAGE - 1 <= died(said, what) <= 2 * ATTEMPTS_OF_A_MESSAGE


def test_a_timer_that_ends_its_process_becomes_a_dead_letter(tmp_path: Path) -> None:
    """A tick that was due in an earlier process is counted before it is handled."""
    store = tmp_path / "s.db"
    said = lives(store, [["Mortal/a", "set_timer", "t"]])
    # Once with the message that sets it, which then is not durable, and once more before it is due
    # in an earlier process.
    assert ATTEMPTS_OF_A_MESSAGE <= died(said, "t") <= ATTEMPTS_OF_A_MESSAGE + 2
    letters, _ = ended(store)
    assert [letter.name for letter in letters] == ["die"]


def test_mail_of_an_agent_that_is_saved_now_and_then_is_counted(tmp_path: Path) -> None:
    """What agents send it ends with a turn of its own if it was begun before."""
    store = tmp_path / "s.db"
    said = lives(store, [["Mortal/a", "pass_on", "x"]])
    assert died(said, "x") <= ATTEMPTS_OF_A_MESSAGE + 2  # once before it was durable
    letters, done = ended(store)
    assert [(letter.kind, letter.name) for letter in letters] == [("Saved", "die")]
    assert done["Saved", "a"] == ["x"]


def test_a_deferred_hook_that_ends_its_process_is_given_up(tmp_path: Path) -> None:
    """Each of its attempts is counted before it is made; the other calls are made."""
    store = tmp_path / "s.db"
    task = [["Mortal/a", "note", "fine"], ["Mortal/b", "note", "fatal"]]
    said = lives(store, task, DEFERRED="1")
    calls = [event for each in said for event in each if event[0] == "hook"]
    assert 5 <= calls.count(["hook", "b"]) <= 6
    assert calls.count(["hook", "a"]) >= 1
    reader = open_reader(store)
    try:
        assert not reader.keys(HOOK_QUEUE, None, 9)
        assert not reader.keys(ATTEMPTS, None, 9)
    finally:
        reader.close()
