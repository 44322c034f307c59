"""Durable timers: not lost, not doubled, on a clock that only the test moves."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, cast

import pytest
from msgspec import Struct

from perdure import (
    Agent,
    AgentSystem,
    Durability,
    Log,
    MemoryStore,
    Passivation,
    Resources,
    RestartPolicy,
    State,
    VirtualClock,
)
from perdure.actors.cell import timers
from perdure.actors.talk.reference import AgentProxy
from perdure.lifecycle.backoff import Backoff
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.store.store import Store
from perdure.testing import Kit, SkippingClock
from tests.kit.deadline import DEADLINE

START = 1_000_000.0


class BellState(State):
    rung: Log[tuple[str, float]] = Log.field()


class Bell(Agent[BellState]):
    """Write down every ring with the time at which it came."""

    restarts = RestartPolicy(attempts=1, backoff=Backoff(first=0.0, longest=0.0))

    def ring(self, name: str = "") -> None:
        now = cast("AgentSystem", self.system)._clock.now()
        self.state.rung.append((name, now - START))

    def in_seconds(self, seconds: float, name: str) -> str:
        return self.after(seconds, self.ring, name, name=name)

    def in_seconds_many(self, seconds: list[float]) -> None:
        for number, due in enumerate(seconds):
            self.after(due, "ring", str(number), name=f"t{number}")

    def repeat(self, seconds: float, catch_up: str = "one") -> str:
        return self.every(seconds, "ring", catch_up=catch_up)

    def repeat_failing(self, seconds: float) -> str:
        return self.every(seconds, "fail")

    def fail(self) -> None:
        self.ring("failed")
        raise ValueError("no tick")

    def set_and_fail(self) -> None:
        self.after(1.0, "ring", "never")
        raise ValueError("undone")

    def call_off(self, name: str) -> bool:
        return self.cancel(name)

    def rings(self) -> list[tuple[str, float]]:
        return [(name, when) for name, when in self.state.rung]


class Steady(Bell):
    """Ask for the same timer at every start."""

    def on_start(self) -> None:
        self.every(10.0, "ring", "tick", name="tick")


class Fleeting(Bell):
    """Keep nothing but its timers."""

    durability = Durability.VOLATILE


class World:
    """One store and one time line, opened and closed as often as a test likes."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        kit.open([Bell, Steady, Fleeting])

    @property
    def system(self) -> AgentSystem:
        """The present life."""
        return self.kit.system

    @property
    def store(self) -> Store:
        """Its store."""
        assert self.kit.store.life is not None
        return self.kit.store.life

    def advance(self, seconds: float) -> None:
        """Let time pass in one step, and everything that is due by then happen."""
        self.kit.clock.advance(seconds, settle=False)
        self.kit.clock.settle()

    def restart(self, away: float = 0.0) -> None:
        """Close the system and open it again after a while."""
        assert self.system.close()
        self.kit.clock.advance(away)
        self.kit.restart()
        self.advance(0.0)

    def rings(self, agent: type[Bell] = Bell, key: str = "a") -> list[tuple[str, float]]:
        """Return when what rang."""
        return self.system.agent(agent, key).call(Bell.rings).get()

    def bell(self, key: str = "a") -> AgentProxy[Bell]:
        """Return a proxy of a bell."""
        return self.system.agent(Bell, key).proxy()


@pytest.fixture
def world() -> Iterator[World]:
    """Make a world, and close its last system."""
    with Kit(clock=SkippingClock(START)) as kit:
        yield World(kit)


def get(future: object) -> object:
    """Wait for a proxy's reply."""
    return future.get(timeout=DEADLINE)  # type: ignore[attr-defined]


def test_after_rings_once_at_its_time(world: World) -> None:
    """A timer fires when it is due, once."""
    get(world.bell().in_seconds(5.0, "x"))
    world.advance(4.9)
    assert world.rings() == []
    world.advance(0.1)
    assert world.rings() == [("x", 5.0)]
    world.advance(100.0)
    assert len(world.rings()) == 1


