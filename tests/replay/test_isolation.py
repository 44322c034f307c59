"""Replays leave the world alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from perdure import AgentSystem, MemoryStore, Scope
from perdure.persistence.store.store import StoreReader

from .tills import OffByOne, Till, turns

ROOT = Path(__file__).parents[2]


def test_a_replay_opens_no_socket_and_no_file_and_leaves_the_store_as_it_is(
    tmp_path: Path,
) -> None:
    """Under a guard on sockets, processes and files, and byte for byte on the store."""
    path = tmp_path / "tills.db"
    with AgentSystem.open(path, agents=[Till]) as system:
        for amount in (1, 100):
            system.agent(Till, "a").call(Till.pay, amount).get()
            system.agent(Till, "a").call(Till.rate, amount).get()
        system.idle()
        count = len(turns(system))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.replay.guarded", str(path)],
        capture_output=True, text=True, timeout=120, cwd=ROOT, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, f"{count} []\n"), ran.stderr
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {name: text for name, text in after.items() if name in before} == before
    assert set(after) - set(before) <= {"tills.db-wal", "tills.db-shm"}


def test_the_guard_catches_what_leaves_the_process(tmp_path: Path) -> None:
    """The guard of the test above sees a file that is written and a socket, so it can fail."""
    program = (
        "import socket, sys\nfrom tests.replay import guarded\nsys.addaudithook(guarded.guard)\n"
        "guarded.on = True\n"
        "for act in (lambda: open(sys.argv[1], 'w'), lambda: socket.socket()):\n"
        "    try:\n        act()\n    except PermissionError:\n        pass\n"
        "guarded.on = False\nprint(len(guarded.broken))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=True,
    )  # fmt: skip
    assert ran.stdout == "2\n"


def _all_of(store: StoreReader) -> list[object]:
    """Return everything in a store that is not about replays themselves."""
    agents = [store.load(row.kind, row.key) for row in store.agents()]
    journal = [entry for entry in store.journal(limit=1000) if entry.name != "(replay)"]
    return [agents, journal]


def test_a_replay_in_a_running_system_adds_its_place_in_the_audit_and_nothing_else() -> None:
    """Agents, journal, mail, timers, shared keys and the history are as before."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Till]) as system:
        system.agent(Till, "a").call(Till.pay, 100).get()
        system.state.set(Scope.GLOBAL, "k", 1)
        system.idle()
        mail, timers = list(system.mail.each()), list(system.timers.each())
        ids, before = turns(system), _all_of(store)
        system.replay.batch(agents=[OffByOne]).report()
        for run in ids:
            system.replay.modified(run, message={"amount": 7})
        assert _all_of(store) == before
        assert (list(system.mail.each()), list(system.timers.each())) == (mail, timers)
        assert turns(system) == ids
        assert [entry.operation for entry in system.audit.each()] == ["replay"] * 4
