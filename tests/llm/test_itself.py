"""Runs that would wait for themselves are refused, whatever chain leads back to them."""

import pytest
from pydantic_ai.messages import ModelMessage

from perdure import Agent, AgentSystem, State
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import ThinkingState
from perdure.llm.tools import agent_tool, tool
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, returned, scripted


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Call the tool that the prompt names, once; then say what it returned."""
    return f"{prompt}: {returned(messages)}" if nth else [(prompt, {"prompt": "hello"})]


def answers(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Answer at once, or do as the prompt says."""
    return "hello!" if prompt == "hello" else script(prompt, nth, messages)


class Clerk(Agent[State]):
    """Has a mind."""

    async def ask(self, prompt: str) -> object:
        """Ask the agent that thinks for it."""
        return await self.system.agent(Thinker, "one").call(Thinker.think, prompt)


class Thinker(ThinkingAgent[ThinkingState]):
    """Asks itself, in every way there is."""

    model = scripted(answers)

    @tool(effect="safe")
    async def direct(self, prompt: str) -> object:
        """Ask itself, and wait."""
        return await self.actor_ref.call(Thinker.think, prompt)

    @tool(effect="safe")
    def in_thread(self, prompt: str) -> object:
        """Ask itself from a thread, and wait."""
        return self.actor_ref.call(Thinker.think, prompt).get()

    @tool(effect="safe")
    async def same_run(self, prompt: str) -> object:
        """Ask for the answer of the run in which it is."""
        return await self.actor_ref.call(Thinker.think, prompt, run="r")

    @tool(effect="safe")
    async def over_clerk(self, prompt: str) -> object:
        """Ask another agent, which asks it."""
        return await self.system.agent(Clerk, "one").call(Clerk.ask, prompt)

    @tool(effect="safe")
    async def over_other(self, prompt: str) -> object:
        """Ask another that thinks, whose tool asks it."""
        return await self.system.agent(Thinker, "two").call(Thinker.think, "over_clerk")

    @tool(effect="safe")
    async def each_other(self, prompt: str) -> object:
        """Ask another that is at work; the second asks once the first waits for it."""
        me, first = self.actor_ref, self.actor_ref.key == "one"
        other = self.system.agent(Thinker, "two" if first else "one")
        while not await (other.call(Thinker.at_work) if first else me.call(Thinker.waits)):
            pass
        return await other.call(Thinker.think, prompt)

    def at_work(self) -> str:
        """Return the run at work."""
        return self.state.current

    def waits(self) -> int:
        """Return how many runs wait behind that."""
        return self.state.queued

    @tool(effect="safe")
    async def later(self, prompt: str) -> str:
        """Ask itself for something, and not wait."""
        self.actor_ref.cast(Thinker.think, prompt, run="later")
        return "later"

    @tool(effect="safe")
    async def another(self, prompt: str) -> object:
        """Ask another of its kind, and wait."""
        return await self.system.agent(Thinker, "three").call(Thinker.think, prompt)


SELVES = agent_tool(Thinker, name="ask_self", about="Ask itself.")
Thinker.tools = (SELVES,)


@pytest.mark.parametrize(
    "way", ["direct", "in_thread", "same_run", "over_clerk", "over_other", "ask_self"]
)
def test_a_run_does_not_wait_for_itself(way: str) -> None:
    """A tool that asks its own agent to think is refused at once; the model is told why."""
    with AgentSystem.open("memory://", agents=[Thinker, Clerk]) as system:
        said = system.agent(Thinker, "one").call(Thinker.think, way, run="r").get(timeout=DEADLINE)
        assert "run r waits in a tool" in said
        assert system.runs.list() == []


def test_two_runs_do_not_wait_for_each_other() -> None:
    """What is asked waits behind the run at work: that may not wait for the run that asked it."""
    with AgentSystem.open("memory://", agents=[Thinker]) as system:
        one, two = system.agent(Thinker, "one"), system.agent(Thinker, "two")
        asked = [each.call(Thinker.think, "each_other", run="r") for each in (one, two)]
        assert asked[0].get(timeout=DEADLINE) == "each_other: ['hello!']"
        assert "run r waits in a tool" in asked[1].get(timeout=DEADLINE)


def test_who_does_not_wait_is_not_refused() -> None:
    """A tool may have its agent think later, and may ask others; callers outside queue up."""
    with AgentSystem.open("memory://", agents=[Thinker, Clerk]) as system:
        one = system.agent(Thinker, "one")
        asked = [one.call(Thinker.think, "later"), one.call(Thinker.think, "another")]
        asked.append(system.agent(Clerk, "one").call(Clerk.ask, "hello"))
        assert asked[0].get(timeout=DEADLINE) == "later: ['later']"
        assert asked[1].get(timeout=DEADLINE) == "another: ['hello!']"
        assert asked[2].get(timeout=DEADLINE) == "hello!"
        assert one.call(Thinker.think, "", run="later").get(timeout=DEADLINE) == "hello!"
