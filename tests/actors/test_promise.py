"""Who helps writes what it commits, and keeps nobody waiting for that."""

import threading
from pathlib import Path

from perdure import Agent, AgentSystem, Resources, State
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES, gate


class Tally(State):
    n: int = 0


class Worker(Agent[Tally]):
    def quick(self) -> int:
        self.state.n += 1
        return self.state.n

    def slow(self) -> int:
        GATES["slow"].pass_through()
        return 0


def test_a_caller_that_helps_keeps_no_finished_turn_from_the_disk(tmp_path: Path) -> None:
    """A turn that is over is durable at once, while the caller that ran it is in a long handler."""
    one = Resources(workers=1)
    with (
        AgentSystem.open(tmp_path / "store.db", agents=[Worker], resources=one) as system,
        gate("slow") as slow,
    ):
        agent, busy = system.agent(Worker, "one"), system.agent(Worker, "busy")
        agent.call(Worker.quick).get()
        occupied = busy.call(Worker.slow)  # the one worker is taken
        slow.wait()
        quick = agent.call(Worker.quick)
        answered = threading.Event()
        quick.add_callback(answered.set)
        # It runs both turns, since nobody else does.
        helper = threading.Thread(target=lambda: agent.call(Worker.slow).get())
        helper.start()
        slow.wait()
        assert answered.wait(DEADLINE)
        slow.open()
        helper.join(DEADLINE)
        assert quick.get() == 2
        assert occupied.get(timeout=DEADLINE) == 0
