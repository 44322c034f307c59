"""Agents and scenarios of the tests of simulation, each with what must hold."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time

from perdure import Agent, AgentSystem, Scope, ScopedState, State
from perdure.testing import Simulation
from perdure.testing.simulation.run import Crash, Run, Setting

MESSAGES = 12


class CountState(State):
    n: int = 0


class Sender(Agent[CountState]):
    def send(self) -> int:
        self.state.n += 1
        self.system.agent(Receiver, "r").cast(Receiver.take)
        return self.state.n

    def sent(self) -> int:
        return self.state.n


class Receiver(Agent[CountState]):
    def take(self) -> None:
        self.state.n += 1

    def taken(self) -> int:
        return self.state.n


class Ticker(Agent[CountState]):
    def begin(self, ticks: int) -> int:
        for number in range(ticks):
            self.after(0.5 + number / 10, self.tick)
        return ticks

    def tick(self) -> None:
        self.state.n += 1

    def ticks(self) -> int:
        return self.state.n


class Slow(Agent[CountState]):
    async def add(self) -> int:
        await asyncio.sleep(0.5)
        self.state.n += 1
        return self.state.n


def transfer(sim: Simulation) -> None:
    """Send messages from agent to agent: each arrives once, and what was answered is there."""
    answered = [0]

    @sim.always
    def each_arrives_once(system: AgentSystem) -> None:
        sent = system.agent(Sender, "s").call(Sender.sent).get()
        taken = system.agent(Receiver, "r").call(Receiver.taken).get()
        assert taken == sent, f"{sent} were sent, {taken} have arrived"
        assert sent >= answered[0], f"{answered[0]} were answered, {sent} are there"

    for _ in range(MESSAGES):
        answered[0] = sim.agent(Sender, "s").call(Sender.send).get()


def tick(sim: Simulation) -> None:
    """Set timers: each comes once, whatever happens in between."""
    asked = [0]

    @sim.always
    def each_comes_once(system: AgentSystem) -> None:
        time.sleep(10)
        system.idle()
        ticks = system.agent(Ticker, "t").call(Ticker.ticks).get()
        assert asked[0] <= ticks <= 10, f"{ticks} ticks of {asked[0]} timers"

    asked[0] = sim.agent(Ticker, "t").call(Ticker.begin, 10).get()
    time.sleep(2 * sim.randomness.random())


def add(sim: Simulation) -> None:
    """Add to a shared number in transactions that overtake one another: each counts once."""

    def more(state: ScopedState) -> None:
        state.set(Scope.GLOBAL, "sum", state.get(Scope.GLOBAL, "sum", int, default=0) + 1)

    def work() -> None:
        for _ in range(6):
            sim.system.state.transact(more)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sim.system.state.get(Scope.GLOBAL, "sum", int)
    assert found == 12, f"12 were added, {found} are there"


def mixed(sim: Simulation) -> None:
    """Do something of everything: messages, timers, async handlers, threads, chance."""
    tick(sim)
    for _ in range(3):
        sim.agent(Slow, "a").call(Slow.add).get()
    thread = threading.Thread(target=transfer, args=(sim,))
    thread.start()
    thread.join()


def setting(scenario: object, *, faults: bool = True) -> Setting:
    """Return a scenario with all agents of this module."""
    agents = [Sender, Receiver, Ticker, Slow]
    return Setting(scenario, agents, 300.0, faults)  # type: ignore[arg-type]


def digest(seeds: range) -> str:
    """Return what stands in the logs of some runs, which crash here and there."""
    text = hashlib.sha256()
    for seed in seeds:
        crash = Crash(step=100 + 900 * seed)
        result = Run(setting(mixed), seed, crash=crash, again=True).result()
        assert result.fault is None
        text.update(result.text().encode())
    return text.hexdigest()