def test_a_name_stands_for_one_timer(world: World) -> None:
    """Setting a timer again replaces it; cancelling tells whether there was one."""
    get(world.bell().in_seconds(5.0, "x"))
    get(world.bell().in_seconds(9.0, "x"))
    get(world.bell().in_seconds(9.0, "y"))
    assert get(world.bell().call_off("y")) is True
    assert get(world.bell().call_off("y")) is False
    world.advance(9.0)
    assert world.rings() == [("x", 9.0)]


def test_a_failed_turn_sets_no_timer(world: World) -> None:
    """Timers are effects: they are set if the turn commits."""
    with pytest.raises(ValueError, match="undone"):
        get(world.bell().set_and_fail())
    world.advance(10.0)
    assert world.rings() == []


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e11])
def test_times_that_make_no_sense_are_refused(world: World, seconds: float) -> None:
    """A timer needs a time that is to come."""
    with pytest.raises(ConfigurationError, match="makes no sense"):
        get(world.bell().in_seconds(seconds, "x"))
    with pytest.raises(ConfigurationError, match="catch_up"):
        get(world.bell().repeat(1.0, "sometimes"))


@pytest.mark.parametrize("away", [0.0, 3.0, 1000.0])
def test_a_timer_survives_a_restart(world: World, away: float) -> None:
    """A timer set before a restart fires after it, at its time or at once when that has passed."""
    get(world.bell().in_seconds(5.0, "x"))
    world.advance(1.0)
    world.restart(away)
    world.advance(max(0.0, 4.0 - away))
    assert world.rings() == [("x", max(5.0, 1.0 + away))]
    world.restart()
    world.advance(1000.0)
    assert len(world.rings()) == 1


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("one", [10.0, 45.0, 50.0]), ("all", [10.0, 45.0, 45.0, 45.0, 50.0]), ("skip", [10.0, 50.0])],
)
def test_missed_ticks_are_made_up_for_as_asked(
    world: World, catch_up: str, expected: list[float]
) -> None:
    """After an absence an interval timer makes up with one call, all of them, or none."""
    get(world.bell().repeat(10.0, catch_up))
    world.advance(10.0)
    world.restart(35.0)
    world.advance(5.0)
    assert [when for _, when in world.rings()] == expected


def test_every_in_on_start_goes_on_undisturbed(world: World) -> None:
    """Asking for the same interval at each start neither doubles the timer nor shifts it."""
    steady = world.system.agent(Steady, "a")
    steady.call(Bell.rings).get()
    world.advance(7.0)
    world.restart()
    world.system.agent(Steady, "a").call(Bell.rings).get()
    world.advance(3.0)
    assert world.rings(Steady) == [("tick", 10.0)]
    world.system.agent(Steady, "a").restart()
    world.advance(0.0)
    world.advance(10.0)
    assert world.rings(Steady) == [("tick", 10.0), ("tick", 20.0)]


def test_a_paused_agents_timer_waits(world: World) -> None:
    """A timer that falls due while its agent is paused fires when it is resumed."""
    get(world.bell().in_seconds(5.0, "x"))
    world.system.agent(Bell, "a").pause()
    world.advance(10.0)
    world.restart()
    world.advance(1.0)
    world.system.agent(Bell, "a").resume()
    world.advance(0.0)
    assert world.rings() == [("x", 11.0)]


def test_a_stopped_agents_timers_rest_until_it_starts_again(world: World) -> None:
    """A timer does not start a stopped agent; once a message has, it fires."""
    get(world.bell().in_seconds(5.0, "x"))
    get(world.bell().repeat(7.0))
    world.system.agent(Bell, "a").stop()
    world.advance(20.0)
    assert world.system.agent(Bell, "a").describe().status == "stopped"
    world.restart()
    world.advance(1.0)
    assert world.system.agent(Bell, "a").describe().status == "stopped"
    assert world.rings() == []  # this message starts it
    world.advance(0.0)
    assert sorted(world.rings()) == [("", 21.0), ("x", 21.0)]
    world.restart()  # started for good, though the message changed nothing
    world.advance(7.0)
    assert sorted(world.rings()) == [("", 21.0), ("", 28.0), ("x", 21.0)]


