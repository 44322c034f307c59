"""The interpreter's switch interval while systems are open."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import AgentSystem, Resources
from perdure.actors.pool.switching import DEFAULT_SWITCH_INTERVAL
from perdure.persistence.errors import ConfigurationError

OWN = 0.005
"""Python's own setting."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    found = sys.getswitchinterval()
    sys.setswitchinterval(OWN)
    yield
    sys.setswitchinterval(found)


def opened(wish: float = DEFAULT_SWITCH_INTERVAL) -> AgentSystem:
    """Open a system in memory that wishes for an interval."""
    return AgentSystem.open("memory://", agents=[], resources=Resources(switch_interval=wish))


def test_an_open_system_shortens_it_and_its_close_gives_it_back() -> None:
    """Unless told otherwise a system asks for a millisecond, as long as it is open."""
    with AgentSystem.open("memory://", agents=[]):
        assert sys.getswitchinterval() == 0.001
    assert sys.getswitchinterval() == OWN


WISHES = st.sampled_from([0.0, 0.0005, 0.001, 0.002, 0.02])


@given(
    found=st.sampled_from([0.0001, 0.001, OWN, 0.1]),
    wishes=st.lists(WISHES, min_size=1, max_size=4),
    data=st.data(),
)
def test_the_shortest_wish_counts_until_the_last_system_is_closed(
    found: float, wishes: list[float], data: st.DataObject
) -> None:
    """Whatever the order of closing, it is the least of what was found and of the open wishes."""
    sys.setswitchinterval(found)
    found = sys.getswitchinterval()  # in whole microseconds
    with ExitStack() as undo:
        systems = [(undo.enter_context(opened(wish)), wish) for wish in wishes]
        while systems:
            expected = min([found, *(wish for _, wish in systems if wish)])
            assert sys.getswitchinterval() == pytest.approx(expected)
            system, _ = systems.pop(data.draw(st.integers(0, len(systems) - 1)))
            system.close()
    assert sys.getswitchinterval() == found


@pytest.mark.parametrize("mine", [0.0002, 0.03])
def test_a_setting_made_meanwhile_stays(mine: float) -> None:
    """What somebody else sets while the system is open is not undone by its close."""
    with opened():
        sys.setswitchinterval(mine)
        mine = sys.getswitchinterval()  # in whole microseconds
    assert sys.getswitchinterval() == mine


def test_an_opening_that_fails_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later step of the opening fails, the interval is what it was before."""
    seen: list[float] = []

    def fail(_clock: object) -> None:
        seen.append(sys.getswitchinterval())
        raise RuntimeError("no thread")

    monkeypatch.setattr("perdure.lifecycle.clock.SystemClock.start", fail)
    with pytest.raises(RuntimeError, match="no thread"):
        opened()
    assert (seen, sys.getswitchinterval()) == ([DEFAULT_SWITCH_INTERVAL], OWN)


def test_less_than_nothing_is_refused() -> None:
    """A negative interval is a mistake, named with the right form."""
    with pytest.raises(ConfigurationError, match=r"Resources\(switch_interval=-1\)"):
        Resources(switch_interval=-1)
