"""Which runs an agent keeps when they have ended, and what counts over restarts."""

import pytest
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure import AgentSystem, VirtualClock
from perdure.lifecycle.backoff import Backoff
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import RunRetention, ThinkingState
from perdure.llm.tools import ask_person
from perdure.persistence.errors import ConfigurationError, Deadlock, RunFailed, UnknownRun
from perdure.persistence.memory.store import MemoryStore
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, returned, scripted

ASKED: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> None:
    """Begin with nothing outside."""
    ASKED.clear()


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Answer, or wait for a person first."""
    if prompt == "wait":
        return str(returned(messages)) if nth else [("ask_person", {"question": "now?"})]
    return f"{prompt}!"


class Short(ThinkingAgent[ThinkingState]):
    """Keeps ten runs."""

    model = scripted(script, lambda prompt, _nth: ASKED.append(prompt))
    tools = (ask_person,)
    run_retention = RunRetention(runs=10)

    def stored(self) -> tuple[int, int, int]:
        """Return how many runs there are, how many in order, and how many wait."""
        state = self.state
        return len(state.runs), len(state.ended), len(state.queue)

    def as_before(self) -> None:
        """Be as an earlier release has left it."""
        self.state.ended.clear()
        self.state.queue.clear()
        self.state.ends = self.state.queued = 0


def names(system: AgentSystem) -> list[str]:
    """Return the names of the runs that are kept."""
    return [run.id for run in system.agent(Short, "one").call(Short.list_runs).get()]


def test_the_last_runs_are_kept() -> None:
    """Of runs asked for at once each is made, in order; the last are kept, a lost name is new."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Short]) as system:
        short = system.agent(Short, "one")
        first = short.call(Short.think, "wait", run="first")
        asked = [short.call(Short.think, f"{n}", run=f"r{n}") for n in range(25)]
        assert system.idle(DEADLINE)
        assert short.call(Short.stored).get() == (26, 0, 25)
        assert short.call(Short.cancel_run, "r20").get()
        (waiting,) = short.call(Short.run_status, "first").get().waiting
        short.call(Short.answer, "first", waiting.call, "go on").get()
        assert first.get() == "['go on']"
        answers = [each.get() for n, each in enumerate(asked) if n != 20]
        assert answers == [f"{n}!" for n in range(25) if n != 20]
        assert ["wait", "wait", *(f"{n}" for n in range(25) if n != 20)] == ASKED
        assert short.call(Short.stored).get() == (10, 10, 0)
    with AgentSystem.open(store, agents=[Short]) as system:
        short = system.agent(Short, "one")
        assert names(system) == [f"r{n}" for n in range(14, 25) if n != 20]
        assert short.call(Short.think, "", run="r24").get() == "24!"
        with pytest.raises(UnknownRun):
            short.call(Short.run_status, "r3").get()
        assert short.call(Short.think, "3", run="r3").get() == "3!"
        assert ASKED.count("24") == 1
        assert ASKED.count("3") == 2
        assert short.call(Short.stored).get() == (10, 10, 0)


def test_a_run_that_is_too_old_goes_when_another_ends() -> None:
    """Runs are kept for so many seconds since their end."""

    class Aged(Short):
        kind = "Short"
        run_retention = RunRetention(runs=None, seconds=60)

    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Aged], clock=clock) as system:
        aged = system.agent(Aged, "one")
        for run in ("a", "b", "c"):
            aged.call(Aged.think, run, run=run).get()
            clock.advance(40)
        assert [run.id for run in aged.call(Aged.list_runs).get()] == ["b", "c"]


def test_the_latest_run_stays_however_short_the_time_is() -> None:
    """Who has its answer finds it: it goes when another ends, also where the clock went on."""

    class Hasty(Short):
        kind = "Short"
        run_retention = RunRetention(runs=None, seconds=1e-9)

    with AgentSystem.open("memory://", agents=[Hasty]) as system:
        hasty = system.agent(Hasty, "one")
        for run in ("a", "b"):
            hasty.call(Hasty.think, run, run=run).get(timeout=DEADLINE)
            assert [each.id for each in hasty.call(Hasty.list_runs).get()] == [run]


def test_runs_that_an_earlier_release_has_left_are_put_in_order() -> None:
    """Runs of which no order is stored are kept and dropped as all others are."""
    with AgentSystem.open("memory://", agents=[Short]) as system:
        short = system.agent(Short, "one")
        for number in range(9):
            short.call(Short.think, "go", run=f"r{number}").get()
        short.call(Short.as_before).get()
        for number in range(9, 12):
            short.call(Short.think, "go", run=f"r{number}").get()
        assert names(system) == [f"r{number}" for number in range(2, 12)]


def test_a_retention_that_is_none_is_refused() -> None:
    """A class says which runs it keeps by a RunRetention, and not by a number."""
    with pytest.raises(ConfigurationError, match=r"RunRetention\(runs=1000\)"):
        type("Wrong", (Short,), {"run_retention": 5})
    with pytest.raises(ConfigurationError, match="10 or more"):
        RunRetention(runs=1)


def test_attempts_count_over_restarts() -> None:
    """A model that fails in each process is called so often in all, and then the run has failed."""

    def away(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        ASKED.append("asked")
        raise ModelHTTPError(503, "m")

    class Away(Short):
        kind = "Short"
        model = FunctionModel(away)
        attempts = 3
        backoff = Backoff(5.0, 1.0, 5.0, 0.0)

    store = MemoryStore()
    for life in (1, 2):
        with AgentSystem.open(store, agents=[Away], clock=VirtualClock()) as system:
            system.agent(Away, "one").cast(Away.think, "go", run="r")
            with pytest.raises(Deadlock, match="calls its model again"):
                system.idle()
            assert len(ASKED) == life
    with AgentSystem.open(store, agents=[Away], clock=VirtualClock()) as system:
        with pytest.raises(RunFailed, match="503"):
            system.agent(Away, "one").call(Away.think, "go", run="r").get(timeout=DEADLINE)
        assert len(ASKED) == 3
