"""`call` and `cast`: every keyword is the method's, and the method is one of the agent's class."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from perdure import Agent, AgentRef, AgentSystem, State
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE

NAMES = ["method", "self", "args", "kwargs", "ref", "message", "name", "_post", "timeout", "block"]


class TaskState(State):
    done: dict[str, int] = {}  # noqa: RUF012 -- msgspec copies it for every instance


class Worker(Agent[TaskState]):
    """Take keywords of any name; a base of other workers."""

    def take(self, /, **done: int) -> dict[str, int]:
        self.state.done |= done
        return self.state.done

    def title(self) -> str:
        return "worker"


def loud(function: Callable[..., str]) -> Callable[..., str]:
    """Decorate without functools.wraps: the method no longer knows its name."""

    def shouting(*args: object, **kwargs: object) -> str:
        return function(*args, **kwargs).upper()

    return shouting


class Foreman(Worker):
    """Override one method, and have some of rarer kinds."""

    def title(self) -> str:
        return "foreman"

    @loud
    def shout(self) -> str:
        return "ho"

    @staticmethod
    def motto() -> str:
        return "ever on"

    @classmethod
    def trade(cls) -> str:
        return cls.__name__


class Stranger(Agent[TaskState]):
    """Have methods of the same names."""

    def title(self) -> str:
        return "stranger"


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Open a system in memory."""
    with AgentSystem.open("memory://", agents=[Worker, Foreman, Stranger]) as opened:
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_every_keyword_is_the_methods(system: AgentSystem, name: str) -> None:
    """A parameter of any name is given as a keyword, by call, cast, proxy and defer alike."""
    worker = system.agent(Worker, "a")
    assert worker.call(Worker.take, **{name: 1}).get(timeout=DEADLINE) == {name: 1}
    worker.cast(Worker.take, **{name: 2})
    assert worker.call(Worker.take).get(timeout=DEADLINE) == {name: 2}
    assert worker.proxy().take(**{name: 3}).get(timeout=DEADLINE) == {name: 3}
    worker.proxy().take.defer(**{name: 4})
    assert worker.call(Worker.take).get(timeout=DEADLINE) == {name: 4}


def test_a_method_of_a_base_calls_the_agents_own(system: AgentSystem) -> None:
    """A method that the agent's class overrides names the agent's own, as in a plain call."""
    foreman = system.agent(Foreman, "a")
    assert foreman.call(Worker.title).get(timeout=DEADLINE) == "foreman"
    assert foreman.call(Foreman.title).get(timeout=DEADLINE) == "foreman"
    assert foreman.call(Foreman.take, a=1).get(timeout=DEADLINE) == {"a": 1}


def test_methods_of_every_kind(system: AgentSystem) -> None:
    """Decorated, static and class methods are found by what they are, not by what they say."""
    foreman: AgentRef[Any] = system.agent(Foreman, "a")
    rare: Any = Foreman  # no checker can know that these take no agent
    assert foreman.call(Foreman.shout).get(timeout=DEADLINE) == "HO"
    assert foreman.call(rare.motto).get(timeout=DEADLINE) == "ever on"
    assert foreman.call(rare.trade).get(timeout=DEADLINE) == "Foreman"


STRANGE: list[tuple[Any, str]] = [
    (Stranger.title, r"Worker/a: Stranger\.title is not a method of Worker; give one of Worker's"),
    (Foreman.title, r"Worker/a: Foreman\.title is not a method of Worker; give one of Worker's"),
    (loud, r"Worker/a: loud is not a method of Worker; give one of Worker's, as in call\("),
    (lambda _self: None, r"Worker/a: <lambda> is not a method of Worker"),
    (print, r"Worker/a: print is not a method of Worker"),
    (functools.partial(Worker.take), r"Worker/a: functools\.partial.* is not a method"),
    (Worker, r"Worker/a: Worker is not a method of Worker"),
    ("take", r"Worker/a: 'take' is not a method; give one of Worker's"),
    (None, r"Worker/a: None is not a method; give one of Worker's"),
]


@pytest.mark.parametrize("way", ["call", "cast"])
@pytest.mark.parametrize(("method", "told"), STRANGE)
def test_what_is_no_method_of_the_class_is_refused(
    system: AgentSystem, way: str, method: object, told: str
) -> None:
    """A method of another class is refused where it is given, though one of its name is there."""
    worker = system.agent(Worker, "a")
    with pytest.raises(ConfigurationError, match=told):
        getattr(worker, way)(method)
    assert worker.call(Worker.take).get(timeout=DEADLINE) == {}
