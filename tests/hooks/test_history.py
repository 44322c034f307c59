"""The history of hooks: kept with the commits, packed, found again, bounded, pinned."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Detector,
    ErrorDetails,
    HookHistory,
    Keys,
    MessageDetails,
    Point,
    Retry,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.hooks.history.binding import bound
from perdure.hooks.history.history import History
from perdure.hooks.history.record import HookRecord
from perdure.hooks.history.recording import recording_in
from perdure.hooks.history.retention import HistoryRetention
from perdure.hooks.history.segments import LEAST, SEGMENT, unpack
from perdure.hooks.results import Cancel, Replace
from perdure.persistence.errors import HookCancelled, UnknownHook
from perdure.persistence.records.records import Commit
from perdure.persistence.records.shared_tables import HOOK_PINS, HOOK_RUNS, HOOK_SEGMENTS
from perdure.persistence.records.tables import Change, Order, Row, Table
from perdure.persistence.secrets.detector import SecretWatch
from perdure.persistence.secrets.plain import Plain
from perdure.persistence.store.store import StoreReader
from perdure.url import open_reader
from tests.kit.deadline import DEADLINE

KEYS = StaticKeys({"k1": new_key()})


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    def add(self, number: int) -> int:
        self.state.total += number
        return self.state.total


def decide(details: MessageDetails) -> Cancel | Replace | None:
    """Cancel what is below 0, and halve what is above 100."""
    (number,) = details.args
    assert isinstance(number, int)
    if number < 0:
        return Cancel("below 0")
    return Replace(((number // 2,), {})) if number > 100 else None


def drive(system: AgentSystem, numbers: list[int]) -> None:
    """Send numbers to three agents."""
    for at, number in enumerate(numbers):
        try:
            system.agent(Adder, "abc"[at % 3]).call(Adder.add, number).get(timeout=DEADLINE)
        except HookCancelled:
            assert number < 0


def outcome(number: int) -> str:
    """Return what the hook answers to a number."""
    return "cancel" if number < 0 else "replace" if number > 100 else "continue"


def test_every_execution_is_kept_with_its_commit(tmp_path: Path) -> None:
    """Executions are found by agent, outcome and place, packed or not, in another process."""
    random = Random(7)
    numbers = [random.choice((-1, 5, 200)) for _ in range(300)]
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
        system.hooks.on("message.before", decide, name="decide")
        drive(system, numbers)
        history = system.hooks.history
        assert history.pack() > 0
        drive(system, [1, -1])
        numbers += [1, -1]
        assert [each.outcome for each in history.each()] == [outcome(n) for n in numbers]
        reversed_ = [each.id for each in history.each(newest=True)]
        assert reversed_ == [each.id for each in history.each()][::-1]
        versions = {each.sequence for each in history.each(key="a", outcome="continue")}
        assert versions <= {entry.sequence for entry in system.journal.each("Adder", "a")}
    reader = open_reader(tmp_path / "s.db")
    try:
        kept = History(reader)
        assert kept.count(outcome="cancel") == numbers.count(-1)
        page = kept.list(limit=50, kind="Adder", key="b")
        again = kept.list(limit=500, kind="Adder", key="b", after=page[-1].id)
        at_b = [outcome(n) for at, n in enumerate(numbers[:300]) if at % 3 == 1] + ["cancel"]
        assert [each.outcome for each in [*page, *again]] == at_b
        assert '"args":[-1]' in next(kept.each(outcome="cancel")).context
    finally:
        reader.close()


def test_retention_keeps_what_is_pinned_and_the_newest(tmp_path: Path) -> None:
    """What is too much goes, what nothing came of first; a pinned execution and the newest stay."""
    retention = HistoryRetention(runs=120)
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder], history=retention) as system:
        system.hooks.on("message.before", decide, name="decide")
        history = system.hooks.history
        pinned = []
        for block in range(4):
            drive(system, [5] * 49 + ([-1] if block == 0 else [5]))
            pinned.append(history.list(limit=1, newest=True)[0].id)
            history.pack()
        history.pin(pinned[1])
        assert history.trim() == 2
        left = {each.id for each in history.each()}
        assert pinned[3] in left
        assert pinned[1] not in left
        assert history.count(outcome="cancel") == 1
        assert history.get(pinned[1]).id == pinned[1]
        with pytest.raises(UnknownHook):
            history.get(pinned[2])


@pytest.mark.parametrize("table", [HOOK_SEGMENTS, HOOK_RUNS])
def test_what_is_damaged_loses_only_itself(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    """A block that cannot be read is named, and the executions beside it are found."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", decide, name="decide")
        history = system.hooks.history
        for number in (1, 2, 3):
            drive(system, [number])
            if table is HOOK_SEGMENTS:
                history.pack()
        first, damaged, last = history.each()
        (row,) = system._store.page(table, Order(("first",)), (first.sequence,), 1)
        commit = Commit()
        bad = (*row[:-1], b"no segment")
        commit.with_effects().rows = [Change(table, bad[:1], bad)]
        system._supervisor.append(commit)
        assert system.flush()
        assert [each.id for each in history.each()] == [first.id, last.id]
        assert history.get(last.id) == last
        with pytest.raises(UnknownHook):
            history.get(damaged.id)
    assert f"hook segment {damaged.sequence}" in caplog.text


