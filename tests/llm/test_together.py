"""Agents that think beside others: streams, other agents as tools, minds, hooks, summaries."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic_ai import FunctionToolset
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCalls, FunctionModel

from perdure import Agent, AgentRef, AgentSystem, CallDetails, Cancel, Replace, Skip, State
from perdure.lifecycle.backoff import Backoff
from perdure.llm.agent import ThinkingAgent
from perdure.llm.playback import replay_run
from perdure.llm.records import Budget, RunEvent, RunStep, ThinkingState
from perdure.llm.tools import agent_tool, ask_person, tool
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import ConfigurationError, RunFailed, SystemClosed, UnknownRun
from perdure.persistence.memory.store import MemoryStore
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, faults, returned, scripted, until

CALLS: list[str] = []
GATE = threading.Event()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Begin with nothing outside."""
    CALLS.clear()
    GATE.clear()
    yield
    GATE.set()


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Look things up if asked to, then say what came back."""
    if prompt.startswith("look up") and nth == 0:
        return [("look_up", {"what": prompt.removeprefix("look up ")})]
    return str(returned(messages)) if nth else f"{prompt}!"


@tool(effect="safe")
async def look_up(what: str) -> str:
    """Look something up."""
    CALLS.append(what)
    if what == "slowly":
        await asyncio.to_thread(GATE.wait, DEADLINE)
    return f"found {what}"


Finder = ThinkingAgent.define("Finder", model=scripted(script), tools=[look_up])


def steps_of(system: AgentSystem, agent: type[ThinkingAgent[Any]], key: str) -> list[RunStep]:
    """Return an agent's transcript."""
    reference = system.agent(agent, key)
    state = reference.state_at(reference.describe().version)
    assert isinstance(state, ThinkingState)
    return list(state.transcript)


def test_an_agent_that_thinks_needs_no_class_statement() -> None:
    """What is defined by a call is an agent class as any other, also over a restart."""
    store = MemoryStore()
    for _ in range(2):
        with AgentSystem.open(store, agents=[Finder]) as system:
            finder = system.agent(Finder, "one")
            assert finder.call(Finder.think, "look up it", run="r").get() == "['found it']"
    assert CALLS == ["it"]


def test_readers_follow_a_run_from_where_they_left_off() -> None:
    """Several readers get each durable step once and in order, and one who comes back the rest."""

    async def read(finder: AgentRef[Any], after: int, most: int) -> list[RunEvent]:
        events: list[RunEvent] = []
        async for event in finder.stream("r", after=after):
            events.append(event)
            if len(events) == most:
                break
        return events

    async def both(system: AgentSystem) -> None:
        finder = system.agent(Finder, "one")
        finder.cast(Finder.think, "look up slowly", run="r")
        first = asyncio.create_task(read(finder, 0, 99))
        second = await read(finder, 0, 3)
        GATE.set()
        rest = await read(finder, second[-1].number, 99)
        whole = await first
        assert [*second, *rest] == whole
        assert [event.number for event in whole] == sorted(event.number for event in whole)
        assert [(e.what, e.op) for e in whole] == [
            ("asked", ""), ("begun", "model"), ("done", "model"), ("begun", "tool"),
            ("done", "tool"), ("begun", "model"), ("done", "model"), ("end", ""),
        ]  # fmt: skip
        assert whole[-1].body == "['found slowly']"

    with AgentSystem.open("memory://", agents=[Finder]) as system:
        asyncio.run(both(system))


@pytest.mark.parametrize("end", ["delete", "close"])
def test_readers_are_told_when_nothing_comes_any_more(end: str) -> None:
    """Who reads along while the agent is deleted, or the system closed, does not wait for ever."""

    async def read(finder: AgentRef[Any], waits: asyncio.Event) -> None:
        async for event in finder.stream("r"):
            if event.what == "waits":
                waits.set()

    async def both(system: AgentSystem) -> None:
        finder, waits = system.agent(Asker, "one"), asyncio.Event()
        finder.cast(Asker.think, "which?", run="r")
        reading = asyncio.create_task(read(finder, waits))
        await waits.wait()
        await asyncio.to_thread(finder.delete if end == "delete" else system.close)
        with pytest.raises(UnknownRun if end == "delete" else SystemClosed):
            await asyncio.wait_for(reading, DEADLINE)

    with AgentSystem.open("memory://", agents=[Asker]) as system:
        asyncio.run(both(system))


