"""The transcript as a model is given it: valid, whatever was cut off where."""

import importlib.util
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart

from perdure import ThinkingAgent
from perdure.llm.engine import Engine
from perdure.llm.job import Before
from perdure.llm.records import Run, RunStep
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import ConfigurationError
from tests.kit.children import finished
from tests.llm.scripts import faults, scripted

ENDS = st.lists(st.sampled_from(["done", "closed", "begun", "nothing"]), max_size=3)
"""What became of each call of one answer."""
RUNS = st.lists(st.tuples(st.lists(ENDS, max_size=4), st.booleans()), min_size=1, max_size=4)
"""The answers of each run, and whether it was compacted behind it."""


def prompt(text: str) -> dict[str, object]:
    """Return something that is asked, as it is stored."""
    return {"part_kind": "user-prompt", "content": text}


def answer(run: str, nth: int, calls: int) -> dict[str, object]:
    """Return an answer with calls of a tool, as it is stored."""
    parts: list[object] = [
        {"part_kind": "tool-call", "tool_name": "t", "args": {}, "tool_call_id": f"{run}.{nth}.{n}"}
        for n in range(calls)
    ]
    return {"kind": "response", "parts": [*parts, {"part_kind": "text", "content": "so"}]}


def returns(run: str, nth: int, calls: int) -> list[object]:
    """Return what a model is told of its calls, by reference to what they returned."""
    return [
        {
            "part_kind": "tool-return", "tool_name": "t", "tool_call_id": f"{run}.{nth}.{n}",
            "content": {"$of": f"{run}.{nth}.{n}"},
        }
        for n in range(calls)
    ]  # fmt: skip


def steps_of(run: str, answers: list[list[str]]) -> Iterator[RunStep]:
    """Iterate over the steps of a run, which stops at the first call that has no result."""
    yield RunStep("asked", run, 0.0, body=run)
    request: list[object] = [prompt(run)]
    for nth, ends in enumerate(answers, 1):
        yield RunStep("begun", run, 0.0, "model", nth, body={"request": request})
        yield RunStep("done", run, 0.0, "model", nth, body=answer(run, nth, len(ends)))
        for number, end in enumerate(ends):
            call = f"{run}.{nth}.{number}"
            if end != "nothing":
                yield RunStep("begun", run, 0.0, "tool", nth, call, "t")
            if end == "done":
                body = {"kind": "tool_return", "result": number}
                yield RunStep("done", run, 0.0, "tool", nth, call, "t", body=body)
            elif end == "closed":
                yield RunStep("closed", run, 0.0, "tool", nth, call, "t", body="cut off")
        if any(end != "done" for end in ends):
            return
        request = returns(run, nth, len(ends)) or [prompt("go on")]


@settings(max_examples=40)
@given(runs=RUNS, keep=st.integers(0, 3))
def test_every_beginning_of_every_transcript_is_valid(
    runs: list[tuple[list[list[str]], bool]], keep: int
) -> None:
    """Cut off anywhere, no call is without its result, and no result without its call."""
    steps = transcript_of(runs, keep)
    for length in range(len(steps) + 1):
        assert faults(Transcript.of(steps[:length]).finished()) == []


@settings(max_examples=40)
@given(runs=RUNS, keep=st.integers(0, 3), places=st.lists(st.integers(0, 40), max_size=4))
def test_an_edit_is_told_and_changes_nothing_else(
    runs: list[tuple[list[list[str]], bool]], keep: int, places: list[int]
) -> None:
    """Whatever is edited, the messages are valid and as many, and say it if they say they do."""
    steps = transcript_of(runs, keep)
    before = Transcript.of(steps).finished()
    told: dict[int, str] = {}
    for number, place in enumerate(places):
        told[place] = f"<edit {number}>"
        steps.append(RunStep("edited", "", 0.0, body={"step": place, "text": told[place]}))
        made = Transcript.of(steps)
        after = made.finished()
        assert faults(after) == []
        assert list(map(type, after)) == list(map(type, before))
        for each, text in told.items():
            assert made.tells_edit(each) == (text in str(after))
    steps += [RunStep("edited", "", 0.0, body={"step": place, "text": None}) for place in places]
    assert "<edit" not in str(Transcript.of(steps).finished())


