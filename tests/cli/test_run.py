"""`perdure run`: it works until it is told to stop, drains, and says how that went."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import AgentSystem
from perdure.url import open_reader
from tests.cli.commands import Running, open_gate, records, spawn
from tests.cli.programs import Desk, Gatekeeper

PROGRAMS = "tests.cli.programs"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Name a store that is not there yet."""
    return tmp_path / "run.db"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Make a FIFO that a handler waits at."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def kept(store: Path) -> tuple[object, int]:
    """Return how many turns the gatekeeper finished and how many messages wait for it."""
    (north,) = records("show", "Gatekeeper", "north", "--store", store)
    return north["fields"].get("passed", 0), north["mail"]["count"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(store: Path, gate: Path, number: signal.Signals) -> None:
    """The turn under way ends and is saved, mail that has not begun is kept, the exit code is 0."""
    with Running(f"{PROGRAMS}:wait_thrice", "--store", store, GATE=str(gate)) as child:
        child.until("begun")
        child.once("sent")
        child.signal(number)
        assert f"{number.name}: draining for up to 10 s" in child.until("draining")
        child.once("closing")
        open_gate(gate)
        child.until("drained in")
        assert child.exit_code() == 0
    assert kept(store) == (1, 2)


def test_what_a_drain_kept_goes_on_at_the_next_run(store: Path, gate: Path) -> None:
    """The mail that a drain left behind is handled when the store is run again."""
    with Running(f"{PROGRAMS}:wait_thrice", "--store", store, GATE=str(gate)) as child:
        child.until("begun")
        child.once("sent")
        child.signal(signal.SIGTERM)
        child.once("closing")
        open_gate(gate)
        assert child.exit_code() == 0
    with Running(f"{PROGRAMS}:Gatekeeper", "--store", store, "--drain", 20) as child:
        for _ in range(2):
            child.until("begun")
            open_gate(gate)
        child.signal(signal.SIGTERM)
        assert child.exit_code() == 0
    assert kept(store) == (3, 0)


def test_a_handler_that_does_not_end_is_left_behind(store: Path, gate: Path) -> None:
    """A drain ends at its deadline with exit code 1; the turn is not there, its message is."""
    options = ("--store", store, "--drain", "0.3")
    with Running(f"{PROGRAMS}:wait_thrice", *options, GATE=str(gate)) as child:
        child.until("begun")
        child.once("sent")
        child.signal(signal.SIGTERM)
        child.until("not drained within 0.3 s")
        assert child.exit_code() == 1
    reader = open_reader(store)
    assert len(reader.mail("Gatekeeper", "north")) == 3
    reader.close()


def test_a_second_signal_ends_it_at_once(store: Path, gate: Path) -> None:
    """Whatever a drain still waits for, the second signal kills."""
    options = ("--store", store, "--drain", "3600")
    with Running(f"{PROGRAMS}:wait_thrice", *options, GATE=str(gate)) as child:
        child.until("begun")
        child.signal(signal.SIGINT)
        child.until("draining")
        child.signal(signal.SIGTERM)
        assert child.exit_code() == -signal.SIGTERM


@pytest.mark.parametrize("name", ["Desk", "agents", "both"])
def test_a_class_or_a_list_is_a_program(store: Path, name: str) -> None:
    """NAME may be an Agent subclass, a list of them or a tuple."""
    with Running(f"{PROGRAMS}:{name}", "--store", store, "--workers", 3) as child:
        kinds = "Desk" if name == "Desk" else "Desk, Gatekeeper"
        said = child.until("running")
        assert said.endswith(f"as process {child.process.pid}; agents: {kinds}")
        child.signal(signal.SIGTERM)
        assert child.exit_code() == 0


def test_main_that_raises_stops_the_system(store: Path) -> None:
    """A failing ``main`` is logged with its traceback, harmless, and makes the exit code 1."""
    done = spawn("run", f"{PROGRAMS}:fail", "--store", store)
    assert done.returncode == 1
    assert "main failed: draining" in done.stderr
    assert r"RuntimeError: no \x1b[31mway\x1b[0m" in done.stderr
    # What its message says cannot pass for a record: records begin at the margin.
    forged = [line for line in done.stderr.splitlines() if line.endswith("INFO all is well")]
    assert forged
    assert all(line.startswith("    ") for line in forged)


def test_the_log_level_is_obeyed(store: Path) -> None:
    """With --log-level error a good run says nothing, and a bad one only what is bad."""
    done = spawn("run", f"{PROGRAMS}:fail", "--store", store, "--log-level", "error")
    levels = [line.split()[1] for line in done.stderr.splitlines() if not line.startswith(" ")]
    assert levels == ["ERROR"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("tests.cli.programs", "does not name a program; write MODULE:NAME"),
        ("tests.cli.nowhere:Desk", "module 'tests.cli.nowhere' cannot be imported: ModuleNot"),
        ("tests.cli.programs:Dusk", "module 'tests.cli.programs' has no 'Dusk'"),
        ("tests.cli.programs:number", "is int, not an Agent subclass, a list or a function"),
        ("tests.cli.programs:nothing", "is empty; name at least one Agent subclass"),
        ("tests.cli.programs:strangers", "holds <class 'int'>, which is not an Agent subclass"),
        ("tests.cli.programs:Path", "is type, not an Agent subclass"),
        ("tests.cli.commands:spawn", "must list the agent classes: agents = [...]"),
    ],
)
def test_a_program_that_cannot_be_loaded(store: Path, name: str, part: str) -> None:
    """What is wrong with MODULE:NAME is said in one sentence; no store is made."""
    done = spawn("run", name, "--store", store)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert part in line
    assert not store.exists()


@pytest.mark.parametrize("content", ["raise ValueError('no')", "import sys\nsys.exit(9)", "a ="])
def test_a_module_that_fails(store: Path, tmp_path: Path, content: str) -> None:
    """A module that raises, exits or does not parse is named with what happened."""
    (tmp_path / "broken_program.py").write_text(content)
    done = spawn("run", "broken_program:Desk", "--store", store, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "module 'broken_program' cannot be imported: " in line
    assert "broken_program.py, line" in line


def test_a_store_that_is_owned(store: Path) -> None:
    """A second `run` on a store is refused, and the first one is named."""
    with AgentSystem.open(store, agents=[Desk], sync="process"):
        done = spawn("run", f"{PROGRAMS}:Desk", "--store", store)
    assert done.returncode == 4
    assert f"by process {os.getpid()} on " in done.stderr


@pytest.fixture
def taker(store: Path) -> Iterator[list[AgentSystem]]:
    """Close the systems that a test opens."""
    systems: list[AgentSystem] = []
    yield systems
    for system in systems:
        system.close()


def test_a_store_that_is_taken_over(store: Path, taker: list[AgentSystem]) -> None:
    """A process whose store is taken over stops, says so, and exits with 4."""
    with Running(f"{PROGRAMS}:tick", "--store", store, "--drain", 5) as child:
        child.until("ticking")
        taker.append(AgentSystem.open(store, agents=[Desk, Gatekeeper], takeover=True))
        child.until("was taken over")
        assert child.exit_code() == 4
    assert any("end this process" in line for line in child.log)