def test_an_erased_agent_leaves_nothing_in_the_history(tmp_path: Path) -> None:
    """With ``erase`` its executions go with it: packed ones, pinned ones and those just made."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
        system.hooks.on("message.before", decide, name="decide")
        history = system.hooks.history
        drive(system, [424242, 5, 5])
        history.pin(history.list(key="a")[0].id)
        history.pack()
        drive(system, [424242, 5, 5])
        others = [each.context for each in history.each() if each.key != "a"]
        assert system.agent(Adder, "a").delete(erase=True)
        assert system.flush()
        history.pack()
        assert [each.context for each in history.each()] == others
        assert not any(
            "424242" in str(row)
            for row in system._store.page(HOOK_PINS, Order(("sequence",)), None, 9)
        )
    reader = open_reader(tmp_path / "s.db")
    try:
        assert History(reader).count(key="a") == 0
        assert History(reader).count() == len(others) == 4
    finally:
        reader.close()


def test_secrets_stand_in_the_history_as_stars() -> None:
    """What a hook was told is kept without a Secret's plaintext and what looks like one."""
    token = "ghp_" + "a1B2c3D4e5" * 4
    with AgentSystem.open("memory://", agents=[Keeper], keys=Keys(secrets=KEYS)) as system:
        system.hooks.on("message.before", nothing, name="before")
        system.hooks.on("state.before", nothing, name="state")
        keeper = system.agent(Keeper, "a")
        keeper.call(Keeper.put, Secret("pa55w0rd-in-secret")).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        kept = "".join(f"{each}" for each in system.hooks.history.each())
        assert system.hooks.history.count() == 2
    assert "pa55w0rd-in-secret" not in kept
    assert "***" in kept
    assert Plain(SecretWatch(Detector())).record(f'{{"note":"{token}"}}').count(token) == 0