def test_what_is_known_of_a_call_is_told_where_the_run_was_cut_off() -> None:
    """A call that returned nothing, or has failed, is not said to have not begun."""
    ends: list[Any] = [
        ("done", {"kind": "tool_return", "result": None}),
        ("done", {"kind": "tool_failed", "message": "no such order"}),
        ("failed", "ConnectionError: away"),
    ]
    steps = list(steps_of("r", [["nothing"] * 4]))
    for number, (what, body) in enumerate(ends):
        call = f"r.1.{number}"
        place: dict[str, Any] = {"op": "tool", "nth": 1, "call": call, "name": "t"}
        steps += [RunStep("begun", "r", 0.0, **place), RunStep(what, "r", 0.0, **place, body=body)]
    told = Transcript.of(steps).finished()[-1]
    assert [getattr(part, "content", "") for part in told.parts] == [
        None, "[failed: no such order]", "[failed: ConnectionError: away]",
        "[not begun: the run ended]",
    ]  # fmt: skip


def test_a_result_is_told_of_its_own_call_though_an_id_comes_again() -> None:
    """A call that was cut off has no result, also where an earlier one of its id had."""
    steps = list(steps_of("r", [["done"]]))
    steps.append(RunStep("begun", "r", 0.0, "model", 2, body={"request": returns("r", 1, 1)}))
    steps.append(RunStep("done", "r", 0.0, "model", 2, body=answer("r", 1, 1)))
    *_, first, _, second = Transcript.of(steps).finished()
    told = [getattr(part, "content", "") for message in (first, second) for part in message.parts]
    assert told == [0, "[not begun: the run ended]"]


def told(engine: Engine, agent: SimpleNamespace, run: Run) -> list[ModelMessage]:
    """Return what was said before a run."""
    before = engine.before(agent, run)
    return (before if isinstance(before, Before) else before()).messages


def test_what_a_turn_has_said_that_was_undone_is_not_told() -> None:
    """The messages that an agent keeps in memory are made anew where its transcript is another."""
    engine = Engine(ThinkingAgent.define("Teller", model=scripted(lambda *_: "so")))
    state = SimpleNamespace(transcript=list(steps_of("r", [["done"]])))
    agent = SimpleNamespace(state=state)
    run = Run("next", "running", 0.0, 0, start=len(state.transcript))
    assert "cut off" not in str(told(engine, agent, run))
    state.transcript = list(steps_of("r", [["closed"]]))
    assert "cut off" in str(told(engine, agent, run))


def test_messages_of_an_agent_that_was_just_loaded_are_made_outside_of_its_turn() -> None:
    """A turn does not read through a long transcript; what was made of it is kept for the next."""
    engine = Engine(ThinkingAgent.define("Sleeper", model=scripted(lambda *_: "so")))
    steps = list(steps_of("r", [["done"], ["closed"]]))
    agent = SimpleNamespace(state=SimpleNamespace(transcript=steps))
    run = Run("next", "running", 0.0, 0, start=len(steps))
    later = engine.before(agent, run)
    assert not isinstance(later, Before)
    now, made = engine.before(agent, run), later().messages
    assert not isinstance(now, Before)
    known = engine.before(agent, run)
    assert isinstance(known, Before)
    assert all(one is other for one, other in zip(known.messages, made, strict=True))


def transcript_of(runs: list[tuple[list[list[str]], bool]], keep: int) -> list[RunStep]:
    """Return the steps of runs, some of which were summed up behind their end."""
    steps: list[RunStep] = []
    for number, (answers, compacted) in enumerate(runs):
        steps += steps_of(f"r{number}", answers)
        if compacted:
            messages = Transcript.of(steps).finished()
            kept = min(keep, len(messages))
            while kept and not is_prompt(messages[-kept]):
                kept -= 1
            body = {"summary": "before", "kept": kept}
            steps.append(RunStep("compacted", "", 0.0, body=body))
    return steps


def is_prompt(message: ModelRequest | ModelResponse) -> bool:
    """Tell whether a message asks something."""
    return isinstance(message, ModelRequest) and any(
        isinstance(part, UserPromptPart) for part in message.parts
    )


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of agents that think is refused where pydantic-ai is not installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "perdure\[llm\]"'):
        ThinkingAgent.define("Helper", model="test")


def test_nothing_of_the_extra_is_imported_before_the_first_run() -> None:
    """A program that does not think pays nothing for it."""
    code = (
        "import sys, perdure\n"
        "perdure.ThinkingAgent, perdure.tool, perdure.AgentSystem, perdure.Runs\n"
        "print([name for name in sys.modules if name.startswith('pydantic')])"
    )
    assert finished("-c", code)[0].strip() == "[]"
