"""A default that a class writes down is its agents' until they set the field, over releases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Durability, MemoryStore, State

VALUES = [0, 1, 2]
KEYS = "ab"
RELEASES = st.lists(
    st.tuples(
        st.sampled_from(VALUES),  # the default
        st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([None, *VALUES]))),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
"""A default each, and what is done with agents: a value to set, or None to add to a count."""


def desk(default: int, saved: Durability) -> type[Agent[Any]]:
    """Return the class of a release with this default."""

    class DeskState(State):
        level: int = default
        count: int = 0

    class Desk(Agent[DeskState]):
        durability = saved

        def put(self, level: int | None) -> None:
            if level is None:
                self.state.count += 1
            else:
                self.state.level = level

        def level(self) -> int:
            return self.state.level

    return Desk


@pytest.mark.parametrize("saved", [Durability.TURN, Durability.SNAPSHOT])
@given(releases=RELEASES)
def test_a_default_is_followed_until_the_field_is_set(
    saved: Durability, releases: list[tuple[int, list[tuple[str, int | None]]]]
) -> None:
    """Whoever never set a field to another value has the default of the class as it is now."""
    store, given_values = MemoryStore(), dict[str, int]()
    for default, deeds in releases:
        made: Any = desk(default, saved)
        with AgentSystem.open(store, agents=[made]) as system:
            agents = {key: system.agent(made, key) for key in KEYS}
            for key, value in deeds:
                before = given_values.get(key, default)
                if value is not None and value != before:
                    given_values[key] = value
                agents[key].call(made.put, value).get()
            for key, agent in agents.items():
                assert agent.call(made.level).get() == given_values.get(key, default)
