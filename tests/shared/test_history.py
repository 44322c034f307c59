"""Random histories of threads and turns, held against one dictionary in the order of commits."""

import random
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Scope
from perdure.persistence.errors import StateError
from perdure.shared.scopes.state import ScopedState
from tests.kit.threads import at_once, hasty
from tests.shared.agents import WORK, Count, Worker

SCOPES = [WORK, Scope.custom("c", "1")]
KEYS = ["a", "b", "c"]
KINDS = ["get", "set", "add", "increment", "cas", "absent", "delete", "copy", "move"]
Step = tuple[str, int, str, int]
histories = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 1), st.sampled_from(KEYS), st.integers(0, 3),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def do(state: ScopedState, step: Step) -> object:  # noqa: PLR0911 - a line for each kind
    """Take a step and return what the caller learns."""
    what, place, key, number = step
    scope, other = SCOPES[place], SCOPES[1 - place]
    match what:
        case "get":
            return state.get(scope, key)
        case "set":
            state.set(scope, key, number)
            return None
        case "add":
            state.add(scope, key, number)
            return None
        case "increment":
            return state.increment(scope, key, number)
        case "cas":
            return state.compare_and_set(scope, key, number, number + 1)
        case "absent":
            return state.set_if_absent(scope, key, number)
        case "delete":
            return state.delete(scope, key)
        case "copy":
            return state.copy(scope, key, other)
    return state.move(scope, key, other)


def expect(  # noqa: C901, PLR0911 - the same
    model: dict[tuple[int, str], int], step: Step
) -> object:
    """Take the same step in a dictionary."""
    what, place, key, number = step
    mine, other = (place, key), (1 - place, key)
    match what:
        case "get":
            return model.get(mine)
        case "set":
            model[mine] = number
            return None
        case "add":
            model[mine] = model.get(mine, 0) + number
            return None
        case "increment":
            model[mine] = model.get(mine, 0) + number
            return model[mine]
        case "cas":
            holds = model.get(mine) == number
            if holds:
                model[mine] = number + 1
            return holds
        case "absent":
            holds = mine not in model
            if holds:
                model[mine] = number
            return holds
        case "delete":
            return model.pop(mine, None) is not None
    if mine not in model:
        return False
    model[other] = model[mine]
    if what == "move":
        del model[mine]
    return True


@settings(max_examples=200)
@given(st.lists(histories, max_size=6))
def test_one_after_the_other(histories: list[list[Step]]) -> None:
    """Steps alone, in transactions and in turns do what they do to a dictionary."""
    model: dict[tuple[int, str], int] = {}
    with AgentSystem.open("memory://", agents=[Doer]) as system:
        state = system.state
        for number, history in enumerate(histories):
            wanted = [expect(model, step) for step in history]
            if number % 3 == 0:
                seen = [do(state, step) for step in history]
            elif number % 3 == 1:
                with state.transaction():
                    seen = [do(state, step) for step in history]
            else:
                seen = system.agent(Doer, "d").call(Doer.take, history).get()[1]
            assert seen == wanted
        _same(state, model)


class Doer(Agent[Count]):
    """Take steps in a turn."""

    boundary = Worker.boundary

    def take(self, steps: list[Any]) -> tuple[int, list[object]]:
        self.state.turns += 1
        return self.state.turns, [do(self.scopes, tuple(step)) for step in steps]


@pytest.mark.parametrize(
    "history", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 200))]
)
def test_at_the_same_time(history: int) -> None:
    """Threads and agents that transact at once did it one after the other, in journal order.

    Each writes a number of its own with its steps; the journal says in which order these came, and
    a dictionary that takes the steps in that order must give every answer that was given.
    """
    seed = history and random.getrandbits(32)  # the short one is the same each time
    chance = random.Random(seed)
    units = [
        [
            (chance.choice(KINDS), chance.randint(0, 1), chance.choice(KEYS), chance.randint(0, 3))
            for _ in range(chance.randint(1, 4))
        ]
        for _ in range(240)
    ]  # fmt: skip
    answers: dict[int, list[object]] = {}
    with AgentSystem.open("memory://", agents=[Marker]) as system, hasty():
        state = system.state

        def work(thread: int) -> None:
            for number in range(thread, len(units), 8):
                steps = units[number]

                def unit(_: object, number: int = number, steps: Any = steps) -> list[object]:  # noqa: ANN401
                    seen = [do(state, step) for step in steps]
                    state.set(Scope.GLOBAL, "unit", number)
                    return seen

                if thread % 2:
                    answers[number] = state.transact(unit)
                else:
                    agent = system.agent(Marker, str(thread))
                    answers[number] = agent.call(Marker.take, number, steps).get()

        at_once(8, work)
        order = [
            row[4]
            for entry in system.journal.list(limit=10_000)
            for row in msgspec.json.decode(entry.delta).get("rows", {}).get("scoped", [])
            if row[0] == "global"
        ]
        assert sorted(order) == list(range(240)), seed
        model: dict[tuple[int, str], int] = {}
        for number in order:
            assert answers[number] == [expect(model, step) for step in units[number]], seed
        _same(state, model)


class Marker(Agent[Count]):
    """Take steps in a transaction in a turn, and say in which order."""

    boundary = Worker.boundary

    def take(self, number: int, steps: list[Any]) -> list[object]:
        with self.scopes.transaction():
            seen = [do(self.scopes, tuple(step)) for step in steps]
            self.scopes.set(Scope.GLOBAL, "unit", number)
        return seen


def _same(state: ScopedState, model: dict[tuple[int, str], int]) -> None:
    stored = {
        (place, key): state.get(scope, key)
        for place, scope in enumerate(SCOPES)
        for key in state.list(scope)
    }
    assert stored == model


def test_a_step_that_raises_leaves_the_others_alone() -> None:
    """A unit whose step fails under the lock writes nothing, and the next goes on."""
    failed = threading.Event()
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state

        def overflow(_: object) -> None:
            state.set(WORK, "beside", 1)
            state.add(WORK, "n", 2**62)
            if not failed.is_set():
                failed.set()
                thread = threading.Thread(target=state.set, args=(WORK, "n", 2**64 - 1))
                thread.start()
                thread.join()

        try:
            state.transact(overflow)
        except StateError as error:
            assert "beyond 64 bits" in str(error)  # noqa: PT017
        assert not state.exists(WORK, "beside")
        assert state.increment(WORK, "n", -1) == 2**64 - 2
