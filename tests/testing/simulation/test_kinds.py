"""Kinds of simulations beside the plain one: async tests, a store in a file, threads struck."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys

import pytest

from perdure import Agent, AgentSystem
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.store.store import Store
from perdure.testing import (
    FaultyStore,
    Simulation,
    SimulationFailed,
    Struck,
    simulate,
    stored_state,
)
from perdure.testing.simulation.run import Crash, Run, Setting
from perdure.testing.simulation.simulate import Sweep
from tests.actors.counting import Counter, Listener
from tests.testing.simulation import scenes

STRUCK_AGAIN = 490
"""A seed under which a message was lost to its process: its recovery was struck as well."""


def numbers(sim: Simulation) -> None:
    """Send numbers, by cast and by ask: each is counted once, by two agents."""
    acknowledged, sent = set[int](), set[int]()

    @sim.always
    def each_counts_once(system: AgentSystem) -> None:
        while True:
            with contextlib.suppress(Struck):
                seen, total = system.agent(Counter, "one").call(Counter.seen).get()
                heard, heard_total = system.agent(Listener, "one").call(Listener.seen).get()
                break
        assert set(seen.values()) | set(heard.values()) <= {1}
        assert (total, heard_total) == (len(seen), len(heard))
        assert acknowledged <= set(seen) == set(heard) <= sent

    counter = sim.agent(Counter, "one")
    for number in range(0, 20, 2):
        sent.update((number, number + 1))
        counter.cast(Counter.take, number)
        with contextlib.suppress(Struck):
            acknowledged.add(counter.call(Counter.take, number + 1).get())


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="tracing instructions ends Python 3.12 with threads"
)
@pytest.mark.parametrize("seeds", [pytest.param(1000, marks=pytest.mark.slow), 20])
def test_threads_may_be_struck_between_two_lines(seeds: int) -> None:
    """Whatever is thrown into workers and the writer, and when, nothing is lost or doubled."""
    setting = Setting(numbers, [Counter, Listener], 300.0, faults=False, strikes=True)
    results = [Run(setting, seed, again=True).result() for seed in [STRUCK_AGAIN, *range(seeds)]]
    assert [result.fault for result in results] == [None] * len(results)
    struck = [line for result in results for line in result.log if " is struck at " in line]
    assert len(struck) > seeds / 2
    Sweep(setting, "somewhere").run(range(seeds // 4))


def test_strikes_are_refused_where_they_would_end_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python 3.12 is told by name; other versions take them."""
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(ConfigurationError, match=r"ends the process in Python 3\.12; use another"):
        simulate(agents=[], strikes=True)
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    simulate(agents=[], strikes=True)


async def greet(sim: Simulation) -> None:
    """Have tasks send beside one another and sleep: what was answered is there, and arrives."""
    answered = [0]

    @sim.always
    async def each_arrives_once(system: AgentSystem) -> None:
        sent = await system.agent(scenes.Sender, "s").call(scenes.Sender.sent)
        taken = await system.agent(scenes.Receiver, "r").call(scenes.Receiver.taken)
        assert answered[0] <= sent == taken

    async def send() -> None:
        for _ in range(3):
            sent = await sim.agent(scenes.Sender, "s").call(scenes.Sender.send)
            answered[0] = max(answered[0], sent)
            await asyncio.sleep(sim.randomness.random())

    await asyncio.gather(send(), send(), sim.agent(scenes.Slow, "a").call(scenes.Slow.add))


@pytest.mark.parametrize("crash", ["somewhere", "everywhere"])
def test_a_test_may_be_async(crash: str) -> None:
    """Its loop is the run's, with its tasks, its time and its crashes; so are async checks."""
    agents = [scenes.Sender, scenes.Receiver, scenes.Slow]
    simulate(agents=agents, seeds=6 if crash == "somewhere" else 1, crash=crash)(greet)()  # type: ignore[arg-type]


def test_an_async_test_fails_as_others_do() -> None:
    """What it raises is told with its seed, and so is what an async check raises."""

    async def raises(sim: Simulation) -> None:
        await asyncio.sleep(1)
        raise ValueError(sim)

    async def checked(sim: Simulation) -> None:
        @sim.always
        async def no(_system: AgentSystem) -> None:
            raise ValueError

    for test in (raises, checked):
        with pytest.raises(SimulationFailed, match="fails under seed 0: ValueError"):
            simulate(agents=[scenes.Receiver], seeds=1, crash="never")(test)()


def test_a_run_may_be_on_a_file() -> None:
    """The SQLite store is run, crashed and opened again as the other; one seed, one run."""
    setting = dataclasses.replace(scenes.setting(scenes.mixed), store="sqlite")
    texts = [Run(setting, 3, crash=Crash(step=900)).result().text() for _ in range(2)]
    assert texts[0] == texts[1]
    assert "crash" in texts[0]
    Sweep(dataclasses.replace(setting, scenario=scenes.transfer), "somewhere").run(range(2))
    with pytest.raises(ConfigurationError, match="one of memory, sqlite"):
        simulate(agents=[], store="postgres")  # type: ignore[arg-type]


def test_each_life_of_a_run_gives_back_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that a crash strikes while it is opened, whose system nobody has got yet."""
    lives, buried = list[Store](), list[Store]()
    real_open, real_bury = FaultyStore.open, FaultyStore.bury

    def opening(store: FaultyStore) -> Store:
        life = real_open(store)
        lives.append(life)
        return life

    def burying(life: Store) -> None:
        buried.append(life)
        real_bury(life)

    monkeypatch.setattr(FaultyStore, "open", opening)
    monkeypatch.setattr(FaultyStore, "bury", staticmethod(burying))
    for seed in range(20):
        setting = scenes.setting(scenes.transfer)
        Run(setting, seed, crash=Crash(step=600), again=True).result()
    assert lives == buried


class Payer(Agent[scenes.CountState]):
    def pay(self) -> str:
        said: str = self.outside("bank", lambda: "nobody asks the real one")
        self.state.n += 1
        return said


def test_calls_outside_are_answered_in_all_lives() -> None:
    """What was called is there behind a crash, also one that comes with the answer."""
    seen: list[int] = []

    @simulate(agents=[Payer], seeds=5, faults=False)
    def pay(sim: Simulation) -> None:
        bank = sim.outside("bank", "yes")
        bank.crash_after(2)

        @sim.always
        def as_often_as_it_counts(system: AgentSystem) -> None:
            durable = stored_state(system.agent(Payer, "p"))["n"]
            assert durable <= len(bank.effects()) <= durable + 1
            seen.append(len(bank.effects()))

        for _ in range(3):
            assert sim.agent(Payer, "p").call(Payer.pay).get() == "yes"

    pay()
    assert 2 in seen
    assert 3 not in seen
