"""Lists and counts: stored, appended, own and expired keys together, against a dictionary."""

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Scope, VirtualClock
from perdure.persistence.errors import ConfigurationError, ScopeError
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.shared.agents import WORK, Count, Worker

KEYS = ["a", "a/b", "a/c", "ab", "b", "é", "z", "\ue000", "\uffff", "\U00010000", "\U0001f600"]
steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "brief", "delete", "clock"]), st.sampled_from(KEYS)
    ),
    max_size=14,
)  # fmt: skip
views = st.tuples(
    st.sampled_from(["", "a", "a/", "\ue000", "\uffff", "zz"]),
    st.sampled_from(["", "a", "a/b", "\uffff"]),
    st.integers(1, 5),
)


class Editor(Agent[Count]):
    """Do steps in a turn and say what it sees then."""

    boundary = Worker.boundary

    def edit(self, todo: list[list[str]], prefix: str, after: str, limit: int) -> list[Any]:
        apply(self.scopes, todo, None, {})
        listed = self.scopes.list(WORK, prefix=prefix, after=after, limit=limit)
        return [listed, self.scopes.count(WORK, prefix=prefix)]


def apply(
    state: Any,  # noqa: ANN401 - shared state, or nothing
    todo: Any,  # noqa: ANN401 - pairs, as lists after a message
    clock: VirtualClock | None,
    model: dict[str, float],
) -> None:
    """Do steps, and to a dictionary of expiries as well."""
    for step, key in todo:
        match step:
            case "set":
                state.set(WORK, key, 1)
                model[key] = float("inf")
            case "brief":
                state.set(WORK, key, 1, ttl=10)
                model[key] = 10.0 + (0.0 if clock is None else clock.now())
            case "delete":
                state.delete(WORK, key)
                model.pop(key, None)
            case "clock" if clock is not None:
                clock.advance(6)


@settings(max_examples=150)
@given(steps, steps, steps, views)
def test_lists_are_those_of_a_dictionary(
    stored: Any,  # noqa: ANN401
    appended: Any,  # noqa: ANN401
    own: Any,  # noqa: ANN401
    view: tuple[str, str, int],
) -> None:
    """Pages and counts in a turn hold what a dictionary of all steps so far holds, in order.

    The first steps are durable, the next on their way to the disk, the last the turn's own.
    """
    prefix, after, limit = view
    clock, store, model = VirtualClock(), FaultyStore(), dict[str, float]()
    with AgentSystem.open(store.open(), agents=[Editor], clock=clock) as system:
        apply(system.state, stored, clock, model)
        durable = dict(model)
        store.hold()
        changes = [step for step in appended if step[0] != "clock"]
        other = system.agent(Editor, "other").call(Editor.edit, changes, "", "", 1)
        mine = [step for step in own if step[0] != "clock"]
        now = clock.now()
        apply(_Nothing(), changes, clock, model)
        expected = dict(model)
        apply(_Nothing(), mine, clock, expected)
        # Told after the other, whose turn is appended then.
        assert other.asker is None
        outside = sorted(key for key, until in durable.items() if until > now)
        assert system.state.list(WORK) == outside
        assert system.state.count(WORK) == len(outside)
        seen = system.agent(Editor, "other").call(Editor.edit, mine, prefix, after, limit)
        store.let_go()
        listed, count = seen.get(timeout=DEADLINE)
        living = sorted(key for key, until in expected.items() if until > now)
        wanted = [key for key in living if key.startswith(prefix)]
        assert count == len(wanted)
        assert listed == [key for key in wanted if key > after][:limit]
        assert system.state.list(WORK) == living


class _Nothing:
    """Take steps and do nothing."""

    def set(self, *_: object, **__: object) -> None: ...

    def delete(self, *_: object) -> None: ...


@pytest.mark.parametrize("place", ["memory", "file"])
def test_pages_together_are_all_keys(tmp_path: Path, place: str) -> None:
    """Page by page every key comes once and in order, beyond the pages of the store."""
    store = "memory://" if place == "memory" else tmp_path / "store.db"
    names = sorted(f"k/{number:04}" for number in range(2_345))
    with AgentSystem.open(store, agents=[], sync="process") as system:
        state = system.state
        state.set_many(WORK, dict.fromkeys(reversed(names), 0))
        state.set_many(WORK.step("s"), {"k/0": 0, "zz": 0})
        state.set(Scope.workflow("v"), "k/1", 0)
        state.set(Scope.workflow("w2"), "k/1", 0)
        found: list[str] = []
        while page := state.list(WORK, after=found[-1] if found else "", limit=700):
            found += page
        assert found == names
        assert state.list(WORK, prefix="k/23", limit=10_000) == names[2300:]
        assert state.count(WORK) == 2_345
        assert state.count(WORK, prefix="k/1") == 1_000
        for wrong in (0, -1, True, "9"):
            with pytest.raises(ConfigurationError, match="an int from 1 up"):
                state.list(WORK, limit=cast("int", wrong))


@pytest.mark.parametrize("text", ["\ud800", None, 7])
def test_no_prefix_breaks_a_list(text: str) -> None:
    """What can be no text is ScopeError; a prefix no key can have gives no keys."""
    with AgentSystem.open("memory://", agents=[]) as system:
        system.state.set(WORK, "k", 1)
        for call in (
            lambda: system.state.list(WORK, prefix=text),
            lambda: system.state.count(WORK, prefix=text),
            lambda: system.state.clear(WORK, prefix=text),
        ):
            with pytest.raises(ScopeError):
                call()
        if text is not None:
            with pytest.raises(ScopeError):
                system.state.list(WORK, after=text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
def test_any_text_is_a_prefix(prefix: str) -> None:
    """A list by any prefix gives the keys that begin with it."""
    with AgentSystem.open("memory://", agents=[]) as system:
        keys = ["a", "\x20", "\U0010ffff", "\ud7ff", "\ue000"]
        system.state.set_many(WORK, dict.fromkeys(keys, 0))
        listed = system.state.list(WORK, prefix=prefix)
        assert listed == sorted(key for key in keys if key.startswith(prefix))
