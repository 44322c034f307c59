"""A system in memory, and scripts that run on it."""

from collections.abc import Iterator

import pytest

from perdure import AgentSystem, Principal
from perdure.scripting.options import ScriptLimits
from perdure.scripting.scripts import Scripts
from tests.kit.deadline import DEADLINE

MIRA = Principal.user("mira")


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system without agents."""
    with AgentSystem.open("memory://", agents=[]) as system:
        yield system


@pytest.fixture
def scripts(system: AgentSystem) -> Iterator[Scripts]:
    """Give scripts that may take long: the machine may be busy."""
    with Scripts(system, limits=ScriptLimits(seconds=DEADLINE), warm=0) as scripts:
        yield scripts
