"""Processes with an agent that thinks: ``python -m tests.llm.worker STORE OUTSIDE``.

For each line that it reads, ``WHERE N``, it forks a child, which asks for the runs by name, so that
one that was begun goes on, and prints the answers. The child kills itself with SIGKILL at the N-th
model call or effect (``outside``), or before or behind the N-th commit (``before``, ``behind``);
``never 0`` has it live to the end. Then the exit code is printed.
"""

import os
import signal
import sys
from pathlib import Path

from pydantic_ai.messages import ModelMessage

from perdure import AgentSystem
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import ThinkingState
from perdure.llm.tools import tool, tool_call
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from tests.llm.recorder import Recorder
from tests.llm.scripts import Answer, returned, scripted

RUNS = 4
STEPS = 4


class Death:
    """Kill this process when something has come to be for the N-th time."""

    def __init__(self, where: str = "", number: int = 0) -> None:
        """Do nothing unless a place is given."""
        self._where = where
        self._left = number

    def passes(self, where: str) -> None:
        """Take note that something comes to be."""
        if where == self._where:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


DEATH = Death()


class Outside(Recorder):
    """Remember what comes to be outside, and die of it."""

    def note(self, *words: object) -> None:
        """Write a line."""
        super().note(*words)
        DEATH.passes("outside")


class DyingStore(SqliteStore):
    """A store whose process dies at a commit."""

    def commit(self, batch: Batch) -> None:
        """Make a batch durable."""
        DEATH.passes("before")
        super().commit(batch)
        DEATH.passes("behind")


class ClerkState(ThinkingState):
    """Counts what only turns may change."""

    notes: int = 0


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Call three tools a step, each with the number of the step, then say what came back."""
    if nth == STEPS:
        return f"{prompt}: {returned(messages)}"
    args = {"step": f"{prompt}.{nth}"}
    return [("look", args), ("pay", args), ("note", args)]


class Clerk(ThinkingAgent[ClerkState]):
    """Looks, pays and notes, as the script says."""

    model = scripted(script, lambda prompt, nth: Clerk.recorder.note("model", prompt, nth))
    recorder: Recorder

    @tool(effect="safe")
    def look(self, step: str) -> str:
        """Look at a step."""
        self.recorder.note("look", step)
        return f"looked at {step}"

    @tool(effect="idempotent")
    async def pay(self, step: str) -> str:
        """Pay for a step."""
        self.recorder.note("pay", step, tool_call().key)
        return f"paid for {step}"

    @tool(effect="turn")
    def note(self, step: str) -> int:
        """Take a note of a step."""
        self.state.notes += 1
        self.system.agent(Clerk, "archive").cast(Clerk.file, step)
        return self.state.notes

    def file(self, step: str) -> None:
        """Be told of a note."""
        self.state.notes += 1

    def noted(self) -> int:
        """Return how many notes were taken."""
        return self.state.notes


def live(store: str, outside: str, where: str, number: int) -> None:
    """Make the runs, and say so when all are there."""
    global DEATH  # noqa: PLW0603 - it is this process's
    Clerk.recorder = Outside(Path(outside))
    DEATH = Death(where, number)
    opened = DyingStore(Path(store), sync="process")
    with AgentSystem.open(opened, agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "one")
        asked = [clerk.call(Clerk.think, f"r{n}", run=f"r{n}") for n in range(RUNS)]
        for answer in asked:
            print(answer.get(), flush=True)
        system.idle()
        print("all", clerk.call(Clerk.noted).get(), flush=True)
        print("archive", system.agent(Clerk, "archive").call(Clerk.noted).get(), flush=True)


def main() -> None:
    """Live once for each line, each time in a child of its own."""
    for line in sys.stdin:
        where, number = line.split()
        child = os.fork()
        if not child:
            live(sys.argv[1], sys.argv[2], where, int(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
