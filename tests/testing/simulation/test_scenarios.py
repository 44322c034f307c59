"""What code of users does in a run: executors, stubborn handlers, threads left behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from perdure import AgentRef
from perdure.testing import Simulation
from perdure.testing.simulation.run import Scenario, Setting
from perdure.testing.simulation.simulate import Crashes, Sweep
from tests.kit.threads import others_end
from tests.testing.simulation import scenes


class Helped(scenes.Slow):
    async def help(self) -> int:
        self.state.n += await asyncio.to_thread(lambda: 5)
        return self.state.n


class Stubborn(scenes.Slow):
    def wait(self) -> None:
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1)
                return


def ask(agent: AgentRef[Helped]) -> int:
    """Ask one of them, and wait."""
    return agent.call(Helped.help).get()


def executor(sim: Simulation) -> None:
    """Ask several agents at once, whose handlers use another executor."""
    with ThreadPoolExecutor(3) as pool:
        asked = [sim.agent(Helped, str(number)) for number in range(4)]
        assert [*pool.map(ask, asked)] == [5, 5, 5, 5]


def stubborn(sim: Simulation) -> None:
    """Have a handler that nothing ends but its own end."""
    sim.agent(Stubborn, "a").call(Stubborn.wait).get()


def deaf(sim: Simulation) -> None:
    """Go on whatever is raised."""
    for _ in range(10):
        with contextlib.suppress(BaseException):
            sim.agent(Helped, "a").call(Helped.help).get()


def left(sim: Simulation) -> None:
    """Leave a thread that waits for ever."""
    threading.Thread(target=threading.Event().wait).start()
    sim.agent(Helped, "a").call(Helped.help).get()


@pytest.mark.parametrize("crash", ["somewhere", "everywhere"])
@pytest.mark.parametrize("scenario", [executor, deaf, left])
def test_a_crash_ends_what_it_meets(scenario: Scenario, crash: Crashes) -> None:
    """A crash ends every thread of a run, whatever that does about it."""
    setting = Setting(scenario, [Helped], 300.0, faults=True)
    assert Sweep(setting, crash).first_failure(range(10 if crash == "somewhere" else 1)) is None
    assert others_end()


def test_a_handler_may_outlive_no_exception() -> None:
    """A handler that catches everything and goes on is a scenario as any other."""
    setting = Setting(stubborn, [Stubborn], 300.0, faults=False)
    assert Sweep(setting, "never").first_failure(range(5)) is None