def test_a_tick_that_fails_goes_to_the_dead_letters_and_the_next_one_comes(world: World) -> None:
    """A failing interval timer loses ticks, never itself."""
    get(world.bell().repeat_failing(10.0))
    for _ in range(3):
        world.advance(10.0)
        world.advance(0.0)  # the backoff
    letters = world.system.dead_letters.list()
    assert [letter.name for letter in letters] == ["fail"] * 3
    assert world.rings() == []


def test_a_volatile_agents_timers_are_durable(world: World) -> None:
    """A VOLATILE agent keeps no state, but the timers it has set come."""
    world.system.agent(Fleeting, "a").call(Bell.in_seconds, 5.0, "x").get()
    world.restart()
    world.advance(5.0)
    assert world.rings(Fleeting) == [("x", 5.0)]


def test_timers_beyond_the_window_are_read_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers far ahead stay in the store and are read before they are due, also page by page."""
    monkeypatch.setattr(timers, "WINDOW", 10.0)
    monkeypatch.setattr(timers, "PAGE", 4)
    world.restart()
    dues = [float(n) for n in range(1, 60)] + [33.0] * 11
    get(world.bell().in_seconds_many(dues))
    assert len(world.system._runtime.timers._calls) < 20
    for _ in range(70):
        world.advance(1.0)
    rung = world.rings()
    assert sorted(when for _, when in rung) == sorted(dues)
    assert len({name for name, _ in rung}) == len(dues)


def test_more_timers_of_one_moment_than_a_page_holds_all_fire(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page full of timers with the same due time hides none of those behind it."""
    monkeypatch.setattr(timers, "PAGE", 4)
    get(world.bell().in_seconds_many([500.0] * 11 + [501.0] * 6))
    world.restart()
    world.advance(600.0)
    assert sorted(name for name, _ in world.rings()) == sorted(str(n) for n in range(17))


