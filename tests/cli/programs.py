"""Programs for `perdure run`, as a user would write them."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from perdure import Agent, AgentSystem, Log, Map, RestartPolicy, State


class DeskState(State):
    """What a desk keeps."""

    open: int = 0
    title: str = ""
    owners: Map[str, str] = Map.field()
    transcript: Log[str] = Log.field()


class Desk(Agent[DeskState]):
    """An agent with something of everything."""

    restarts = RestartPolicy(attempts=1)

    def assign(self, ticket: str, owner: str = "mira") -> int:
        """Change a field, a map and a log."""
        self.state.open += 1
        self.state.owners[ticket] = owner
        self.state.transcript.append(f"{ticket} -> {owner}")
        return self.state.open

    def name(self, title: str) -> None:
        """Set a field."""
        self.state.title = title

    def remind(self) -> None:
        """Set a timer far away."""
        self.after(1e6, "name", "late", name="reminder")

    def refuse(self, why: str) -> None:
        """Fail."""
        raise ValueError(why)


class GateState(State):
    """What a gatekeeper keeps."""

    passed: int = 0


class Gatekeeper(Agent[GateState]):
    """An agent whose turn ends when a test wants it to."""

    def wait(self, gate: str) -> None:
        """Say that the turn has begun, wait until somebody writes to the FIFO, count."""
        sys.stdout.write("begun\n")
        Path(gate).read_text()
        self.state.passed += 1

    def tick(self) -> None:
        """Count."""
        self.state.passed += 1

    def keep_ticking(self) -> None:
        """Commit again and again."""
        self.every(0.05, "tick")


agents = [Desk, Gatekeeper]
both = (Desk, Gatekeeper)
nothing: list[type[Agent[Any]]] = []
strangers = [Desk, int]
number = 7


def wait_thrice(system: AgentSystem) -> None:
    """Send three messages of which the first holds the others up, and tell when it is over."""
    keeper = system.agent(Gatekeeper, "north")
    for _ in range(3):
        keeper.cast(Gatekeeper.wait, os.environ["GATE"])
    system.flush()
    sys.stdout.write("sent\n")
    while keeper.is_alive():
        threading.Event().wait(0.01)
    sys.stdout.write("closing\n")


def tick(system: AgentSystem) -> None:
    """Begin to tick."""
    system.agent(Gatekeeper, "north").call(Gatekeeper.keep_ticking).get()
    sys.stdout.write("ticking\n")


def fail(system: AgentSystem) -> None:
    """Raise with something hostile in the message."""
    message = "no \x1b[31mway\x1b[0m\n2026-01-01T00:00:00Z INFO all is well"
    raise RuntimeError(message)
