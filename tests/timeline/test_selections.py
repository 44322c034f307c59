"""What a timeline lists, by any selection, against a plain look at every event."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Event,
    EventKind,
    MemoryStore,
    MessageDetails,
    OutcomeDetails,
    Principal,
    RestartPolicy,
    Right,
    Scope,
    State,
    VirtualClock,
)
from perdure.hooks.timeline.sources import FIRST_PAGE
from perdure.persistence.errors import Denied
from perdure.persistence.records.records import JournalEntry
from tests.kit.deadline import DEADLINE

SESSIONS = ("morning", "evening")
KEYS = ("a", "b", "c")
TEXTS = ("", "TEA", "coffee", "left/a", "fail", "ee", "allowed", "nowhere")
Given = dict[str, Any]


class Said(State):
    text: str = ""


class Left(Agent[Said]):
    """One who does a little of everything that makes events."""

    restarts = RestartPolicy(attempts=1, restarts=100_000)

    def say(self, text: str) -> None:
        self.state.text = text

    def slow(self, text: str, seconds: float) -> None:
        CLOCKS[-1].advance(seconds)
        self.state.text = text

    def make(self, text: str) -> None:
        self.system.artifacts.save(text, b"1")
        self.state.text = text

    def share(self, text: str) -> None:
        self.system.state.set(Scope.GLOBAL, self.key, text)
        self.state.text = text

    def tell(self, text: str) -> None:
        self.state.text = text
        self.system.agent(Heir, self.key).cast(Heir.say, text)

    def fail(self, text: str) -> None:
        raise ValueError(text)


class Heir(Left):
    """One of another kind."""


KINDS: tuple[type[Left], ...] = (Left, Heir)
CLOCKS = [VirtualClock()]


def live(system: AgentSystem, randomness: random.Random, steps: int) -> None:
    """Have agents make events of all kinds, while the clock goes on: not at all, or for long."""

    @system.hooks.on("message.before", name="looks")
    def looks(details: MessageDetails) -> None:
        assert details.name

    @system.hooks.on("message.after", name="later", deferred=True)
    def later(details: OutcomeDetails) -> None:
        assert details.name

    for kind in KINDS:
        for key in KEYS:
            who = Principal.agent(kind.__name__, key)
            system.access.grant(who, Scope.GLOBAL, Right.WRITE)
    for name in SESSIONS:
        system.sessions.create(name)
    for number in range(steps):
        if randomness.random() < 0.3:
            with system.sessions.get(randomness.choice(SESSIONS)):
                step(system, randomness, number)
        else:
            step(system, randomness, number)
        if randomness.random() < 0.3:
            settle(system)
        CLOCKS[-1].advance(randomness.choice([0.0, 0.0, 0.25, 1.5, 60.0]))
    settle(system)


def settle(system: AgentSystem) -> None:
    """Let everything come to rest, also who waits before another start."""
    while not system.idle(DEADLINE):
        CLOCKS[-1].advance(0.25)


def step(system: AgentSystem, randomness: random.Random, number: int) -> None:
    """Have one agent do something."""
    text = f"{randomness.choice(['tea', 'Coffee'])} {number}"
    agent = system.agent(randomness.choice(KINDS), randomness.choice(KEYS))
    what = randomness.choice(["say", "slow", "make", "share", "tell", "fail", "fail"])
    if what == "fail":
        agent.cast(Left.fail, text)
        settle(system)
    elif what == "slow":
        seconds = randomness.choice([0.5, 5.0])
        agent.call(Left.slow, text, seconds).get(timeout=DEADLINE)
    else:
        agent.call(getattr(Left, what), text).get(timeout=DEADLINE)


def selections(events: list[Event]) -> st.SearchStrategy[Given]:
    """Make selections that fit some of the events, by whatever can be selected."""
    times = sorted({event.time for event in events})
    ends = st.one_of(
        st.none(), st.sampled_from(times), st.sampled_from(times).map(lambda time: time + 0.1)
    )
    between = st.tuples(ends, ends).filter(
        lambda both: both[0] is None or both[1] is None or both[0] <= both[1]
    )
    chains = st.sampled_from(sorted({event.correlation for event in events}))
    kinds = st.sampled_from([kind.__name__ for kind in KINDS])
    whom: st.SearchStrategy[Given] = st.one_of(
        st.fixed_dictionaries({"agent": st.tuples(kinds, st.sampled_from(KEYS))}),
        st.fixed_dictionaries({"kind": kinds}),
        st.just({}),
    )
    chain: st.SearchStrategy[Given] = st.one_of(
        st.just({}), st.just({}),
        st.fixed_dictionaries({"correlation": chains}),
        st.fixed_dictionaries({"session": st.sampled_from(SESSIONS)}),
    )  # fmt: skip
    rest = st.fixed_dictionaries(
        {},
        optional={
            "between": between,
            "what": st.lists(st.sampled_from(EventKind), unique=True),
            "where": st.sampled_from([_is_odd, _has_no_agent]),
            "text": st.sampled_from(TEXTS),
        },
    )
    return st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()},
                     whom, chain, rest)  # fmt: skip


def _is_odd(event: Event) -> bool:
    return event.sequence % 2 == 1


def _has_no_agent(event: Event) -> bool:
    return not event.agent


def fits(chosen: Given, event: Event, chains: dict[str, int]) -> bool:
    """Tell whether an event is one of a selection, in the plainest way."""
    since, until = chosen.get("between", (None, None))
    correlation = chosen.get("correlation", chains.get(str(chosen.get("session"))))
    where: Callable[[Event], bool] = chosen.get("where", lambda _: True)
    held = f"{event.agent}\n{event.name}\n{event.detail}".casefold()
    return (
        (since is None or event.time >= since)
        and (until is None or event.time <= until)
        and (correlation is None or event.correlation == correlation)
        and ("agent" not in chosen or (event.kind, event.key) == chosen["agent"])
        and ("kind" not in chosen or event.kind == chosen["kind"])
        and ("what" not in chosen or event.what in chosen["what"])
        and str(chosen.get("text", "")).casefold() in held
        and where(event)
    )


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_selection_lists_what_a_look_at_every_event_finds(
    seed: int, where: str, tmp_path: Path
) -> None:
    """By agent, kind, chain, session, time, kind of event, text and function, both ways, paged."""
    CLOCKS.append(VirtualClock(1e9))
    store = MemoryStore() if where == "memory" else tmp_path / "said.db"
    with AgentSystem.open(store, agents=KINDS, sync="process", clock=CLOCKS[-1]) as system:
        live(system, random.Random(seed), 60)
        everything = list(system.timeline().each())
        assert {event.what for event in everything} == set(EventKind)
        assert len({event.id for event in everything}) == len(everything)
        assert [event.place for event in everything] == sorted(e.place for e in everything)
        chains = {
            name: next(iter(system.timeline(session=name).each())).correlation for name in SESSIONS
        }
        assert len(set(chains.values())) == len(SESSIONS)

        @settings(max_examples=200)
        @given(
            selections(everything), st.booleans(), st.integers(1, 40),
            st.one_of(st.none(), st.sampled_from(everything)),
        )  # fmt: skip
        def check(chosen: Given, newest: bool, limit: int, after: Event | None) -> None:  # noqa: FBT001
            timeline = system.timeline(**chosen)
            wanted = [event for event in everything if fits(chosen, event, chains)]
            assert timeline.count() == len(wanted)
            if newest:
                wanted.reverse()
            if after is not None:
                wanted = [
                    event for event in wanted
                    if (event.place < after.place if newest else event.place > after.place)
                ]  # fmt: skip
            page = timeline.list(
                after=None if after is None else after.id, limit=limit, newest=newest
            )
            assert [event.id for event in page] == [event.id for event in wanted[:limit]]
            assert page == wanted[:limit]
            assert page.more == (len(wanted) > limit)

        check()


@pytest.mark.parametrize("later", [0.0, 100_000.0])
def test_what_is_in_no_journal_is_found_by_its_time(later: float) -> None:
    """A decision that was a commit of its own is in its times, whatever came behind it."""
    CLOCKS.append(clock := VirtualClock(1e9))
    with AgentSystem.open("memory://", agents=KINDS, clock=clock) as system:
        system.agent(Left, "a").call(Left.say, "tea").get(timeout=DEADLINE)
        clock.advance(10)
        with pytest.raises(Denied):
            system.state.acting_as(Principal.user("mira")).get(Scope.agent("Left", "a"), "tea")
        system.flush()
        if later:
            clock.advance(later)
            system.agent(Left, "a").call(Left.say, "cold tea").get(timeout=DEADLINE)
        timeline = system.timeline(what=["decision"], between=(None, 1e9 + 20))
        assert [event.time for event in timeline.each()] == [1e9 + 10]


class Counting(MemoryStore):
    """A store in memory that counts looks at its journal."""

    looks = 0

    def journal(
        self, kind: str | None = None, key: str | None = None, *, after: int | None = None,
        limit: int = 100, newest: bool = False, correlation: int | None = None,
        led_from: int | None = None,
    ) -> list[JournalEntry]:  # fmt: skip
        """Count, and give what the store gives."""
        self.looks += 1
        return super().journal(
            kind, key, after=after, limit=limit, newest=newest, correlation=correlation,
            led_from=led_from,
        )  # fmt: skip


def test_a_page_looks_for_the_commits_of_its_own_letters_alone() -> None:
    """A page of few letters among many costs few looks at the journal, wherever it is."""
    CLOCKS.append(clock := VirtualClock(1e9))
    store, count = Counting(), 4 * FIRST_PAGE
    with AgentSystem.open(store, agents=KINDS, clock=clock) as system:
        agent = system.agent(Left, "a")
        for number in range(count):
            agent.cast(Left.fail, f"{number}")
            settle(system)
            agent.call(Left.say, f"{number}").get(timeout=DEADLINE)
            clock.advance(5)
        letters = list(system.timeline(what=["letter"]).each())
        assert len(letters) == count
        middle, later = letters[count // 2], letters[count // 2 + 4]  # waits between them vary
        pages: list[tuple[Given, str | None]] = [
            ({}, middle.id), ({}, None), ({"between": (middle.time, later.time)}, None),
        ]  # fmt: skip
        for selected, after in pages:
            for newest in (False, True):
                timeline = system.timeline(what=["letter"], **selected)
                store.looks = 0
                assert len(timeline.list(limit=3, after=after, newest=newest)) == 3
                assert store.looks < 100
