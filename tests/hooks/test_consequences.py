"""What hooks are told of, keep and count is what came to be, whoever acts and whenever."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from msgspec import field

from perdure import (
    Agent,
    AgentSystem,
    Caching,
    Cancel,
    CostBudget,
    Durability,
    MessageDetails,
    OutcomeDetails,
    Replace,
    RestartPolicy,
    Scope,
    ScopeDetails,
    Secret,
    Spent,
    State,
    StateDetails,
)
from perdure.persistence.errors import HookCancelled, HookFailed
from tests.hooks.test_deferred import Adder, queued
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE


class Items(State):
    items: list[str] = field(default_factory=list)


class Keeper(Agent[Items]):
    durability = Durability.VOLATILE
    restarts = RestartPolicy(attempts=1)

    def add(self, item: str) -> list[str]:
        self.state.items.append(item)
        return self.state.items

    def login(self, token: Secret[str]) -> str:
        return token.reveal()

    def listed(self) -> list[str]:
        return self.state.items

    def write(self) -> None:
        self.scopes.set(self.scopes.own, "k", "in the turn")

    def write_behind(self) -> None:
        def go_on() -> None:
            try:
                self.scopes.set(self.scopes.own, "k", "behind it")
            except HookCancelled as error:
                refused.append(error)

        work = self.system.carry(go_on)
        thread = threading.Thread(target=lambda: (gate.wait(DEADLINE), work()), daemon=True)
        gate.clear()
        thread.start()
        threads.append(thread)


gate = threading.Event()
threads: list[threading.Thread] = []
refused: list[BaseException] = []


def test_a_deferred_hook_is_not_called_for_a_turn_that_is_undone() -> None:
    """Also where the turn is refused behind the point, or begun again."""
    told: list[tuple[str, object]] = []
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on("message.after", deferred=True, name="late")
        def late(details: OutcomeDetails) -> None:
            told.append((details.key, details.result))

        @system.hooks.on("state.before")
        def guard(details: StateDetails) -> Cancel | None:
            return Cancel("too much") if details.new["total"] == 7 else None

        adder = system.agent(Adder, "a")
        with pytest.raises(HookCancelled):
            adder.call(Adder.add, 7).get(timeout=DEADLINE)
        adder.call(Adder.add, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert queued(system) == 0
    assert told == [("a", 1)]


def test_a_guard_stands_at_what_an_agent_does_behind_its_turn() -> None:
    """A hook for a class runs where its agents act: in the turn, and in a thread that goes on."""
    with AgentSystem.open("memory://", agents=[Keeper]) as system:

        @system.hooks.on("scope_write.before", agents=Keeper)
        def guard(details: ScopeDetails) -> Cancel:
            return Cancel(f"no {details.value}")

        keeper = system.agent(Keeper, "a")
        with pytest.raises(HookCancelled, match="no in the turn"):
            keeper.call(Keeper.write).get(timeout=DEADLINE)
        keeper.call(Keeper.write_behind).get(timeout=DEADLINE)
        gate.set()
        threads.pop().join(DEADLINE)
        assert [str(refused.pop()).rpartition(": ")[2] for _ in list(refused)] == ["no behind it"]
        assert not system.state.exists(Scope.agent("Keeper", "a"), "k")


def test_one_call_is_not_answered_by_the_result_of_another() -> None:
    """Arguments that JSON cannot tell apart are no key."""
    with AgentSystem.open("memory://", agents=[Keeper]) as system:
        system.hooks.add(Caching("login", shared=True))
        keeper = system.agent(Keeper, "a")
        tokens = [keeper.call(Keeper.login, Secret(text)).get(timeout=DEADLINE) for text in "ab"]
        assert tokens == ["a", "b"]


def test_a_cached_result_is_as_it_was() -> None:
    """What the agent does later with its state changes no result that was kept."""
    with AgentSystem.open("memory://", agents=[Keeper]) as system:
        system.hooks.add(Caching("listed"))
        keeper = system.agent(Keeper, "a")
        keeper.call(Keeper.add, "1").get(timeout=DEADLINE)
        assert keeper.call(Keeper.listed).get(timeout=DEADLINE) == ["1"]
        keeper.call(Keeper.add, "2").get(timeout=DEADLINE)
        assert keeper.call(Keeper.listed).get(timeout=DEADLINE) == ["1"]


def test_a_cached_result_of_a_tool_is_each_callers_own() -> None:
    """Whoever changes what it was given changes nothing for the next."""
    with AgentSystem.open("memory://", agents=[]) as system:
        system.hooks.add(Caching("find", at="tools"))
        for _ in range(3):
            found = system.hooks.call_tool("find", lambda: ["x"])
            assert found == ["x"]
            found.append("mine")


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_an_answer_of_the_wrong_form_is_a_failure_of_the_hook(policy: str) -> None:
    """It counts as one, and what becomes of the message is what the hook's policy says."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on("message.before", on_failure=policy, name="wrong")
        def wrong(_details: MessageDetails) -> Replace:
            return Replace("no pair of arguments")

        reply = system.agent(Adder, "a").call(Adder.add, 2)
        if policy == "open":
            assert reply.get(timeout=DEADLINE) == 2
        else:
            with pytest.raises(HookFailed, match="takes \\(args, kwargs\\)"):
                reply.get(timeout=DEADLINE)
        assert system.hooks.get("wrong").failures == 1


def test_a_budget_counts_the_calls_that_are_made() -> None:
    """One that a cache answers costs nothing, another by the arguments it is made with."""
    with AgentSystem.open("memory://", agents=[]) as system:
        system.hooks.add(Caching("ask", at="models"))
        system.hooks.add(
            CostBudget(
                tokens=1000,
                expect=lambda details: Spent(tokens=len(str(details.args["text"]))),
                measure=lambda details: Spent(tokens=len(str(details.result))),
            )
        )

        @system.hooks.on("model_call.before", priority=500)
        def shorter(details: Any) -> Replace:  # noqa: ANN401 - CallDetails
            return Replace({"text": details.args["text"][:3]})

        for _ in range(5):
            assert system.hooks.call_model("ask", lambda text: text, text="a" * 100) == "aaa"
        spent: Any = system.state.get(Scope.custom("hooks", "cost_budget"), "all")
        assert spent["tokens"] == 3


def test_the_version_of_a_hook_is_the_same_in_each_process() -> None:
    """Also where its code holds a set, whose order is another each time."""
    code = (
        "from perdure.hooks.hook import code_version\n"
        "def look(details): return details in {'a', 'b', 'c', 'd'}\n"
        "print(code_version(look))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True,
            env={**environment(), "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(said) == 1


class Looker:
    """A hook that is an object whose call is async."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, details: MessageDetails) -> None:
        self.seen.append(details.name)


def test_an_object_with_an_async_call_is_awaited() -> None:
    """It is an async hook, as an async function is."""
    looker = Looker()
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", looker, name="looker")
        assert system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE) == 1
        assert system.hooks.get("looker").failures == 0
    assert looker.seen == ["add"]
