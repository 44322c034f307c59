"""A store is operated from the command line, by its owner while one lives and without one."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from perdure import Agent, AgentSystem, RestartPolicy, State, open_reader
from perdure.persistence.errors import StoreOwned
from perdure.service import protocol
from perdure.service.client import find_owner
from perdure.service.place import address, socket_of
from perdure.service.protocol import LONGEST_LINE, VERSION, StatusWish
from tests.cli.commands import Running, command, invoke, records
from tests.cli.conftest import fill
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a store with agents, mail and dead letters."""
    fill(tmp_path / "shop.db")
    return tmp_path / "shop.db"


def running(store: Path) -> Running:
    """Return a process that owns a store and runs its agents."""
    return Running("tests.cli.programs:tick", "--store", store)


STEPS = [
    (("agents", "pause", "Desk", "emea"), "pause", "paused"),
    (("agents", "resume", "Desk", "emea"), "resume", "active"),
    (("agents", "stop", "Desk", "emea"), "stop", "stopped"),
    (("agents", "restart", "Desk", "emea"), "restart", "active"),
    (("agents", "delete", "Desk", "emea"), "delete", None),
]


def status(store: Path, key: str) -> str | None:
    """Return an agent's durable status."""
    reader = open_reader(store)
    try:
        return {row.key: row.status for row in reader.agents("Desk")}.get(key)
    finally:
        reader.close()


@pytest.mark.parametrize("owned", [True, False])
def test_steps_are_taken_with_and_without_an_owner(shop: Path, owned: bool) -> None:  # noqa: FBT001
    """Each step is durable when the command ends, whoever took it; what is not there is told."""

    def steps() -> None:
        for words, action, then in STEPS:
            (done,) = records(*words, "--store", shop)
            assert (done["action"], done["done"]) == (action, True)
            assert status(shop, "emea") == then
        for verb in ("pause", "delete"):
            result = invoke("agents", verb, "Desk", "nobody", "--store", shop)
            assert (result.exit_code, "Desk/nobody" in result.stderr) == (5, True)
        assert invoke("agents", "resume", "Desk", "emea", "--store", shop).exit_code == 5
        assert invoke("agents", "pause", "Desk", "apac", "--store", shop).exit_code == 1
        (done,) = records("isolate", "Desk", "apac", "--reason", "it leaks", "--store", shop)
        assert done["done"] is True
        (entry,) = records("audit", "--operation", "isolate: it leaks", "--store", shop)
        assert entry["who"] == "system"
        assert records("restore", "Desk", "apac", "--store", shop)[0]["done"] is True
        assert records("restore", "Desk", "apac", "--store", shop)[0]["done"] is False
        assert records("flush", "--store", shop)[0]["done"] is True

    if owned:
        with running(shop) as owner:
            owner.until("ticking")
            steps()
            (facts,) = records("stats", "--store", shop)
            assert facts["pid"] == owner.process.pid
            assert facts["saves"]["breaker"] == "closed"
    else:
        steps()
        assert records("stats", "--store", shop) == [{"owner": None}]


@pytest.mark.parametrize("owned", [True, False])
def test_letters_are_chosen_by_kind(shop: Path, owned: bool) -> None:  # noqa: FBT001
    """--kind and --all move every letter there is, and say each of them."""

    def moves() -> None:
        assert records("dead-letters", "discard", "--kind", "Gatekeeper", "--store", shop) == []
        gone = records("dead-letters", "discard", "--kind", "Desk", "--store", shop)
        assert [each["action"] for each in gone] == ["discarded", "discarded"]
        assert records("dead-letters", "--store", shop) == []
        assert records("dead-letters", "requeue", "--all", "--store", shop) == []
        assert invoke("dead-letters", "discard", "7", "--store", shop).exit_code == 5
        assert invoke("dead-letters", "list", "--all", "--store", shop).exit_code == 2

    if owned:
        with AgentSystem.open(shop, agents=[]):
            moves()
    else:
        moves()


def test_a_killed_owner_leaves_no_hindrance(shop: Path) -> None:
    """The socket of an owner that was killed is passed over by tools, and replaced by the next."""
    with running(shop) as owner:
        owner.until("ticking")
        found = find_owner(shop)
        assert found is not None
        assert found.pid == owner.process.pid
        found.close()
        owner.signal(signal.SIGKILL)
        owner.exit_code()
    assert socket_of(shop).exists()
    assert find_owner(shop) is None
    assert records("agents", "pause", "Desk", "emea", "--store", shop)[0]["done"] is True
    with AgentSystem.open(shop, agents=[]):
        found = find_owner(shop)
        assert found is not None
        assert next(found.ask(StatusWish()))["pid"] == os.getpid()
    assert not socket_of(shop).exists()


