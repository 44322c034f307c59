"""How hooks run: in order, within their budget, left alone when they fail, with no more rights."""

import asyncio
import itertools
import sys
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Breaker,
    Cancel,
    Durability,
    MessageDetails,
    OutcomeDetails,
    Point,
    Replace,
    State,
)
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import (
    ConfigurationError,
    Deadlock,
    Denied,
    HookCancelled,
    HookFailed,
    UnknownHook,
)
from tests.kit.deadline import DEADLINE

NOTING = {"hooked", "hooks", "listeners", "notes", "answers"}
"""Files of cells that are about hooks."""
CHECKED = Point.custom("order.checked", dict, replaces=True)


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    def add(self, number: int) -> int:
        self.state.total += number
        return self.state.total

    async def add_later(self, number: int) -> int:
        await asyncio.sleep(0)
        return self.add(number)

    async def check(self, name: str) -> object:
        return self.system.hooks.run(CHECKED, {"name": name})  # type: ignore[attr-defined]

    def meddle(self, what: str) -> None:
        hooks = self.system.hooks  # type: ignore[attr-defined]
        if what == "on":
            hooks.on("message.before", nothing)
        elif what == "record":
            hooks.record(self.actor_ref)
        else:
            getattr(hooks, what)("guard")


class Beside(Adder):
    durability = Durability.VOLATILE

    def where(self) -> int:
        return threading.get_ident()


def nothing(details: object) -> None:
    """Let all of it go on."""


def taken_down(seen: list[str], name: str, details: object) -> None:
    """Take down that a hook has run."""
    seen.append(name)


def ask(system: AgentSystem, number: int, key: str = "a") -> int:
    """Have a number added."""
    return system.agent(Adder, key).call(Adder.add, number).get(timeout=DEADLINE)


def test_hooks_run_by_priority_and_then_as_they_were_registered() -> None:
    """Whatever the order of registration, lower priorities come first, equal ones stay in order."""
    for order in itertools.permutations([(5, "a"), (5, "b"), (1, "c"), (100, "d")]):
        with AgentSystem.open("memory://", agents=[Adder]) as system:
            seen: list[str] = []
            for priority, name in order:
                note = partial(taken_down, seen, name)
                system.hooks.on("message.before", note, name=name, priority=priority)
            ask(system, 1)
            assert seen == [name for _, name in sorted(order, key=lambda each: each[0])]


def hooks_code(system: AgentSystem) -> set[str]:
    """Return what turns of one agent call of the code for hooks, run by their caller."""
    asker, found = system.agent(Beside, "a"), set[str]()
    asker.call(Beside.where).get()  # who listens is found with the first

    def look(frame: FrameType, event: str, _what: object) -> None:
        path = Path(frame.f_code.co_filename)
        ours = path.parent.name == "hooks" or path.stem in NOTING
        if event == "call" and ours and path != Path(__file__):
            found.add(frame.f_code.co_qualname)

    here = 0
    while here < 20:  # a worker may be first
        sys.setprofile(look)
        ran = asker.call(Beside.where).get()
        sys.setprofile(None)
        here += ran == threading.get_ident()
    return found


def test_where_nobody_listens_nothing_is_called_for_hooks() -> None:
    """A turn runs no line of hooks, whether they listen to other agents or to none."""
    with AgentSystem.open("memory://", agents=[Adder, Beside]) as system:
        assert hooks_code(system) == set()
        for point in ("message.before", "message.after", "error", "state.before", "save.before"):
            system.hooks.on(point, nothing, agents=Adder, name=point)
        assert hooks_code(system) == set()
        system.hooks.on("message.before", nothing, agents=Beside, name="one")
        assert {"HookedCell._handle", "run_chain", "Hook.run"} <= hooks_code(system)


