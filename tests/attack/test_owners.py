"""G5, one owner: who may write, who is refused, and what becomes of an owner that was replaced."""

import os
import queue
import re
import shutil
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem
from perdure.cli.commands.run import Stop, _watch_ownership
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import CommitsLost, Fenced, StoreOwned
from perdure.persistence.sqlite import schema
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import LEASE_SECONDS, RENEW_SECONDS
from tests.attack.agents import AGENTS, Tally
from tests.attack.children import Child
from tests.kit.children import finished
from tests.kit.deadline import DEADLINE


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the path of a store that is not there yet."""
    return tmp_path / "store.db"


def opened(store: Path, *, takeover: bool = False) -> AgentSystem:
    """Open a store."""
    return AgentSystem.open(store, agents=AGENTS, takeover=takeover)


def add(system: AgentSystem, number: int) -> int:
    """Ask a tally to add a number; return how many it has added."""
    return system.agent(Tally, "t").call(Tally.add, number).get()


def token(system: AgentSystem) -> int:
    """Return the fencing token of a system."""
    return system._store.lease.token


def edit_lease(store: Path, **values: object) -> None:
    """Change the lease row of a store that nobody has open."""
    with closing(sqlite3.connect(store)) as connection:
        for column, value in values.items():
            connection.execute(f"UPDATE lease SET {column} = ?", (value,))  # noqa: S608
        connection.commit()


def test_a_second_process_is_refused_and_told_who_owns_the_store(store: Path) -> None:
    """StoreOwned names the owner's host, process id and start; the owner is not disturbed."""
    with Child(store) as child:
        assert child.ask("add", 1) == ["did", 1]
        with pytest.raises(StoreOwned) as refusal:
            opened(store)
        assert (refusal.value.host, refusal.value.pid) == (socket.gethostname(), child.pid)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", refusal.value.started)
        for part in (str(store), refusal.value.host, str(child.pid), refusal.value.started):
            assert part in str(refusal.value)
        assert child.ask("add", 1) == ["did", 2]
        assert child.end() == 0


def test_a_killed_owner_is_replaced_at_once(store: Path) -> None:
    """After SIGKILL the next opener has a higher token and everything that was acknowledged."""
    with Child(store) as child:
        before = child.first[1]
        assert child.ask("add", 1) == ["did", 1]
        child.kill()
        with opened(store) as system:
            assert token(system) > before
            assert add(system, 2) == 2


def test_an_owner_that_nobody_waited_for_is_dead(store: Path) -> None:
    """A killed process whose parent has not asked for its exit code does not hold the store."""
    with Child(store) as child:
        os.kill(child.pid, 9)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with opened(store) as system:
            assert add(system, 1) == 1


def test_a_frozen_owner_is_alive_until_somebody_takes_over(store: Path) -> None:
    """SIGSTOP does not cost the lease; takeover does, and then nothing of the old owner counts."""
    with Child(store) as child:
        assert child.ask("add", 1) == ["did", 1]
        child.freeze()
        with pytest.raises(StoreOwned):
            opened(store)
        with opened(store, takeover=True) as system:
            assert token(system) > child.first[1]
            assert add(system, 2) == 2
            child.begin("add", 100)
            child.thaw()
            answer = child._event()
            assert answer[:2] == ["failed", "Fenced"], answer
            assert child.ask("tell", 100)[:2] == ["failed", "Fenced"]
            assert child.ask("push", 3)[:2] == ["failed", "Fenced"]
            assert child.end() == 0
            # The old owner's close gives back nothing that is not its own.
            with Child(store) as third:
                assert third.first[:2] == ["refused", "StoreOwned"]
            assert add(system, 3) == 3
            notes = system.journal.list("Tally", "t")
        assert [entry.delta.count("100") for entry in notes] == [0, 0, 0]
    with opened(store) as system:
        assert [row.key for row in system.agents.each()] == ["t"]


def test_work_under_way_in_a_replaced_owner_is_refused(store: Path) -> None:
    """Turns that wait for their commit when the lease goes are answered with Fenced."""
    old = opened(store)
    add(old, 1)
    with opened(store, takeover=True) as new:
        futures = [old.agent(Tally, "t").call(Tally.add, 100) for _ in range(50)]
        for future in futures:
            with pytest.raises(Fenced):
                future.get()
        assert add(new, 2) == 2
    with pytest.raises(CommitsLost, match="was taken over"), old:
        pass


def test_two_systems_in_one_process(store: Path) -> None:
    """The second is refused as another process would be, and may come when the first is closed."""
    with opened(store) as first:
        add(first, 1)
        with pytest.raises(StoreOwned) as refusal:
            opened(store)
        assert refusal.value.pid == os.getpid()
        assert add(first, 2) == 2
    with opened(store) as second:
        assert add(second, 3) == 3


