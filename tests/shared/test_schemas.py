"""Types by pattern of key: what is written must fit, what is read has them."""

from typing import Annotated

import msgspec
import pytest

from perdure import Agent, AgentSystem, Scope
from perdure.persistence.errors import ConfigurationError, CorruptState, ScopeError, StateError
from tests.shared.agents import WORK, Count, Worker


class Profile(msgspec.Struct):
    """A value of a type of its own."""

    name: str
    tags: list[str] = []


def test_registered_types_are_written_and_read() -> None:
    """Values of a registered type are stored as they are and come back as that type."""
    with AgentSystem.open("memory://", agents=[], schemas={"profile/*": Profile}) as system:
        state = system.state
        mira = Profile("mira", ["a"])
        state.set(WORK, "profile/m", mira)
        assert state.get(WORK, "profile/m") == mira
        assert state.get(WORK, "profile/m", Profile) == mira
        assert state.get(WORK, "profile/m", dict) == {"name": "mira", "tags": ["a"]}
        assert state.get_many(WORK, ["profile/m"]) == {"profile/m": mira}
        entry = state.entry(WORK, "profile/m")
        assert entry is not None
        assert entry.value == mira
        assert state.compare_and_set(WORK, "profile/m", mira, Profile("noor"))
        with pytest.raises(StateError, match=r"workflow:w 'profile/m'.*"):
            state.set(WORK, "profile/m", {"name": 7})
        with pytest.raises(StateError, match=r"profile/m"):
            state.set(WORK, "profile/m", {"name": "x"})
        assert state.get(WORK, "profile/m") == Profile("noor")


def test_the_longest_pattern_counts() -> None:
    """Of the patterns that match a key the closest says the type; a kind of scopes is closer."""
    with AgentSystem.open("memory://", agents=[], schemas={"*": str, "n/*": int}) as system:
        state = system.state
        state.register("n/x/*", float)
        state.register("n/x/y", bool)
        state.register("n/*", list[int], kind="user")
        for key, value in {"a": "s", "n/1": 1, "n/x/1": 1.5, "n/x/y": True}.items():
            state.set(WORK, key, value)
            for wrong in ("s", 1, 1.5, True, [1]):
                if type(wrong) is not type(value) and (key, wrong) != ("n/x/1", 1):
                    with pytest.raises(StateError):
                        state.set(WORK, key, wrong)
        state.set(Scope.user("u"), "n/1", [1])
        with pytest.raises(StateError, match=r"n/1'\[0\]"):
            state.set(Scope.user("u"), "n/1", ["x"])


def test_declarations_are_checked() -> None:
    """A type that cannot be stored, a bad pattern, an unknown kind, a second type: refused."""
    with AgentSystem.open("memory://", agents=[], schemas={"k": int}) as system:
        state = system.state
        state.register("k", int)
        with pytest.raises(ConfigurationError, match="already"):
            state.register("k", str)
        with pytest.raises(ConfigurationError, match="kind"):
            state.register("k", int, kind="nothing")
        with pytest.raises(ConfigurationError):
            state.register("other", threading_lock())
        with pytest.raises(ScopeError):
            state.register("a//*", int)
    with pytest.raises(ConfigurationError):
        AgentSystem.open("memory://", agents=[], schemas={"k": threading_lock()})


def threading_lock() -> object:
    """Return a type without a JSON form."""

    class Odd:
        pass

    return Odd


def test_sums_and_copies_must_fit() -> None:
    """What add, increment, copy and move would write is checked as well."""
    small = Annotated[int, msgspec.Meta(le=10)]
    with AgentSystem.open("memory://", agents=[Worker], schemas={"small": small}) as system:
        state = system.state
        assert state.increment(WORK, "small", 10) == 10
        with pytest.raises(StateError, match="workflow:w 'small'"):
            state.increment(WORK, "small")
        with pytest.raises(StateError):
            system.agent(Worker, "a").call(Worker.add, "small").get()
        state.set(WORK, "text", "t")
        for call in (state.copy, state.move):
            with pytest.raises(StateError, match="small"):
                call(WORK, "text", WORK, "small")
        assert state.get(WORK, "text") == "t"
        assert state.get(WORK, "small") == 10


def test_a_sum_that_no_longer_fits_when_the_turn_ends() -> None:
    """An addition that is rebased beyond its type fails the turn, which leaves nothing."""
    small = Annotated[int, msgspec.Meta(le=10)]

    class Adder(Agent[Count]):
        boundary = Worker.boundary

        def work(self) -> None:
            self.scopes.set(WORK, "beside", 1)
            self.scopes.add(WORK, "small", 6)
            self.system.agent(Worker, "w").call(Worker.increment, "small", 6).get()

    with AgentSystem.open("memory://", agents=[Adder, Worker], schemas={"small": small}) as system:
        with pytest.raises(StateError, match="small"):
            system.agent(Adder, "a").call(Adder.work).get()
        assert system.state.get(WORK, "small") == 6
        assert not system.state.exists(WORK, "beside")


def test_what_was_stored_before_its_type() -> None:
    """A value that does not fit a later type is CorruptState to readers, and can be replaced."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        state.set(WORK, "k", "text")
        with pytest.raises(CorruptState, match="workflow:w 'k'"):
            state.get(WORK, "k", int)
        state.register("k", int)
        with pytest.raises(CorruptState):
            state.get(WORK, "k")
        assert state.exists(WORK, "k")
        state.set(WORK, "k", 1)
        assert state.get(WORK, "k") == 1


def test_values_compare_as_values() -> None:
    """compare_and_set sees equal dictionaries in whatever order, and 1, 1.0 and True apart."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        state.set(WORK, "k", {"a": 1, "b": {"c": 2, "d": 3}})
        assert state.compare_and_set(WORK, "k", {"b": {"d": 3, "c": 2}, "a": 1}, 1)
        for other in (1.0, True, "1", None, [1]):
            assert not state.compare_and_set(WORK, "k", other, 2)
        assert state.compare_and_set(WORK, "k", 1, 2)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [("plain", (1, 2), "no type is registered for the key"), ("n", "x", "for the key is int")],
)
def test_errors_of_shared_values_name_no_field(key: str, value: object, said: str) -> None:
    """A shared value has no field: its error tells of the registered type, or that it has none."""
    with AgentSystem.open("memory://", agents=[]) as system:
        system.state.register("n", int)
        with pytest.raises(StateError, match=said) as caught:
            system.state.set(WORK, key, value)
        assert "field" not in str(caught.value)


def test_advice_for_values_of_own_types() -> None:
    """A value of a class without a registered type is refused, and told how to register it."""
    with (
        AgentSystem.open("memory://", agents=[]) as system,
        pytest.raises(StateError, match="register"),
    ):
        system.state.set(WORK, "k", Profile("mira"))