def test_a_reader_whose_look_waits_when_the_agent_is_deleted_is_told_so() -> None:
    """It is told of a run that is not there, as one who looks behind the deletion."""

    async def read(asker: AgentRef[Any]) -> None:
        async for _ in asker.stream("r"):
            pass

    async def both(system: AgentSystem) -> None:
        asker = system.agent(Asker, "one")
        await asker.call(Asker.run_status, "r")
        asker.cast(Asker.wait)
        reading = asyncio.create_task(read(asker))
        await asyncio.to_thread(until, lambda: asker.describe().waiting)
        deleted = asker.delete(block=False)
        GATE.set()
        with pytest.raises(UnknownRun):
            await asyncio.wait_for(reading, DEADLINE)
        assert await deleted

    with AgentSystem.open("memory://", agents=[Asker]) as system:
        system.agent(Asker, "one").cast(Asker.think, "which?", run="r")
        assert system.idle(DEADLINE)
        asyncio.run(both(system))


class Asker(ThinkingAgent[ThinkingState]):
    """Asks a person whatever it is asked."""

    def wait(self) -> None:
        """Take long."""
        GATE.wait(DEADLINE)

    model = scripted(lambda prompt, _nth, _messages: [("ask_person", {"question": prompt})])
    tools = (ask_person,)


