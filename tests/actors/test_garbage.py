"""The garbage collector's young generation while systems are open."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from perdure import AgentSystem, Resources
from perdure.actors.pool.garbage import DEFAULT_YOUNG_GENERATION
from perdure.persistence.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    found = gc.get_threshold()
    yield
    gc.set_threshold(*found)


def young() -> int:
    """Return the collector's present setting."""
    return gc.get_threshold()[0]


def test_an_open_system_makes_room_and_its_close_gives_it_back() -> None:
    """The setting lasts as long as the longest-lived system, and the older ones stay."""
    gc.set_threshold(700, 11, 12)
    with AgentSystem.open("memory://", agents=[]):
        assert gc.get_threshold() == (DEFAULT_YOUNG_GENERATION, 11, 12)
        with AgentSystem.open(
            "memory://", agents=[], resources=Resources(young_generation=190_000)
        ):
            assert young() == 190_000
        assert young() == DEFAULT_YOUNG_GENERATION
    assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.parametrize("mine", [0, 200_000])
def test_a_setting_that_asks_for_less_work_is_left_alone(mine: int) -> None:
    """Neither a collector switched off nor a larger threshold is touched."""
    gc.set_threshold(mine)
    with AgentSystem.open("memory://", agents=[]):
        assert young() == mine
    assert young() == mine


def test_a_setting_made_meanwhile_stays() -> None:
    """What somebody else sets while the system is open is not undone by its close."""
    gc.set_threshold(700)
    with AgentSystem.open("memory://", agents=[]):
        gc.set_threshold(160_000)
    assert young() == 160_000


def test_zero_leaves_the_collector_as_it_is() -> None:
    """``young_generation=0`` asks for nothing."""
    gc.set_threshold(700)
    with AgentSystem.open("memory://", agents=[], resources=Resources(young_generation=0)):
        assert young() == 700


def test_less_than_nothing_is_refused() -> None:
    """A negative number of objects is a mistake."""
    with pytest.raises(ConfigurationError, match=r"Resources\(young_generation=-1\)"):
        AgentSystem.open("memory://", agents=[], resources=Resources(young_generation=-1))
