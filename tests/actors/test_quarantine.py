"""An agent that was given up: nobody waits for it without being told."""

import pytest

from perdure import AgentSystem, MemoryStore, RestartPolicy
from perdure.persistence.errors import AgentQuarantined
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate


class Fragile(Clerk):
    """Be given up at the first failure."""

    restarts = RestartPolicy(restarts=0)


class SlowToTell(MemoryStore):
    """Say who has mail only when the test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()

    def mailed(self, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
        self.gate.pass_through()
        return super().mailed(after, limit)


def test_an_ask_behind_the_old_mail_of_a_quarantined_agent_is_told() -> None:
    """Who asks before anybody knew that the agent is quarantined does not wait behind its mail."""
    store = SlowToTell()
    store.gate.open()
    with AgentSystem.open(store, agents=[Fragile, Clerk]) as system:
        fragile = system.agent(Fragile, "a")
        fragile.cast(Fragile.spoil)
        fragile.cast(Fragile.add)
        assert system.idle(DEADLINE)
        assert fragile.describe().status == "quarantined"
    store.gate = Gate()
    with AgentSystem.open(store, agents=[Fragile]) as system:
        store.gate.wait()
        asked = system.agent(Fragile, "a").call(Fragile.read)
        with pytest.raises(AgentQuarantined, match="spoilt"):
            asked.get(timeout=DEADLINE)
        store.gate.open()
        assert system.idle(DEADLINE)
        assert system.agent(Fragile, "a").describe().waiting == 2