def test_a_timer_set_while_the_window_moves_is_not_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer committed between the reading of a window and its end is neither lost nor doubled."""
    monkeypatch.setattr(timers, "WINDOW", 10.0)
    world.restart()
    read = world.store.timers_between
    asked: list[object] = []

    def and_then_set(after: float, until: float, limit: int) -> object:
        found = read(after, until, limit)
        if not asked:
            asked.append(get(world.bell().in_seconds(11.0, "x")))
        return found

    monkeypatch.setattr(world.store, "timers_between", and_then_set)
    world.advance(5.0)  # the window moves from 10 to 15 seconds, the timer is set for after that
    world.advance(5.0)
    assert asked
    for _ in range(10):
        world.advance(1.0)
    assert [name for name, _ in world.rings()] == ["x"]


@pytest.mark.parametrize("durability", [Durability.TURN, Durability.SNAPSHOT])
def test_passivated_agents_are_woken_by_their_timers(durability: Durability) -> None:
    """A timer finds its agent also when it has left memory."""
    clock = VirtualClock(START)
    kind: type[Bell] = type("Quiet", (Bell,), {"durability": durability})
    with AgentSystem.open(
        "memory://",
        agents=[kind],
        clock=clock,
        resources=Resources(passivation=Passivation(idle=2.0)),
    ) as system:
        quiet = system.agent(kind, "a")
        quiet.call(Bell.in_seconds, 30.0, "x").get()
        for _ in range(10):
            clock.advance(1.0)
            assert system.idle(DEADLINE)
        assert system.statistics().cells == 0
        for _ in range(20):
            clock.advance(1.0)
        assert system.idle(DEADLINE)
        assert quiet.call(Bell.rings).get() == [("x", 30.0)]


def test_restarting_a_stopped_agent_by_hand_brings_its_timers(world: World) -> None:
    """restart() puts the timers of a stopped agent back to work without any other message."""
    get(world.bell().in_seconds(5.0, "x"))
    world.system.agent(Bell, "a").stop()
    world.advance(20.0)
    world.system.agent(Bell, "a").restart()
    world.advance(0.0)
    assert world.rings() == [("x", 20.0)]


class Twin(Bell):
    """Tick once a minute, at a second of its own."""

    spread: ClassVar[float] = 60.0

    def on_start(self) -> None:
        self.every(60.0, "ring", "tick", name="tick", spread=self.spread)

    def seconds(self) -> list[float]:
        return [when for _, when in self.state.rung]


def test_spread_timers_do_not_tick_together() -> None:
    """Each agent has its own second of the minute and keeps it, in every process."""
    keys = [str(number) for number in range(300)]
    seconds: list[dict[str, float]] = []
    for _ in range(2):
        clock = VirtualClock(START)
        with AgentSystem.open(MemoryStore(), agents=[Twin], clock=clock) as system:
            for key in keys:
                system.agent(Twin, key).call(Twin.rings).get()
            for _ in range(180):
                clock.advance(1.0)
                assert system.idle(DEADLINE)
            rung = {key: system.agent(Twin, key).call(Twin.seconds).get() for key in keys}
        for times in rung.values():
            assert len(times) == 3
            # Read by a worker while the test moves the clock by a second.
            assert all(abs(later - earlier - 60.0) <= 1.0 for earlier, later in pairwise(times))
        seconds.append({key: times[0] for key, times in rung.items()})
    assert all(abs(seconds[0][key] - seconds[1][key]) <= 1.0 for key in keys)
    crowds = Counter(int(second) for second in seconds[0].values())
    assert max(crowds.values()) <= 20  # 5 on average
    assert len(crowds) >= 50


@pytest.mark.parametrize("spread", [-1.0, 60.5, float("nan"), "much"])
def test_a_spread_that_makes_no_sense_is_refused(spread: object) -> None:
    """It is between nothing and the interval."""

    class Wide(Twin):
        pass

    Wide.spread = cast("float", spread)
    with (
        AgentSystem.open("memory://", agents=[Wide], clock=VirtualClock()) as other,
        pytest.raises(ConfigurationError, match="from 0 to the interval, 60"),
    ):
        other.agent(Wide, "a").call(Wide.rings).get()


class Tone(Struct):
    """A tone that is thought out of tune once somebody says so."""

    name: str
    tuned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.tuned:
            raise ValueError("out of tune")


class Tuned(Bell):
    """Ring by tones."""

    def sound(self, tone: Tone) -> None:
        self.ring(tone.name)

    def begin(self, interval: float | None) -> str:
        if interval:
            return self.every(interval, self.sound, Tone("a"))
        return self.after(10.0, self.sound, Tone("a"))


@pytest.mark.parametrize("interval", [None, 10.0])
def test_a_tick_that_no_longer_decodes_dies_once_however_often_it_is_delivered(
    monkeypatch: pytest.MonkeyPatch, interval: float | None
) -> None:
    """A live agent knows that the timer is gone, or at its next appointment."""
    store, clock = MemoryStore(), VirtualClock(START)
    with AgentSystem.open(store, agents=[Tuned], clock=clock) as system:
        system.agent(Tuned, "a").call(Tuned.begin, interval).get()
    monkeypatch.setattr(Tone, "tuned", False)
    (timer,) = store.load("Tuned", "a").timers  # type: ignore[union-attr]
    with AgentSystem.open(store, agents=[Tuned], clock=clock) as system:
        system.agent(Tuned, "a").call(Tuned.rings).get()
        clock.advance(10.0)
        for _ in range(2):
            system._runtime._timer_due(timer)  # read from the store at the same moment
        assert system.idle(DEADLINE)
        assert len(system.dead_letters.list()) == 1
        clock.advance(10.0)
        assert system.idle(DEADLINE)
        assert len(system.dead_letters.list()) == (2 if interval else 1)
