"""What simulated runs take: 25 messages from outside, each with one that it leads to."""

from __future__ import annotations

import time
from pathlib import Path

from perdure import Agent, State
from perdure.testing import Simulation
from perdure.testing.simulation.run import Setting
from perdure.testing.simulation.simulate import Sweep

MESSAGES = 25


class CountState(State):
    """A number."""

    n: int = 0


class Sender(Agent[CountState]):
    """Hand on what comes."""

    def send(self) -> int:
        """Count a message and send another."""
        self.state.n += 1
        self.system.agent(Receiver, "r").cast(Receiver.take)
        return self.state.n


class Receiver(Agent[CountState]):
    """Take what comes."""

    def take(self) -> None:
        """Count a message."""
        self.state.n += 1


def simulated(folder: Path, *, runs: int) -> dict[str, float]:
    """Run that many seeds, each with a crash where it says."""
    del folder  # all of it is in memory
    sweep = Sweep(Setting(_scenario, [Sender, Receiver], 3600.0, faults=True), "somewhere")
    sweep.run(range(10))  # what is compiled once is there
    start = time.process_time()
    sweep.run(range(runs))
    return {"cpu_seconds": (time.process_time() - start) * 1_000 / runs}


def _scenario(sim: Simulation) -> None:
    for _ in range(MESSAGES):
        sim.agent(Sender, "s").call(Sender.send).get()