def test_an_owner_that_dies_while_it_is_asked_is_told(shop: Path) -> None:
    """A watcher of an owner that is killed ends with a sentence and its exit code."""
    with running(shop) as owner:
        owner.until("ticking")
        watcher = subprocess.Popen(
            command("stats", "--watch", "--every", "0.1", "--json", "--store", shop),
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with watcher:
            try:
                assert watcher.stdout is not None
                assert watcher.stderr is not None
                turns = [json.loads(watcher.stdout.readline())["turns"] for _ in range(3)]
                assert turns == sorted(turns)
                owner.signal(signal.SIGKILL)
                assert "ended before it answered" in watcher.stderr.read()
                assert watcher.wait(DEADLINE) == 3
            finally:
                watcher.kill()


def test_the_socket_is_private(shop: Path) -> None:
    """Only its owner may use the socket, from the moment it has a name."""
    former = os.umask(0)
    try:
        with AgentSystem.open(shop, agents=[]):
            assert stat.S_IMODE(socket_of(shop).stat().st_mode) == 0o600
    finally:
        os.umask(former)


def test_without_service_nobody_listens(shop: Path) -> None:
    """service=False makes no socket, and a tool that would write names the owner."""
    with AgentSystem.open(shop, agents=[], service=False):
        assert not socket_of(shop).exists()
        result = invoke("agents", "stop", "Desk", "emea", "--store", shop)
        assert (result.exit_code, str(os.getpid()) in result.stderr) == (4, True)


def test_a_file_in_the_way_is_left_alone(shop: Path) -> None:
    """What is no socket is not removed; the system works without."""
    socket_of(shop).write_text("mine")
    with AgentSystem.open(shop, agents=[]) as system:
        assert system.flush(DEADLINE)
    assert socket_of(shop).read_text() == "mine"


def test_long_paths(tmp_path: Path) -> None:
    """A path longer than an address may be, of folders or of the file, is no hindrance."""
    folder = tmp_path / ("f" * 120) / ("g" * 120)
    folder.mkdir(parents=True)
    store = folder / ("s" * (490 - len(f"{folder}/")))  # SQLite takes 511
    with AgentSystem.open(store, agents=[]):
        assert [path.name for path in folder.iterdir() if path.is_socket()]
        assert records("flush", "--store", store)[0]["owner"] == os.getpid()


HOSTILE = [
    b"\n", b"{}\n", b"\x00\xff\n", b'{"version":1}\n', b'{"version":1,"wish":{"type":"x"}}\n',
    b'{"version":1,"wish":' + b"[" * 5000 + b"}\n", b'{"version":2,"wish":{}}\n',
    b'{"version":1,"wish":{"type":"step","kind":"Desk","key":"emea","verb":"done"}}\n',
    b'{"version":1,"wish":{"type":"step","kind":"","key":"\\u0000","verb":"stop"}}\n',
    b'{"version":1,"wish":{"type":"letters","back":1,"ids":["x"]}}\n',
    b'{"version":1,"wish":{"type":"watch","every":-1e999}}\n', b"x" * (LONGEST_LINE + 10),
]  # fmt: skip


def test_hostile_clients_change_nothing(shop: Path) -> None:
    """Garbage, a line without end, silence and departure are refused, and others are served."""
    with AgentSystem.open(shop, agents=[]) as system:
        before = system.statistics().commits
        silent = [connected(shop) for _ in range(3)]
        for text in HOSTILE:
            with connected(shop) as client, client.makefile("rb") as answers:
                try:
                    client.sendall(text)
                    answer = protocol.read_answer(answers.readline())
                    assert answer.error
                    assert answer.told
                except (BrokenPipeError, ConnectionResetError):
                    assert len(text) > LONGEST_LINE
        with connected(shop) as leaver:
            leaver.sendall(b'{"version"')
        assert system.statistics().commits == before
        assert records("flush", "--store", shop)[0]["done"] is True
        for client in silent:
            client.close()
    assert status(shop, "emea") == "active"


def test_a_slow_client_is_let_go(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends its request byte by byte has the time of one request, and is told."""
    monkeypatch.setattr("perdure.service.server.READ_SECONDS", 0.3)
    with (
        AgentSystem.open(shop, agents=[]),
        connected(shop) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(b"{")
        assert protocol.read_answer(answers.readline()).error == "TimeoutError"


def test_more_clients_than_there_is_room_for(shop: Path) -> None:
    """Connections above the limit are told so and closed at once; those before are answered."""
    with AgentSystem.open(shop, agents=[]):
        clients = [connected(shop) for _ in range(20)]
        for client in clients[16:]:
            with client.makefile("rb") as answers:
                assert "try again" in protocol.read_answer(answers.readline()).told
                assert answers.read() == b""
        assert not any(has_ended(client) for client in clients[:16])
        late = invoke("flush", "--store", shop)
        assert (late.exit_code, "16 tools at a time" in late.stderr) == (3, True)
        for client in clients:
            client.close()


def test_a_tool_that_gets_no_thread_is_told_and_the_next_is_answered(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process may start no thread for a while, its socket goes on to be answered."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "perdure-operator":
            monkeypatch.undo()
            raise RuntimeError("can't start new thread")
        real(thread)

    with AgentSystem.open(shop, agents=[]):
        monkeypatch.setattr(threading.Thread, "start", start)
        refused = invoke("flush", "--store", shop)
        assert (refused.exit_code, "cannot start a thread" in refused.stderr) == (3, True)
        assert records("flush", "--store", shop)[0]["done"] is True


def test_an_owner_that_is_stopped_is_named(shop: Path) -> None:
    """A tool does not wait for a process that does not run, and says how to let it go on."""
    with running(shop) as owner:
        owner.until("ticking")
        pid = owner.process.pid
        owner.signal(signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        try:
            result = invoke("agents", "stop", "Desk", "emea", "--store", shop)
        finally:
            owner.signal(signal.SIGCONT)
        assert (result.exit_code, f"kill -CONT {pid}" in result.stderr) == (3, True)
        assert records("flush", "--store", shop)[0]["owner"] == pid


def test_an_agent_that_does_not_come_to_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that waits for a turn in vain says so, and is taken when that has ended."""
    monkeypatch.setattr("perdure.service.operator.PATIENCE", 0.0)
    with AgentSystem.open(tmp_path / "c.db", agents=[Counter]) as system:
        counter = system.agent(Counter, "c")
        turn = counter.call(Counter.wait)
        assert Counter.begun.wait(DEADLINE)
        result = invoke("agents", "pause", "Counter", "c", "--store", tmp_path / "c.db")
        Counter.end.set()
        turn.get(timeout=DEADLINE)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "Counter/c has not come to it within 0 seconds" in result.stderr
        assert system.idle(DEADLINE)
        assert counter.describe().status == "paused"


def has_ended(client: socket.socket) -> bool:
    """Tell whether the other end has closed a connection."""
    return bool(select.select([client], [], [], 0.05)[0])


def connected(store: Path) -> socket.socket:
    """Return a connection to the owner of a store."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(DEADLINE)
    with address(socket_of(store)) as where:
        client.connect(where)
    return client


def test_another_version_is_refused_by_name(shop: Path) -> None:
    """An owner that speaks another version says which, and what to use."""
    with AgentSystem.open(shop, agents=[]), connected(shop) as client:
        client.sendall(b'{"version":%d,"wish":{"type":"anything"}}\n' % (VERSION + 1))
        with client.makefile("rb") as answers:
            assert "speaks version 1 and not 2" in protocol.read_answer(answers.readline()).told


class Count(State):
    pushes: int = 0


class Counter(Agent[Count]):
    restarts = RestartPolicy(attempts=1)
    begun: ClassVar = threading.Event()
    end: ClassVar = threading.Event()

    def push(self) -> int:
        self.state.pushes += 1
        return self.state.pushes

    def wait(self) -> None:
        self.begun.set()
        self.end.wait(DEADLINE)


def test_two_tools_at_once(tmp_path: Path) -> None:
    """Two processes that delete the same agents share them: each is deleted by one alone."""
    with AgentSystem.open(tmp_path / "c.db", agents=[Counter]) as system:
        for number in range(3):
            system.agent(Counter, f"c{number}").call(Counter.push).get()
        children = [
            subprocess.Popen(
                command("agents", "delete", "Counter", f"c{number}", "--store", tmp_path / "c.db"),
                cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for number in range(3) for _ in range(2)
        ]  # fmt: skip
        for child in children:
            child.communicate(timeout=DEADLINE)
        codes = [child.returncode for child in children]
        assert [sorted(codes[at : at + 2]) for at in range(0, 6, 2)] == [[0, 5]] * 3
        assert list(system.agents.each()) == []


def test_an_owner_is_found_by_every_name(shop: Path, tmp_path: Path) -> None:
    """A link and a relative path lead to the same owner; a second owner is refused as ever."""
    link = tmp_path / "elsewhere.db"
    link.symlink_to(shop)
    with AgentSystem.open(shop, agents=[]):
        assert records("flush", "--store", link)[0]["owner"] == os.getpid()
        assert records("flush", "--store", os.path.relpath(shop))[0]["owner"] == os.getpid()
        with pytest.raises(StoreOwned):
            AgentSystem.open(shop, agents=[])
        assert records("flush", "--store", shop)[0]["owner"] == os.getpid()