def test_recording_is_switched_on_for_one_agent() -> None:
    """``hooks.record`` has the turns of one agent recorded from then on, and no longer."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        drive(system, [1, 1])
        system.hooks.record(system.agent(Adder, "a"))
        drive(system, [1, 1])
        system.hooks.record(system.agent(Adder, "a"), recorded=False)
        drive(system, [1, 1])
        (recorded,) = system.hooks.history.each(point="turn")
    assert (recorded.key, recording_in(recorded).result) == ("a", "2")


def test_what_an_error_hook_did_is_kept_when_the_turn_begins_again() -> None:
    """Each execution stands in the history, also those of a turn that a Retry undid."""
    with AgentSystem.open("memory://", agents=[Stubborn]) as system:

        @system.hooks.on("error", name="again")
        def again(details: ErrorDetails) -> Retry:
            return Retry(attempts=4)

        assert system.agent(Stubborn, "a").call(Stubborn.work, 2).get(timeout=DEADLINE) == 3
        assert system.idle(DEADLINE)
        assert [each.outcome for each in system.hooks.history.each()] == ["retry", "retry"]


def test_what_one_batch_has_left_is_a_few_rows(tmp_path: Path) -> None:
    """Many commits share few rows, which become segments as they are; nothing is lost."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
        history = system.hooks.history
        with system._supervisor.committer.promise():  # written together, when the block ends
            for number in range(2 * SEGMENT + LEAST // 2):
                commit = Commit()
                commit.history = [record_with(f"[{number}]")]
                system._supervisor.append(commit)
        rows = system._store.page(HOOK_RUNS, Order(("first",)), None, 9)
        assert [row[4] for row in rows] == [SEGMENT, SEGMENT, LEAST // 2]
        found = list(history.each())
        assert [each.context for each in found] == [f"[{n}]" for n in range(len(found))]
        assert list(history.each(newest=True)) == found[::-1]
        assert history.get(found[SEGMENT].id) == found[SEGMENT]
        assert history.count(hook="another") == 0
        assert [history.pack() for _ in range(4)] == [SEGMENT, SEGMENT, LEAST // 2, 0]
        packed = system._store.page(HOOK_SEGMENTS, Order(("first",)), None, 9)
        assert packed[:2] == rows[:2]
        assert list(history.each()) == found


@pytest.mark.parametrize("newest", [False, True])
def test_what_is_packed_while_it_is_read_is_met_once(*, newest: bool) -> None:
    """Whoever reads in either direction meets each execution once, whatever is packed meanwhile."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        history = system.hooks.history
        for number in range(3 * SEGMENT):
            commit = Commit()
            commit.history = [record_with(f"[{number}]")]
            system._supervisor.append(commit)
            if number % 7 == 0 or number == 3 * SEGMENT - 1:
                assert system.flush()
        expected = [each.id for each in history.each(newest=newest)]
        assert len(set(expected)) == 3 * SEGMENT
        reader: Any = PackingReader(system._store, history)
        assert [each.id for each in History(reader).each(newest=newest)] == expected
        assert history.pack() == 0


class PackingReader:
    """A store in which some is packed before each look at what is not."""

    def __init__(self, store: StoreReader, history: HookHistory) -> None:
        self._store = store
        self._history = history

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        if table is HOOK_RUNS:
            self._history.pack()
        return self._store.page(table, order, after, limit)


def test_a_secret_among_many_is_hidden_alone() -> None:
    """Of executions that are stored together only those with a secret are changed."""
    token = "ghp_" + "a1B2c3D4e5" * 4
    redact = Plain(SecretWatch(Detector())).record
    contexts = ['{"args":["plain"]}', f'{{"args":["{token}"]}}', '{"args":[2]}']
    commit = Commit()
    commit.sequence = 7
    commit.history = [record_with(context) for context in contexts]
    (row,) = bound(redact, [commit])
    found = [(each.id, each.context) for each in unpack(row)]
    assert found == [("7.0", contexts[0]), ("7.1", '{"args":["***"]}'), ("7.2", contexts[2])]


def test_what_cannot_be_looked_through_is_not_kept_and_harms_nothing() -> None:
    """Where looking for secrets fails, that context is left out and the others are there."""

    def redact(text: str) -> str:
        if "deep" in text:
            raise RecursionError
        return text

    commits = [Commit(), Commit()]
    for sequence, commit in enumerate(commits, 1):
        commit.sequence = sequence
        commit.history = [record_with('["deep"]' if sequence == 1 else "[1]")]
    (row,) = bound(redact, commits)
    assert [each.context for each in unpack(row)] == ['"not kept: RecursionError"', "[1]"]


@dataclass
class Odd:
    """Details of a program's own point, which may be anything."""

    kind: object = 7
    key: object = None
    name: object = "half \ud800"
    correlation: object = "none"


def test_a_point_of_a_program_spoils_nothing_for_the_others() -> None:
    """Whatever its details have under the names of ours, all that is kept can be read."""
    point = Point.custom("odd.thing", Odd)
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on(point, nothing, name="odd")
        system.hooks.on("message.before", nothing, name="plain")
        system.hooks.run(point, Odd())
        drive(system, [1])
        assert system.hooks.history.pack() == 2
        found = [(each.kind, each.key, each.name) for each in system.hooks.history.each()]
    assert found == [("7", "null", "half \\ud800"), ("Adder", "a", "add")]


def record_with(context: str) -> HookRecord:
    """Return an execution that was told something."""
    return HookRecord(
        "look", "1", "message.before", "Adder", "a", "add", 3, 1.0, 0.1, "continue", context, "",
        "", 0,
    )  # fmt: skip


def nothing(details: object) -> None:
    """Let all of it go on."""


class Safe(State):
    key: Secret[str] | None = None


class Keeper(Agent[Safe]):
    def put(self, key: Secret[str]) -> None:
        self.state.key = key


class Stubborn(Agent[Total]):
    def work(self, times: int) -> int:
        if self.turn.attempt <= times:
            raise ValueError("not yet")
        return self.turn.attempt


class Bill(State):
    total: int = 0
    rate: float = 0.0


class Desk(Agent[Bill]):
    record = True

    def place(self, number: int) -> float:
        self.state.rate = self.outside("rate", lambda: 1.5)
        self.state.total += number
        self.system.agent(Adder, "a").cast(Adder.add, number)
        self.after(60, self.place, number, name="again")
        if number < 0:
            raise ValueError("below 0")
        other = self.system.agent(Adder, "b").call(Adder.add, 2).get()
        self.scopes.get(self.scopes.own, "seen", default=None)
        self.scopes.set(self.scopes.own, "seen", number)
        return self.state.total * self.state.rate + other + self.random.random() + self.now() * 0


def test_a_recorded_turn_has_all_that_went_in(tmp_path: Path) -> None:
    """With ``record = True`` the history has the message, what was read, asked and called."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder, Desk]) as system:
        desk = system.agent(Desk, "a")
        result = desk.call(Desk.place, 4).get(timeout=DEADLINE)
        with pytest.raises(ValueError, match="below 0"):
            desk.call(Desk.place, -1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        good, bad = (recording_in(each) for each in system.hooks.history.each(kind="Desk"))
    assert (good.name, good.body, good.version, good.failed) == ("place", "[[4],{}]", 0, False)
    assert good.result == str(result)
    assert [call.result for call in (*good.outside, *good.asks)] == ["1.5", "2"]
    assert good.sends == [("Adder", "a", "add", "[[4],{}]")]
    assert good.timers == [("again", "place", "[[4],{}]", None)]
    assert [(table, key[3], row) for table, key, row in good.reads if table == "scoped"] == [
        ("scoped", "seen", None)
    ]
    assert (bad.failed, bad.result) == (True, "ValueError: below 0")


@pytest.mark.parametrize("packed", [False, True])
def test_the_next_process_writes_over_nothing(tmp_path: Path, *, packed: bool) -> None:
    """What hooks did in turns that left nothing else is kept when a store is opened again."""
    known: list[str] = []
    for number in range(1, 4):
        with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
            system.hooks.on("message.before", decide, name="decide")
            drive(system, [1, -1, -2, -3])
            assert system.idle(DEADLINE)
            found = [run.id for run in system.hooks.history.each()]
            assert (len(found), found[: len(known)]) == (4 * number, known)
            assert not packed or system.hooks.history.pack() == 4
            known = found
