"""An agent that was given up: nobody waits for it without being told."""

import pytest

from perdure import AgentSystem, RestartPolicy
from perdure.persistence.errors import AgentQuarantined
from perdure.testing import FaultyStore
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate


class Fragile(Clerk):
    """Be given up at the first failure."""

    restarts = RestartPolicy(restarts=0)


def test_an_ask_behind_the_old_mail_of_a_quarantined_agent_is_told() -> None:
    """Who asks before anybody knew that the agent is quarantined does not wait behind its mail."""
    store, gate = FaultyStore(), Gate()
    with AgentSystem.open(store.open(), agents=[Fragile, Clerk]) as system:
        fragile = system.agent(Fragile, "a")
        fragile.cast(Fragile.spoil)
        fragile.cast(Fragile.add)
        assert system.idle(DEADLINE)
        assert fragile.describe().status == "quarantined"
    store.on_call.append(lambda name: gate.pass_through() if name == "mailed" else None)
    with AgentSystem.open(store.open(), agents=[Fragile]) as system:
        gate.wait()
        asked = system.agent(Fragile, "a").call(Fragile.read)
        with pytest.raises(AgentQuarantined, match="spoilt"):
            asked.get(timeout=DEADLINE)
        gate.open()
        assert system.idle(DEADLINE)
        assert system.agent(Fragile, "a").describe().waiting == 2
