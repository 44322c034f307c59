"""Histories of releases: whichever sent or wrote an item, it is read as it was meant."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    MemoryStore,
    Scope,
    State,
    VirtualClock,
    migration,
    transforms,
)
from perdure.actors.agent.blueprint import Catalogue
from perdure.persistence.schema.evolution import Evolution

SCOPE = Scope.workflow("w")
LAST = 3


class Notes(State):
    """What an agent was told."""

    lines: list[str] = []  # noqa: RUF012 - msgspec copies it


def value(version: int) -> Any:  # noqa: ANN401 - a class made here
    """Return the class of shared values of a release: the text has more around it in each."""

    class Value(msgspec.Struct):
        schema_version: ClassVar[str] = f"{version}.0.0"
        text: str = ""

    for at in range(1, version):
        migration(Value, f"{at}.0.0", f"{at + 1}.0.0", wrapped("text", at))
    return Value


def desk(version: int) -> Any:  # noqa: ANN401 - same
    """Return the agent class of a release."""

    class Desk(Agent[Notes]):
        messages_version = f"{version}.0.0"

        def note(self, text: str) -> None:
            self.state.lines.append(text)

        def later(self, name: str, text: str) -> None:
            self.after(60, self.note, text, name=name)

        def read(self) -> list[str]:
            return self.state.lines

    for at in range(1, version):
        migration(Desk, f"{at}.0.0", f"{at + 1}.0.0", wrapped("text", at), method="note")
    return Desk


def wrapped(name: str, at: int) -> Any:  # noqa: ANN401 - a transform
    """Return a step that can be seen to have run, and how often."""
    return transforms.convert(name, lambda text: f"{at}({text})", lambda text: text[2:-1])


def expected(version: int, text: str, last: int = LAST) -> str:
    """Return what becomes of a text of a release in the last one."""
    for at in range(version, last):
        text = f"{at}({text})"
    return text


RELEASES = {number: (desk(number), value(number)) for number in range(1, LAST + 1)}
WORD = st.text("ab", max_size=2)
STEP = st.one_of(
    st.tuples(st.just("send"), WORD),
    st.tuples(st.just("set"), st.sampled_from("xyz")),
    st.tuples(st.just("timer"), st.sampled_from("pq")),
    st.tuples(st.just("release"), st.just("")),
    st.tuples(st.just("restart"), st.just("")),
    st.tuples(st.just("migrate"), st.just("")),
)


class World:
    """A store, the release that runs on it, and what each item must be in the last one."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), VirtualClock()
        self.release = 1
        self.sent: list[str] = []
        self.kept: dict[str, str] = {}
        self.timers: dict[str, str] = {}

    def run(self, steps: list[tuple[str, str]]) -> None:
        """Take steps, in a system of its own for each release and after each restart."""
        left = list(steps)
        while left:
            with self.opened() as system:
                while left:
                    what, word = left.pop(0)
                    if what in ("release", "restart"):
                        self.release = min(LAST, self.release + (what == "release"))
                        break
                    self.step(system, what, word)

    def opened(self) -> AgentSystem:
        """Open the store by the release of today."""
        agent_class, value_class = RELEASES[self.release]
        return AgentSystem.open(
            self.store, agents=[agent_class], clock=self.clock, schemas={"k*": value_class}
        )

    def step(self, system: AgentSystem, what: str, word: str) -> None:
        """Send, write, set a timer, or migrate all that is there."""
        text, (agent_class, value_class) = f"{what}{word}", RELEASES[self.release]
        if what == "migrate":
            assert system.migrate().complete
        elif what == "set":
            system.state.set(SCOPE, f"k{word}", value_class(text))
            self.kept[word] = expected(self.release, text)
        elif what == "timer":
            system.agent(agent_class, "t").call(agent_class.later, word, text).get()
            self.timers[word] = expected(self.release, text)
        else:
            paused = system.agent(agent_class, "d")
            if paused.describe().status != "paused":
                paused.pause()
            paused.cast(agent_class.note, text)
            self.sent.append(expected(self.release, text))

    def check(self) -> None:
        """Look at all of it by the last release."""
        self.release = LAST
        agent_class, _ = RELEASES[LAST]
        with self.opened() as system:
            kept = {key: system.state.get(SCOPE, f"k{key}") for key in self.kept}
            assert {key: each.text for key, each in kept.items()} == self.kept  # type: ignore[attr-defined]
            desk = system.agent(agent_class, "d")
            if desk.describe().status == "paused":
                desk.resume()
            assert desk.call(agent_class.read).get() == self.sent
            self.clock.advance(61)
            assert system.idle(30)
            told = system.agent(agent_class, "t").call(agent_class.read).get()
            assert sorted(told) == sorted(self.timers.values())
            assert not system.dead_letters.list()


@settings(max_examples=25)
@given(steps=st.lists(STEP, max_size=14))
def test_each_item_is_read_as_it_was_meant(steps: list[tuple[str, str]]) -> None:
    """Whichever release sent or wrote it, however often there was a restart or a migration."""
    world = World()
    world.run(steps)
    world.check()


@settings(max_examples=25)
@given(steps=st.lists(STEP, max_size=14), seed=st.integers(0, 3))
def test_at_once_is_as_one_by_one(steps: list[tuple[str, str]], seed: int) -> None:
    """What waits is the same whether it was rewritten, also in part and twice, or not."""
    world = World()
    world.run(steps)
    world.release = LAST
    catalogue = Catalogue([RELEASES[LAST][0]], largest=2**20)
    for _ in range(seed):
        with AgentSystem.open(world.store, agents=[], clock=world.clock) as system:
            runtime = system._runtime
            evolution = Evolution(runtime.evolution.registry, catalogue.stored())
            assert runtime.migrations.run(evolution).complete
    world.check()
