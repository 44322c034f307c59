"""Stores to look into."""

from pathlib import Path

import pytest

from perdure import AgentSystem
from tests.cli.programs import Desk, Gatekeeper

HOSTILE = (
    "\x1b[31mred\x1b[0m",  # colours
    "\x1b]0;title\x07",  # the window's title
    "[red]markup[/red] [/]",  # of rich
    "two\nlines\r\t",
    "a\u202egnp.exe",  # reading direction
    "\x9b2J",  # the 8-bit way to clear the screen
    "q" + "\u0301" * 40,  # no width, no end
    "日本語\U0001f600",
    "%s {0} \\x1b",
)
"""Keys that try something."""


def fill(path: Path) -> None:
    """Make a store: Desk/emea has changed, Desk/apac is paused with mail, two messages are dead."""
    with AgentSystem.open(path, agents=[Desk, Gatekeeper], sync="process") as system:
        emea, apac = system.agent(Desk, "emea"), system.agent(Desk, "apac")
        for number in range(8):
            emea.call(Desk.assign, f"T-{number}").get()
        emea.call(Desk.name, "Europe").get()
        emea.call(Desk.remind).get()
        emea.cast(Desk.refuse, "first")
        emea.cast(Desk.refuse, why="second")
        system.agent(Gatekeeper, "north").call(Gatekeeper.tick).get()
        apac.call(Desk.assign, "A-1").get()
        apac.pause()
        for number in range(7):
            apac.cast(Desk.assign, f"W-{number}", owner="noor")
        assert system.idle(20)


@pytest.fixture(scope="session")
def desk_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store that nobody owns; for reading only."""
    path = tmp_path_factory.mktemp("cli") / "desk.db"
    fill(path)
    return path


@pytest.fixture
def own_store(tmp_path: Path) -> Path:
    """Give a store that the test may change."""
    path = tmp_path / "desk.db"
    fill(path)
    return path


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store whose keys, values, reasons and dead letters try to act on the terminal."""
    path = tmp_path_factory.mktemp("cli") / "hostile.db"
    with AgentSystem.open(path, agents=[Desk], sync="process") as system:
        for key in HOSTILE:
            desk = system.agent(Desk, key)
            desk.call(Desk.assign, key, owner=key).get()
            desk.call(Desk.name, key * 1000).get()
            desk.cast(Desk.refuse, key)
            assert system.idle(20)
            desk.pause()
            desk.cast(Desk.name, key)
        system.flush()
    return path