def test_a_reader_needs_no_lease(store: Path) -> None:
    """`open_reader` reads beside a live owner what that has acknowledged."""
    with Child(store) as child:
        assert child.ask("add", 1) == ["did", 1]
        program = (
            "import sys; from perdure.url import open_reader\n"
            "print([row.key for row in open_reader(sys.argv[1]).agents()])"
        )
        assert finished("-c", program, store)[0] == "['t']\n"
        assert child.end() == 0


def test_a_fork_is_not_the_owner(store: Path) -> None:
    """A forked child can neither send, change nor release anything through what it inherited."""
    with Child(store) as child:
        assert child.ask("add", 1) == ["did", 1]
        what, told = child.ask("fork")
        assert what == "did"
        assert [event[:2] for event in told[:3]] == [["failed", "SystemClosed"]] * 3
        assert told[3][:2] == ["failed", "StoreOwned"]
        assert str(child.pid) in told[3][2]
        assert told[4][0] == "did"
        assert child.ask("add", 2) == ["did", 2]
        with pytest.raises(StoreOwned):
            opened(store)
        assert child.end() == 0
    with opened(store) as system:
        assert add(system, 3) == 3


# What a fork of an owner gets from what it has inherited, and from opening that anew, also when the
# owner is gone; and that it may open what was closed before the fork.
FORKED = """
import os, sys
from perdure import AgentSystem, open_reader
from perdure.persistence.errors import StoreUnavailable
from tests.attack.agents import AGENTS

path, other = sys.argv[1:]

def refused(step):
    try:
        step()
    except StoreUnavailable as error:
        return "was open when this process was forked" in str(error)

AgentSystem.open(other, agents=AGENTS).close()
system, reader = AgentSystem.open(path, agents=AGENTS), open_reader(path)
ended, end = os.pipe()
if child := os.fork():
    os.waitpid(child, 0)
    if os.fork():
        os._exit(0)  # as a process does that becomes a daemon
    os.close(end)
    os.read(ended, 1)
steps = [
    lambda: list(system.agents.each()), lambda: list(reader.agents()), lambda: open_reader(path),
    lambda: AgentSystem.open(path, agents=AGENTS),
]
print([refused(step) for step in steps], flush=True)
reader.close()
AgentSystem.open(other, agents=AGENTS).close()
os._exit(0)
"""


def test_a_fork_of_an_owner_has_no_use_of_its_file(store: Path, tmp_path: Path) -> None:
    """SQLite has no lock in a fork, so it is refused: a reader beside it would end its process."""
    told, _ = finished("-c", FORKED, store, tmp_path / "other.db")
    assert told.splitlines() == [str([True] * 4)] * 2
    with opened(store) as system:
        assert add(system, 1) == 1


def test_a_reused_process_id_is_another_process(store: Path) -> None:
    """A lease of a process id that is somebody else's now is free; the true owner's is not."""
    with Child(store) as child:
        child.kill()
    with closing(sqlite3.connect(store)) as connection:
        (start,) = connection.execute("SELECT incarnation FROM lease").fetchone()
    edit_lease(store, pid=os.getppid(), incarnation=str(int(start) - 1), released=0)
    with opened(store) as system:
        add(system, 1)
    stat = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    edit_lease(store, pid=os.getppid(), incarnation=stat[19], released=0)
    with pytest.raises(StoreOwned):
        opened(store)


@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
def test_an_owner_in_another_realm_lives_until_its_lease_expires(store: Path, host: str) -> None:
    """Of another host, boot or process-id namespace only the renewals are known."""
    with Child(store) as child:
        child.kill()
    edit_lease(store, host=host, realm="another realm", pid=1, released=0, renewed=time.time())
    with pytest.raises(StoreOwned) as refusal:
        opened(store)
    assert (refusal.value.host, refusal.value.pid) == (host, 1)
    edit_lease(store, renewed=time.time() - LEASE_SECONDS - 1)
    with opened(store) as system:
        assert add(system, 1) == 1


def test_an_owner_renews_its_lease(store: Path) -> None:
    """A live owner's renewals keep those away who cannot see its process."""
    clock = VirtualClock()
    with AgentSystem.open(store, agents=AGENTS, clock=clock) as system:
        with closing(sqlite3.connect(store)) as connection:
            connection.execute("UPDATE lease SET renewed = 0")
            connection.commit()
            clock.advance(RENEW_SECONDS)
            (renewed,) = connection.execute("SELECT renewed FROM lease").fetchone()
        assert renewed > 0
        add(system, 1)