def test_readers_see_an_answer_grow() -> None:
    """Where the provider streams, the pieces of an answer come before the answer."""

    async def pieces(
        _messages: list[ModelMessage], _info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        await asyncio.to_thread(GATE.wait, DEADLINE)
        for piece in ("one ", "two ", "three"):
            yield piece

    talker = ThinkingAgent.define(
        "Talker", model=FunctionModel(stream_function=pieces), streams=True
    )

    async def read(system: AgentSystem) -> None:
        reference = system.agent(talker, "one")
        reference.cast(talker.think, "count", run="r")
        events = []
        async for event in reference.stream("r"):
            GATE.set()
            events.append(event)
        assert "".join(e.body for e in events if e.what == "text") == "one two three"
        assert events[-1].body == "one two three"

    with AgentSystem.open("memory://", agents=[talker]) as system:
        asyncio.run(read(system))


def delegating(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Have another look it up."""
    return str(returned(messages)) if nth else [("ask_finder", {"prompt": "look up it"})]


Boss = ThinkingAgent.define(
    "Boss",
    model=scripted(delegating),
    tools=[agent_tool(Finder, name="ask_finder", about="Ask one who finds things.", key="f")],
)


def test_another_agent_is_a_tool_and_spends_of_the_same_budget() -> None:
    """What the other has used is counted to the run that asked."""
    with AgentSystem.open("memory://", agents=[Boss, Finder]) as system:
        boss = system.agent(Boss, "one")
        assert boss.call(Boss.think, "go", run="r").get() == "[\"['found it']\"]"
        mine = boss.call(Boss.run_status, "r").get().spent
        (run,) = system.agent(Finder, "f").proxy().list_runs().get()
        assert (mine.models, mine.tools) == (2 + run.spent.models, 1 + run.spent.tools)
        assert run.budget.steps == 99
        with pytest.raises(RunFailed, match="3 steps"):
            boss.call(Boss.think, "go", budget=Budget(steps=3)).get()


@pytest.mark.parametrize("tools", [1, 2])
def test_the_other_may_call_what_is_left_of_the_tools(tools: int) -> None:
    """The call by which it is asked is one of them, though it has not ended yet."""
    with AgentSystem.open("memory://", agents=[Boss, Finder]) as system:
        boss = system.agent(Boss, "one")
        boss.call(Boss.think, "go", run="r", budget=Budget(tools=tools)).get(timeout=DEADLINE)
        assert boss.call(Boss.run_status, "r").get().spent.tools == tools
        assert len(CALLS) == tools - 1


def test_the_other_may_make_the_steps_that_are_left() -> None:
    """A model call that has failed, and was made again, is one of them."""
    failures = [ModelHTTPError(503, "m")]

    def flaky(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        if failures:
            raise failures.pop()
        if len(messages) > 1:
            return ModelResponse(parts=[TextPart(str(returned(messages)))])
        return ModelResponse(parts=[ToolCallPart("ask_finder", {"prompt": "look up it"})])

    class Flaky(Boss):  # type: ignore[valid-type, misc]  # made by define()
        model = FunctionModel(flaky)
        backoff = Backoff(0.0, 1.0, 0.0)

    with AgentSystem.open("memory://", agents=[Flaky, Finder]) as system:
        system.agent(Flaky, "one").call(Flaky.think, "go").get(timeout=DEADLINE)
        (run,) = system.agent(Finder, "f").proxy().list_runs().get()
        assert run.budget.steps == 98


def asks_slowly() -> type[ThinkingAgent[Any]]:
    """Return a class whose run asks the other agent for what takes long."""
    return ThinkingAgent.define(
        "Boss",
        model=scripted(
            lambda _prompt, nth, messages: str(returned(messages)) if nth
            else [("ask_finder", {"prompt": "look up slowly"})]
        ),
        tools=[agent_tool(Finder, name="ask_finder", about="Ask.", key="f")],
    )  # fmt: skip


@pytest.mark.parametrize("how", ["stop", "delete", "cancel"])
def test_the_other_goes_on_unless_nobody_needs_it_any_more(how: str) -> None:
    """A stop of the agent that asks ends nothing of the other, whose answer it gets later."""
    asking = asks_slowly()
    with AgentSystem.open("memory://", agents=[asking, Finder]) as system:
        boss, finder = system.agent(asking, "one"), system.agent(Finder, "f")
        boss.cast(asking.think, "go", run="r")
        until(lambda: CALLS)
        if how == "stop":
            boss.stop()
        elif how == "delete":
            boss.delete()
        else:
            boss.call(asking.cancel_run, "r").get()
        GATE.set()
        assert system.idle(DEADLINE)
        (run,) = finder.proxy().list_runs().get()
        assert run.status == ("done" if how == "stop" else "cancelled")
        if how == "stop":
            said = boss.call(asking.think, "", run="r").get(timeout=DEADLINE)
            assert said == "[\"['found slowly']\"]"


def test_a_run_that_failed_is_gone_through_again() -> None:
    """What fails again as it did is the same; what fails in another way, or does not, is not."""

    def stubborn(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[ToolCallPart("look", {}, tool_call_id=f"c{len(messages)}")])

    failing = ThinkingAgent.define("Failing", model=FunctionModel(stubborn))
    talking = ThinkingAgent.define("Talking", model=scripted(lambda *_: "17"))
    counting = ThinkingAgent.define("Counting", model=scripted(lambda *_: "17"), output=int)
    with AgentSystem.open("memory://", agents=[failing, counting]) as system:
        for agent, other in ((failing, None), (counting, talking)):
            ref = system.agent(agent, "one")
            with pytest.raises(RunFailed, match="retries"):
                ref.call(agent.think, "go", run="r").get(timeout=DEADLINE)
            assert asyncio.run(replay_run(ref, "r")).same
            if other is not None:
                replay = asyncio.run(replay_run(ref, "r", against=other))
                assert [each.what for each in replay.differences][-1] == "output"


def test_the_other_agent_is_asked_once_whatever_is_cut_off() -> None:
    """A run that is broken off while the other works joins the other's run, and asks no more."""
    slow = asks_slowly()
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[slow, Finder])
    system.agent(slow, "one").cast(slow.think, "go", run="r")
    while not CALLS:
        threading.Event().wait(0.005)
    system.close(timeout=0.2)
    GATE.set()
    with AgentSystem.open(store, agents=[slow, Finder]) as again:
        answer = again.agent(slow, "one").call(slow.think, "go", run="r").get()
        assert answer == "[\"['found slowly']\"]"
        assert len(again.agent(Finder, "f").proxy().list_runs().get()) == 1


class DeskState(State):
    """The state of an agent that thinks with a mind of another class."""

    answers: list[str] = []  # noqa: RUF012 - msgspec copies it


class Desk(Agent[DeskState]):
    """Has a mind."""

    mind = Finder

    async def handle(self, what: str) -> str:
        """Think twice."""
        for prompt in (f"look up {what}", "thanks"):
            self.state.answers = [*self.state.answers, await self.think(prompt)]
        if CALLS.count(what) == 1 and not GATE.is_set():
            GATE.set()
            raise ConnectionError("at the last moment")
        return self.state.answers[0]

    def answers(self) -> list[str]:
        """Return what was thought."""
        return self.state.answers


class Mindless(Agent[DeskState]):
    """Has none."""

    async def handle(self) -> None:
        """Try to think."""
        await self.think("hard")


def test_any_agent_thinks_with_a_mind(caplog: pytest.LogCaptureFixture) -> None:
    """A message that is handled again gets the thoughts it had, and none is paid twice."""
    with AgentSystem.open("memory://", agents=[Desk, Finder, Mindless]) as system:
        desk = system.agent(Desk, "one")
        desk.cast(Desk.handle, "it")
        assert system.idle(DEADLINE)
        assert desk.call(Desk.answers).get() == ["['found it']", "thanks!"]
        assert CALLS == ["it"]
        with pytest.raises(ConfigurationError, match="has no mind"):
            system.agent(Mindless, "one").call(Mindless.handle).get()


def something(_details: CallDetails) -> Replace:
    """Give another result."""
    return Replace("something")


def known(_details: CallDetails) -> Skip:
    """Answer in the tool's place."""
    return Skip("known")


def refused(_details: CallDetails) -> Cancel:
    """Refuse."""
    return Cancel("not today")


@contextlib.contextmanager
def hooked(
    system: AgentSystem, point: str, function: Callable[[CallDetails], object]
) -> Iterator[None]:
    """Have a hook listen during the block."""
    system.hooks.on(point, name="here")(function)
    try:
        yield
    finally:
        system.hooks.remove("here")


def test_hooks_see_and_change_what_is_said_and_done() -> None:
    """Hooks of model calls and tool calls replace, answer and cancel; what they leave is stored."""
    with AgentSystem.open("memory://", agents=[Finder]) as system:
        finder = system.agent(Finder, "one")
        seen: list[str] = []

        def redact(details: CallDetails) -> Replace:
            request: Any = details.args["request"]
            seen.append(str(request))
            changed = [{**part, "content": "hush"} for part in request]
            return Replace({"request": changed})

        with hooked(system, "model_call.before", redact):
            assert finder.call(Finder.think, "my secret").get() == "hush!"
        assert "my secret" in seen[0]
        told = Transcript.of(steps_of(system, Finder, "one")).finished()
        first = told[0]
        assert isinstance(first, ModelRequest)
        assert isinstance(first.parts[0], UserPromptPart)
        assert first.parts[0].content == "hush"

        with hooked(system, "tool_call.after", something):
            assert finder.call(Finder.think, "look up it").get() == "['something']"
        with hooked(system, "tool_call.before", known):
            assert finder.call(Finder.think, "look up it").get() == "['known']"
        with hooked(system, "tool_call.before", refused):
            assert "not today" in finder.call(Finder.think, "look up it").get()
        assert CALLS == ["it"]
        assert faults(Transcript.of(steps_of(system, Finder, "one")).finished()) == []


def test_a_hook_changes_what_a_tool_of_a_toolset_is_given() -> None:
    """What a hook gives in place of the arguments is what such a tool gets, and nothing else."""

    def send(text: str) -> str:
        """Send a text."""
        CALLS.append(text)
        return f"sent {text}"

    def masked(_details: CallDetails) -> Replace:
        return Replace({"text": "***"})

    sender = ThinkingAgent.define(
        "Sender",
        model=scripted(
            lambda _prompt, nth, messages: str(returned(messages)) if nth
            else [("send", {"text": "my key"})]
        ),
        toolsets=[FunctionToolset([send], id="post")],
    )  # fmt: skip
    with AgentSystem.open("memory://", agents=[sender]) as system:
        with hooked(system, "tool_call.before", masked):
            said = system.agent(sender, "one").call(sender.think, "go").get(timeout=DEADLINE)
        assert said == "['sent ***']"
        assert CALLS == ["***"]


def test_a_conversation_is_compacted_and_kept() -> None:
    """A summary stands for what was before, the model goes on with that, the steps stay."""
    with AgentSystem.open("memory://", agents=[Finder]) as system:
        finder = system.agent(Finder, "one")
        for number in range(6):
            finder.call(Finder.think, f"word {number}").get()
        before = steps_of(system, Finder, "one")
        assert finder.call(Finder.compact, 5, summary="six words").get() == "six words"
        steps = steps_of(system, Finder, "one")
        assert steps[: len(before)] == before
        told = Transcript.of(steps).finished()
        assert len(told) == 1 + 4
        assert "six words" in str(told[0])
        made = finder.call(Finder.compact, 2).get()
        assert made == f"{Finder.summarise}!"
        told = Transcript.of(steps_of(system, Finder, "one")).finished()
        assert len(told) == 1 + 2
        assert finder.call(Finder.think, "more").get() == "more!"
        assert faults(Transcript.of(steps_of(system, Finder, "one")).finished()) == []


def heard(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Say what was said before, or look something up."""
    said = [
        str(part.content)
        for message in messages
        for part in message.parts
        if hasattr(part, "content")
    ]
    if said[-1].startswith("look up"):
        return ModelResponse(parts=[ToolCallPart("look_up", {"what": "it"}, "c1")])
    return ModelResponse(parts=[TextPart(" / ".join(said))])


def test_a_transcript_is_edited_and_what_was_said_is_kept() -> None:
    """What stands for a step is told from the next run on, over restarts; the step stays."""
    store, hearing = (
        MemoryStore(),
        ThinkingAgent.define("Hearing", model=FunctionModel(heard), tools=[look_up]),
    )
    with AgentSystem.open(store, agents=[hearing]) as system:
        agent = system.agent(hearing, "one")
        agent.call(hearing.think, "look up it", run="r").get()
        before = steps_of(system, hearing, "one")
        places: dict[tuple[str, str], int] = {
            (step.what, step.op): place for place, step in enumerate(before)
        }
        for what, text in (
            (("asked", ""), "ASKED"),
            (("done", "tool"), "FOUND"),
            (("done", "model"), "SAID"),
        ):
            agent.call(hearing.edit_transcript, places[what], text).get()
        said = agent.call(hearing.think, "so?", run="s").get()
        assert said == "ASKED / FOUND / SAID / so?"
        assert steps_of(system, hearing, "one")[: len(before)] == before
    with AgentSystem.open(store, agents=[hearing]) as system:
        agent = system.agent(hearing, "one")
        agent.call(hearing.edit_transcript, places["asked", ""], None).get()
        said = agent.call(hearing.think, "and?").get()
        assert said.startswith("look up it / FOUND / SAID / so?")
        assert asyncio.run(replay_run(agent, "s")).same
        for step, instead, why in (
            (1, "x", "nothing of a step 1"),
            (99, "x", "no step 99"),
            (99, None, "no step 99"),
            (-1, None, "no step -1"),
            (0, " ", "say what"),
        ):
            with pytest.raises(ConfigurationError, match=why):
                agent.call(hearing.edit_transcript, step, instead).get()


def test_a_run_is_gone_through_again_without_a_provider() -> None:
    """A replay calls nothing, gives the same answer, and says what another class would be told."""

    def forbidden(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        raise AssertionError("nobody may be asked")

    other = ThinkingAgent.define(
        "Other", model=FunctionModel(forbidden), instructions="Be brief.", tools=[look_up]
    )
    with AgentSystem.open("memory://", agents=[Finder]) as system:
        finder = system.agent(Finder, "one")
        finder.call(Finder.think, "hello").get()
        finder.call(Finder.think, "look up it", run="r").get()
        same = asyncio.run(replay_run(finder, "r"))
        assert (same.models, same.tools, same.output) == (2, 1, "['found it']")
        assert same.differences == ()
        changed = asyncio.run(replay_run(finder, "r", against=other))
        assert [(each.nth, each.what, each.now) for each in changed.differences] == [
            (1, "instructions", "Be brief."), (2, "instructions", "Be brief."),
        ]  # fmt: skip
        assert changed.output == same.output
        assert CALLS == ["it"]


def test_costs_are_counted_by_given_prices() -> None:
    """A model with a price has its costs in the run and in the statistics, and a budget of them."""
    priced = ThinkingAgent.define(
        "Priced",
        model=scripted(lambda _prompt, nth, _messages: [("look_up", {"what": str(nth)})]),
        tools=[look_up],
        prices={"function:answer:": (1_000_000.0, 0.0)},
    )
    with AgentSystem.open("memory://", agents=[priced]) as system:
        agent = system.agent(priced, "one")
        with pytest.raises(RunFailed, match=r"300\.0 cost"):
            agent.call(priced.think, "go", run="r", budget=Budget(cost=300)).get()
        spent = agent.call(priced.run_status, "r").get().spent
        assert 0 < spent.cost <= 300
        assert spent.cost == spent.tokens_in
