"""Tools that fail in runs: hooks are told of it as at any call, and may have another word."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic_ai import FunctionToolset, ModelRetry, Tool, ToolFailed
from pydantic_ai.messages import ModelMessage, ToolReturnPart

from perdure import AgentSystem, CallDetails, CallErrorDetails, Cancel, Retry, Skip
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Budget, Effect, ThinkingState
from perdure.llm.tools import tool
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import RunFailed
from perdure.persistence.memory.store import MemoryStore
from perdure.testing.kit import Kit
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, faults, scripted

Hook = Callable[[CallErrorDetails], Retry | Skip | None]
TRIES: list[str] = []
FAILS = 2


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Begin with nothing outside."""
    TRIES.clear()
    yield
    TRIES.clear()


def send(what: str) -> str:
    """Send something over a line that fails at first."""
    TRIES.append(what)
    if len(TRIES) <= FAILS:
        raise ConnectionError(f"the line is dead: {what}")
    return f"sent {what}"


async def send_async(what: str) -> str:
    """Send something, as a coroutine."""
    return send(what)


def script(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Send it, then say what came back."""
    return str(last_of(messages).content) if nth else [("send", {"what": "it"})]


def last_of(messages: list[ModelMessage]) -> ToolReturnPart:
    """Return what the model was told of the tool last."""
    found = messages[-1].parts[-1]
    assert isinstance(found, ToolReturnPart)
    return found


class InTurn(ThinkingAgent[ThinkingState]):
    """Send in a turn of its own."""

    model = scripted(script)

    @tool(effect="turn", name="send")
    def send(self, what: str) -> str:
        """Send something."""
        return send(what)


def agent_of(effect: Effect, function: Callable[..., Any]) -> type[ThinkingAgent[Any]]:
    """Return an agent with such a tool."""
    if effect == "turn":
        return InTurn
    sending = tool(effect=effect, name="send")(function)
    return ThinkingAgent.define("Sender", model=scripted(script), tools=[sending])


def said(agent: type[ThinkingAgent[Any]], hook: Hook | None) -> tuple[str, tuple[int, int]]:
    """Have it send something beside a hook; return what it says, and the calls and failures."""
    with AgentSystem.open("memory://", agents=[agent]) as system:
        if hook is not None:
            system.hooks.on("tool_call.error", name="here", on="send")(hook)
        ref = system.agent(agent, "one")
        answer = ref.call(agent.think, "go").get(timeout=DEADLINE)
        state: Any = ref.state_at(ref.describe().version)
        assert faults(Transcript.of(state.transcript).finished()) == []
        tally = state.tallies["tool/send"]
    return answer, (tally.calls, tally.failures)


EFFECTS: list[tuple[Effect, Callable[..., Any]]] = [
    ("safe", send), ("safe", send_async), ("idempotent", send), ("once", send), ("turn", send),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "function"), EFFECTS)
def test_a_tool_that_fails_is_called_again(effect: Effect, function: Callable[..., Any]) -> None:
    """A hook is told of what the tool has raised, and has it called again: one call that works."""
    told: list[tuple[int, str]] = []

    def again(details: CallErrorDetails) -> Retry | None:
        assert isinstance(details.error, ConnectionError)
        assert details.args == {"what": "it"}
        told.append((details.attempt, str(details.error)))
        return Retry(attempts=FAILS + 1)

    answer, counted = said(agent_of(effect, function), again)
    assert answer == "sent it"
    assert told == [(1, "the line is dead: it"), (2, "the line is dead: it")]
    assert counted == (1, 0)


@pytest.mark.parametrize(("effect", "function"), EFFECTS)
def test_a_hook_answers_for_a_tool_that_fails(effect: Effect, function: Callable[..., Any]) -> None:
    """What it gives is the result."""

    def unknown(_details: CallErrorDetails) -> Skip:
        return Skip("unknown")

    answer, counted = said(agent_of(effect, function), unknown)
    assert answer == "unknown"
    assert TRIES == ["it"]
    assert counted == (1, 0)


@pytest.mark.parametrize(("effect", "function"), EFFECTS)
def test_the_model_is_told_where_no_hook_has_a_word(
    effect: Effect, function: Callable[..., Any]
) -> None:
    """A hook that only looks on, one that gives up, or none: the same is said of the failure."""
    agent = agent_of(effect, function)
    plain, counted = said(agent, None)
    assert "the line is dead: it" in plain
    assert counted == (1, 1)

    def looks(_details: CallErrorDetails) -> None:
        return None

    def gives_up(_details: CallErrorDetails) -> Retry:
        return Retry(attempts=2)

    for hook, tries in ((looks, 1), (gives_up, 2)):
        TRIES.clear()
        assert said(agent, hook) == (plain, counted)
        assert len(TRIES) == tries


def test_a_hook_cancels_the_second_attempt() -> None:
    """Each attempt goes past the hooks before it: the model is told why there is no other."""
    agent = agent_of("safe", send)

    def again(_details: CallErrorDetails) -> Retry:
        return Retry(attempts=3)

    def once(details: CallDetails) -> Cancel | None:
        return Cancel("once is enough") if details.attempt > 1 else None

    with AgentSystem.open("memory://", agents=[agent]) as system:
        system.hooks.on("tool_call.error")(again)
        system.hooks.on("tool_call.before")(once)
        answer = system.agent(agent, "one").call(agent.think, "go").get(timeout=DEADLINE)
    assert "once is enough" in answer
    assert TRIES == ["it"]


def test_what_is_asked_of_the_model_is_no_failure() -> None:
    """ModelRetry asks the model for another call: that is between the two of them."""
    told: list[str] = []

    def better(what: str) -> str:
        """Send something that is spelt well."""
        TRIES.append(what)
        if what == "it":
            raise ModelRetry("spell it out")
        return f"sent {what}"

    def spelt(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
        if nth > 1:
            return str(last_of(messages).content)
        return [("send", {"what": "it" if nth == 0 else "all of it"})]

    def listens(details: CallErrorDetails) -> Skip:
        told.append(str(details.error))
        return Skip("never")

    agent = ThinkingAgent.define(
        "Sender", model=scripted(spelt), tools=[tool(effect="safe", name="send")(better)]
    )
    answer, _ = said(agent, listens)
    assert answer == "sent all of it"
    assert told == []


def test_a_tool_of_a_toolset_that_says_it_failed() -> None:
    """Hooks are told what the model would be told, since there is no other error."""
    told: list[str] = []

    def posted(what: str) -> str:
        """Fail."""
        raise ToolFailed(f"cannot send {what}")

    def instead(details: CallErrorDetails) -> Skip:
        told.append(str(details.error))
        return Skip("by pigeon")

    agent = ThinkingAgent.define(
        "Sender",
        model=scripted(script),
        toolsets=[FunctionToolset([Tool(posted, name="send")], id="post")],
    )
    answer, _ = said(agent, instead)
    assert answer == "by pigeon"
    assert len(told) == 1
    assert "cannot send it" in told[0]


def test_a_budget_that_is_used_up_is_no_failure_of_the_model() -> None:
    """The run ends by it; hooks that have calls made again hear nothing of it."""
    told: list[str] = []

    def again(details: CallErrorDetails) -> Retry:
        told.append(str(details.error))
        return Retry(attempts=3, delay=3600.0)

    agent = agent_of("safe", send)
    with AgentSystem.open("memory://", agents=[agent]) as system:
        system.hooks.on("model_call.error", name="here")(again)
        answer = system.agent(agent, "one").call(agent.think, "go", budget=Budget(steps=1))
        with pytest.raises(RunFailed, match="budget"):
            answer.get(timeout=DEADLINE)
    assert told == []


@pytest.mark.parametrize("effect", ["safe", "once", "turn"])
def test_a_close_waits_for_no_delay_of_a_tool(effect: Effect) -> None:
    """A run goes on in the next process: the tool is called there, or has failed for good."""
    begun = threading.Event()

    def again(_details: CallErrorDetails) -> Retry:
        begun.set()
        return Retry(attempts=5, delay=3600.0)

    agent, store = agent_of(effect, send), MemoryStore()
    with AgentSystem.open(store, agents=[agent]) as system:
        system.hooks.on("tool_call.error", name="here")(again)
        system.agent(agent, "one").cast(agent.think, "go", run="r")
        assert begun.wait(DEADLINE)
        assert system.close(DEADLINE)
    assert TRIES == ["it"]
    TRIES.append("the line is back")
    with AgentSystem.open(store, agents=[agent]) as system:
        said = system.agent(agent, "one").call(agent.think, "", run="r").get(timeout=DEADLINE)
    if effect == "once":
        assert "the line is dead" in said
        assert TRIES == ["it", "the line is back"]
    else:
        assert said == "sent it"
        assert TRIES == ["it", "the line is back", "it"]


def test_a_delay_of_a_tool_is_time_that_a_test_skips() -> None:
    """Under a virtual clock a run waits for its delays, and for nothing else."""
    agent = agent_of("safe", send)

    def again(_details: CallErrorDetails) -> Retry:
        return Retry(attempts=5, delay=3600.0)

    with Kit() as kit:
        kit.open([agent]).hooks.on("tool_call.error", name="here")(again)
        said = kit.agent(agent, "one").call(agent.think, "go")
        assert kit.clock.run_until_idle() == pytest.approx(FAILS * 3600.0, abs=1.0)
        assert said.get() == "sent it"