def test_an_idle_owner_notices_that_it_was_replaced(store: Path) -> None:
    """`perdure run` is told to stop at the next renewal, also when there was nothing to save."""
    clock, stops = VirtualClock(), queue.SimpleQueue[Stop]()
    with (
        AgentSystem.open(store, agents=AGENTS, clock=clock) as old,
        _watch_ownership(old, stops),
        opened(store, takeover=True) as new,
    ):
        add(new, 1)
        clock.advance(RENEW_SECONDS)
        assert isinstance(stops.get(timeout=10).error, Fenced)


# One process for each opener, forked from one that has done the imports; a byte starts them all.
RACE = """
import os, sys
import sqlite_utils
from perdure import AgentSystem
from perdure.persistence.errors import StoreOwned
from tests.attack.agents import AGENTS

def opener(path, start, end, won):
    os.read(start, 1)
    try:
        system = AgentSystem.open(path, agents=AGENTS)
    except StoreOwned:
        os.write(won, b"-")
    except BaseException:
        os.write(won, b"!")
        raise
    else:
        os.write(won, b"+")
        os.read(end, 1)  # not from start: it would take the go of an opener that is late
        system.close()
    os._exit(0)

def race(path, openers=5):
    (start, go), (end, over), (told, won) = pipes = os.pipe(), os.pipe(), os.pipe()
    for _ in range(openers):
        if os.fork() == 0:
            opener(path, start, end, won)
    os.write(go, b"." * openers)
    outcome = b"".join(os.read(told, 1) for _ in range(openers))
    os.write(over, b"." * openers)
    for _ in range(openers):
        os.wait()
    for pipe in pipes:
        os.close(pipe[0])
        os.close(pipe[1])
    print("".join(sorted(outcome.decode())))

for path in sys.argv[1:]:
    race(path)
"""


@pytest.mark.parametrize("fresh", [True, False])
def test_of_many_openers_at_once_one_wins(tmp_path: Path, *, fresh: bool) -> None:
    """Five processes open one path at the same moment: one owns it, the others are told so."""
    stores = [tmp_path / f"{number}.db" for number in range(8)]
    if not fresh:
        for store in stores:
            with opened(store) as system:
                add(system, 1)
    outcomes, errors = finished("-c", RACE, *stores)
    assert outcomes.split() == ["+----"] * len(stores), errors
    with opened(stores[0]) as system:
        assert add(system, 1) == 1 + (not fresh)


def test_of_two_that_switch_a_new_file_one_waits(store: Path) -> None:
    """An opener that SQLite refuses at once, because another holds the file, waits for it."""
    refused = threading.Event()

    class Refused(sqlite3.Connection):
        """Tell when the switch was refused and the wait begins."""

        def execute(self, query: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
            if query.startswith("BEGIN"):
                refused.set()
            return super().execute(query, parameters)

    def switch() -> object:
        connection = sqlite3.connect(store, isolation_level=None, factory=Refused)
        with closing(connection):
            schema.set_up_writer(connection, sync="power")
            return connection.execute("PRAGMA journal_mode").fetchone()[0]

    with (
        closing(sqlite3.connect(store, isolation_level=None)) as other,
        ThreadPoolExecutor() as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        mode = pool.submit(switch)
        try:
            assert refused.wait(DEADLINE)
        finally:
            other.execute("COMMIT")
        assert mode.result(DEADLINE) == "wal"


def test_a_store_that_is_being_made_is_not_taken_for_another_programs(store: Path) -> None:
    """Whoever looks at a file while another process makes a store of it sees one state of it."""

    class Overtaken(sqlite3.Connection):
        """Another process makes the store after the first thing that is read."""

        def execute(self, query: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
            cursor = super().execute(query, parameters)
            if "application_id" in query:
                SqliteStore(store).close()
            return cursor

    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(store, factory=Overtaken)) as connection:
        assert not schema.check(connection, str(store))
    with closing(sqlite3.connect(store)) as connection:
        assert schema.check(connection, str(store))


def test_a_copy_is_not_owned_by_the_owner_of_the_original(store: Path) -> None:
    """A copy of a store is opened although the original's owner lives; the original is refused."""
    copy = store.with_name("copy.db")
    with opened(store) as system:
        system.agent(Tally, "t").call(Tally.add, 1).get()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{store}{suffix}", f"{copy}{suffix}")
        with pytest.raises(StoreOwned):
            opened(store)
        with opened(copy) as other:
            assert other.agent(Tally, "t").call(Tally.add, 1).get() == 2
        assert system.agent(Tally, "t").call(Tally.add, 1).get() == 2
