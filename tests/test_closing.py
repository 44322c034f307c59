"""The end of a system says what is lost and why, and gives the store back in any case."""

import contextlib
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure.system
from perdure import Agent, AgentSystem, Backoff, MemoryStore, Saving, State
from perdure.persistence.errors import CommitsLost, StoreError, StoreUnavailable
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate

QUICK = Saving(backoff=Backoff(first=0.01, longest=0.02))


class CountState(State):
    count: int = 0


class Counter(Agent[CountState]):
    """Count, and stand still on demand."""

    gate = Gate()

    def add(self) -> int:
        self.state.count += 1
        return self.state.count

    def stand(self) -> None:
        self.gate.pass_through()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a with statement wait shortly for a store that does not come back."""
    monkeypatch.setattr(perdure.system, "CLOSE_SECONDS", 0.2)


@pytest.fixture
def broken() -> Iterator[tuple[FaultyStore, AgentSystem]]:
    """Give a system that has taken two messages and cannot save them."""
    store = FaultyStore()
    system = AgentSystem.open(store.open(), agents=[Counter], saving=QUICK)
    counter = system.agent(Counter, "a")
    assert counter.call(Counter.add).get(timeout=DEADLINE) == 1
    store.fail()
    counter.cast(Counter.add)
    counter.cast(Counter.add)
    yield store, system
    system.close()


def again(store: FaultyStore) -> int:
    """Open the store when it is in order again, and count once more."""
    store.mend()
    with AgentSystem.open(store.open(), agents=[Counter]) as system:
        return system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE)


def test_lost_commits_are_raised(broken: tuple[FaultyStore, AgentSystem]) -> None:
    """A with statement raises what could not be saved, with its cause; the store is free again."""
    store, system = broken
    told = r"with \d+ commits that could not .*down"
    with pytest.raises(CommitsLost, match=told) as lost, system:
        pass
    assert lost.value.commits >= 2
    assert isinstance(lost.value.__cause__, StoreUnavailable)
    assert isinstance(lost.value, StoreError)
    assert again(store) == 2


def test_an_error_under_way_is_not_replaced(broken: tuple[FaultyStore, AgentSystem]) -> None:
    """The block's own error goes on, and carries the loss as a note."""
    store, system = broken
    with pytest.raises(KeyError, match="mine") as raised, system:
        raise KeyError("mine")
    (note,) = raised.value.__notes__
    assert "commits that could not be saved" in note
    assert again(store) == 2


def test_close_tells_by_its_result(
    broken: tuple[FaultyStore, AgentSystem], caplog: pytest.LogCaptureFixture
) -> None:
    """close() returns False, logs the loss once, and raises nothing; nor does the block then."""
    store, system = broken
    with system:
        assert not system.close(0.1)
        assert not system.close(0.1)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "commits are not saved (the store is down, as the test says)" in told[0]
    assert again(store) == 2


def test_a_turn_that_does_not_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """If nothing is lost, the true reason is logged, and nothing is raised."""
    Counter.gate = Gate()
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Counter]) as system:
        assert system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE) == 1
        system.agent(Counter, "a").cast(Counter.stand)
        Counter.gate.wait()
    Counter.gate.open()
    (told,) = [each.getMessage() for each in caplog.records if "completely" in each.getMessage()]
    assert told.endswith("Counter/a did not end in time; a handler goes on in a thread")
    with AgentSystem.open(store, agents=[Counter]) as system:
        assert system.agent(Counter, "a").call(Counter.add).get(timeout=DEADLINE) == 2


# A lease that cannot be released in the file.

SECOND = """
import sys
from perdure import AgentSystem, errors
try:
    AgentSystem.open(sys.argv[1], agents=[]).close()
except errors.StoreOwned:
    print("owned")
else:
    print("opened")
"""


def second_process(path: Path) -> str:
    """Say how another process fares with a store."""
    run = subprocess.run(
        [sys.executable, "-c", SECOND, str(path)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return run.stdout.strip()


def forbid(path: Path) -> None:
    """Have the file refuse that a lease is released, as a full disk does."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE OF released ON lease"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )


def allow(path: Path) -> None:
    """Let leases be released again."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER full")


def test_a_lease_that_cannot_be_released_binds_others_only(tmp_path: Path) -> None:
    """This process knows that it has closed the store and opens it again; others see an owner."""
    path = tmp_path / "store.db"
    for expected in (1, 2):
        with AgentSystem.open(path, agents=[Counter]) as system:
            counter = system.agent(Counter, "a")
            assert counter.call(Counter.add).get(timeout=DEADLINE) == expected
            forbid(path)
        allow(path)
        assert second_process(path) == "owned"
    with AgentSystem.open(path, agents=[Counter]):
        assert second_process(path) == "owned"
    assert second_process(path) == "opened"


def test_a_lease_that_was_given_up_frees_no_other(tmp_path: Path) -> None:
    """A system that has the store open now is not overlooked for one that had it before."""
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[Counter]):
        forbid(path)
    allow(path)
    with (
        AgentSystem.open(path, agents=[Counter]),
        pytest.raises(StoreError, match="that is this process: use the AgentSystem it has open"),
    ):
        AgentSystem.open(path, agents=[Counter])