def test_an_async_hook_is_waited_for_wherever_its_handler_runs() -> None:
    """Async hooks decide for plain and async handlers alike; one over its budget has failed."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on("message.after", name="double")
        async def double(details: OutcomeDetails) -> Replace:
            await asyncio.sleep(0)
            return Replace((details.name, details.result))

        adder = system.agent(Adder, "a")
        assert adder.call(Adder.add, 1).get(timeout=DEADLINE) == ("add", 1)  # type: ignore[comparison-overlap]
        assert adder.call(Adder.add_later, 1).get(timeout=DEADLINE) == ("add_later", 2)  # type: ignore[comparison-overlap]

        @system.hooks.on("message.before", name="hangs", budget=0.01)
        async def hangs(details: MessageDetails) -> None:
            await asyncio.Event().wait()

        with pytest.raises(HookFailed, match=r"hangs at message\.before failed"):
            ask(system, 1)
        assert system.hooks.get("hangs").failures == 1


def test_an_async_hook_of_a_custom_point_is_no_hang_in_a_coroutine() -> None:
    """What cannot be waited for on the event loop says so; a plain hook runs there."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on(CHECKED, name="slow")
        async def slow(details: dict[str, object]) -> None:
            return None

        adder = system.agent(Adder, "a")
        with pytest.raises(HookFailed, match="failed") as failed:
            adder.call(Adder.check, "x").get(timeout=DEADLINE)
        assert isinstance(failed.value.__cause__, Deadlock)
        system.hooks.remove("slow")

        @system.hooks.on(CHECKED)
        def change(details: dict[str, object]) -> Replace | Cancel:
            return Cancel("nameless") if not details["name"] else Replace({"name": "y"})

        assert adder.call(Adder.check, "x").get(timeout=DEADLINE) == {"name": "y"}
        with pytest.raises(HookCancelled, match="nameless"):
            adder.call(Adder.check, "").get(timeout=DEADLINE)


def test_a_hook_that_fails_too_often_is_left_alone_and_tried_again() -> None:
    """An open breaker that fails closed keeps work from being done; half-open, one run tries."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Adder], clock=clock) as system:
        broken = True

        @system.hooks.on("message.before", name="guard", breaker=Breaker(2, reset_after=10.0))
        def guard(details: MessageDetails) -> None:
            if broken:
                raise RuntimeError("broken")

        for expected in (1, 2, 2, 2):
            with pytest.raises(HookFailed):
                ask(system, 1)
            assert system.hooks.get("guard").failures == expected
        assert (system.hooks.get("guard").breaker, system.hooks.get("guard").passed) == ("open", 2)
        clock.advance(11)
        with pytest.raises(HookFailed):
            ask(system, 1)
        assert system.hooks.get("guard").failures == 3
        broken = False
        with pytest.raises(HookFailed):
            ask(system, 1)  # open again
        clock.advance(11)
        assert ask(system, 1) == 1
        assert system.hooks.get("guard").breaker == "closed"
        assert ask(system, 1) == 2


def test_a_plain_hook_that_asks_its_own_agent_is_a_deadlock_and_no_hang() -> None:
    """The turn waits for the hook, and the hook would wait for the turn: it is told."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on("message.before", on="add", name="asks")
        def asks(details: MessageDetails) -> None:
            if details.args == (1,):
                system.agent(Adder, details.key).call(Adder.add, 2).get(timeout=DEADLINE)

        with pytest.raises(HookFailed, match="Deadlock"):
            ask(system, 1)


@pytest.mark.parametrize("what", ["on", "remove", "enable", "disable", "record"])
def test_an_agent_registers_nothing_in_the_systems_name(what: str) -> None:
    """Who could register hooks in a handler would act as the system: it is Denied."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", nothing, name="guard")
        with pytest.raises(Denied, match="only the system may"):
            system.agent(Adder, "a").call(Adder.meddle, what).get(timeout=DEADLINE)
        assert [each.name for each in system.hooks.list()] == ["guard"]


def test_names_are_unique_and_unknown_ones_are_told() -> None:
    """A name stands for one hook, and one that is not there is UnknownHook."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", nothing, name="guard")
        with pytest.raises(ConfigurationError, match="there is a hook 'guard' already"):
            system.hooks.on("message.after", nothing, name="guard")
        for call in (system.hooks.remove, system.hooks.enable, system.hooks.get):
            with pytest.raises(UnknownHook, match="no hook 'other'"):
                call("other")


def test_hooks_of_one_agent_leave_the_others_alone() -> None:
    """What listens to one agent runs for it, also when its cell is made later, and for no other."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        ask(system, 1, "b")
        system.hooks.on("message.before", nothing, name="mine", agents=system.agent(Adder, "a"))
        for key in "abcab":
            ask(system, 1, key)
        assert system.hooks.get("mine").runs == 2
        system.hooks.remove("mine")
        assert ask(system, 1) == 3


WRONG: list[dict[str, Any]] = [
    {"on": 5}, {"on": ("a", 5)}, {"priority": "first"}, {"priority": 1.5}, {"budget": -1.0},
    {"on_failure": "ajar"}, {"breaker": 5}, {"deferred": "yes"}, {"record": 1}, {"version": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_options_of_a_hook_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """A wrong option is refused where the hook is registered, by its name."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            system.hooks.on("message.after", nothing, **options)
        assert system.hooks.list() == []
