"""Turns that use what agents share, ask others and call outside, replayed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure import Agent, AgentSystem, MemoryStore, Principal, Right, Scope, State

SHELF = Scope.custom("shelf", "one")


class PickerState(State):
    n: float = 0
    seen: list[str] = msgspec.field(default_factory=list)


class Picker(Agent[PickerState]):
    record = True

    def keys(self, i: int) -> list[str]:
        state = self.system.state
        state.set(SHELF, "k", state.get(SHELF, "k", int, default=0) + i)
        state.set(SHELF, f"k{i}", i)
        state.increment(Scope.GLOBAL, "count", i)
        self.state.seen = list(state.each(SHELF))
        self.state.n = sum(state.get(SHELF, key, int) or 0 for key in self.state.seen)
        if i > 2:
            state.delete(SHELF, f"k{i - 2}")
        state.set(SHELF, "soon", i, ttl=5)
        found = state.count(SHELF), state.entry(SHELF, "k"), state.get_many(SHELF, ["k", "none"])
        return [str(each) for each in found]

    def asks(self, i: int) -> list[str]:
        return self.system.agent(Picker, "other").call(Picker.keys, i).get()

    def files(self, i: int) -> list[str]:
        artifacts = self.system.artifacts
        names = [artifact.name for artifact in artifacts.list()]
        if i > 1:
            self.state.n = len(artifacts.read(artifacts.get("f")))
        artifacts.save("f", b"\xff" * i * 100)
        return names

    def publishes(self, i: int) -> None:
        self.system.sharing.topic("news").publish(f"news {i}")

    def sessions(self, i: int) -> str:
        with self.system.sessions.create(f"s{i}") as session:
            self.system.state.set(Scope.session(session.id), "v", i)
        return session.id

    async def awaits(self, i: int) -> float:
        self.state.n = await self.outside("remote", lambda: _remote(i))
        return self.state.n

    def tools(self, i: int) -> float:
        system: Any = self.system
        self.state.n = system.hooks.call_tool("add", _add, x=i)
        return self.state.n

    def fails(self, i: int) -> None:
        self.system.state.set(SHELF, "lost", i)
        self.state.seen = list(self.system.state.each(SHELF))
        self.system.state.get(Scope.custom("shelf", "locked"), "k")


class Remote:
    """Something outside that gives another answer each time."""

    calls = 0


async def _remote(i: int) -> float:
    Remote.calls += 1
    return i + Remote.calls / 10


def _add(x: int) -> float:
    Remote.calls += 1
    if x == 3:
        raise KeyError("no such tool")
    return x + Remote.calls / 10


@pytest.mark.parametrize(
    "handler",
    ["keys", "asks", "files", "publishes", "sessions", "awaits", "tools", "fails"],
)
def test_what_a_turn_takes_from_others_is_given_to_it_again(handler: str) -> None:
    """Shared keys, lists, counts, artifacts, sessions, answers and calls are as they were."""
    with AgentSystem.open(MemoryStore(), agents=[Picker]) as system:
        for scope in (SHELF, Scope.GLOBAL):
            system.access.grant(Principal.agents("Picker"), scope, Right.ALL)
        system.state.set(SHELF, "z", 3)
        picker = system.agent(Picker, "a")
        failed = 0
        for i in (1, 2, 3, 4):
            try:
                picker.call(getattr(Picker, handler), i).get()
            except (PermissionError, KeyError):
                failed += 1
        system.idle()
        system.state.clear(SHELF)  # what is shared now does not matter
        calls = Remote.calls
        report = system.replay.batch().report()
        assert report.same, report.text()
        assert report.counts.get("failed", 0) == failed == {"fails": 4, "tools": 1}.get(handler, 0)
        assert not any(replay.missing for replay in report.replays)
        assert Remote.calls == calls


class Changer(Agent[PickerState]):
    record = True

    def lists(self, given: list[int]) -> list[int]:
        """Change what was given, and what another has answered."""
        answer: list[int] = self.system.agent(Changer, "other").call(Changer.gives, given).get()
        given.append(9)
        answer.append(7)
        odd = self.outside("pair", lambda: (1, 2)) if len(given) > 2 else None
        return [*given, *answer, *(odd or ())]

    def gives(self, given: list[int]) -> list[int]:
        """Answer with a list."""
        return given


def test_what_a_turn_was_given_is_recorded_before_it_changes_that() -> None:
    """A message and an answer are as they came, whatever the handler does to them."""
    with AgentSystem.open(MemoryStore(), agents=[Changer]) as system:
        assert system.agent(Changer, "a").call(Changer.lists, [1]).get() == [1, 9, 1, 7]
        system.idle()
        report = system.replay.batch().report()
        assert report.counts == {"same": 2}, report.text()


def test_what_json_cannot_give_back_makes_a_recording_unclear() -> None:
    """A call outside that gave what is no JSON is marked: its turn is not told to be different."""
    with AgentSystem.open(MemoryStore(), agents=[Changer]) as system:
        system.agent(Changer, "a").call(Changer.lists, [1, 2]).get()
        system.idle()
        replays = system.replay.batch(key="a").report().replays
        assert [(replay.exact, replay.same) for replay in replays] == [(False, True)]
