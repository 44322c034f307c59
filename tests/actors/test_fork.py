"""Earlier states of agents: looked at, and given to new agents."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Keys,
    Log,
    Map,
    Retention,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import (
    AgentExists,
    ConfigurationError,
    Denied,
    StateUnknown,
    UnknownAgent,
)
from tests.cli.commands import invoke


class Basket(State):
    """Something in each kind of field."""

    total: int = 0
    lines: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Shop(Agent[Basket]):
    """Changes its state."""

    def put(self, number: int) -> None:
        """Change each kind of field."""
        self.state.total += number
        self.state.lines.append(f"line {number}")
        if number % 3:
            self.state.owners[f"o{number % 4}"] = number
        else:
            self.state.owners.pop(f"o{number % 4}", None)

    def picture(self) -> tuple[int, list[str], dict[str, int]]:
        """Return the whole state."""
        return self.state.total, list(self.state.lines), dict(self.state.owners)

    def fork_another(self, key: str) -> None:
        """Try what no handler may."""
        self.system.fork(self.system.agent(Shop, key), "stolen")  # type: ignore[attr-defined]

    def spy(self, key: str) -> None:
        """Read what another was."""
        self.system.agent(Shop, key).state_at(1)


def picture(state: State) -> tuple[int, list[str], dict[str, int]]:
    """Return the whole of a state."""
    assert isinstance(state, Basket)
    return state.total, list(state.lines), dict(state.owners)


@settings(max_examples=20)
@given(numbers=st.lists(st.integers(0, 20), min_size=1, max_size=8))
def test_the_state_at_a_version_is_what_a_fork_of_it_has(numbers: list[int]) -> None:
    """At each version: what it was, what `state_at` gives, and what a fork begins with."""
    with AgentSystem.open("memory://", agents=[Shop]) as system:
        shop = system.agent(Shop, "north")
        was: list[tuple[int, list[str], dict[str, int]]] = [(0, [], {})]
        for number in numbers:
            shop.call(Shop.put, number).get()
            was.append(shop.call(Shop.picture).get())
        versions = [0, *(entry.version for entry in shop.history())]
        assert len(versions) == len(numbers) + 1
        for version, then in zip(versions, was, strict=True):
            assert picture(shop.state_at(version)) == then
            fork = system.fork(shop, f"fork {version}", at=version)
            assert fork.call(Shop.picture).get() == then
        assert shop.call(Shop.picture).get() == was[-1]


def test_a_fork_goes_its_own_way(tmp_path: Path) -> None:
    """Neither changes the other, also after a restart; the fork's history begins with the fork."""
    path = tmp_path / "shop.db"
    with AgentSystem.open(path, agents=[Shop]) as system:
        shop = system.agent(Shop, "north")
        for number in (1, 2, 5):
            shop.call(Shop.put, number).get()
        fork = system.fork(shop, "south", at=2)
        shop.call(Shop.put, 10).get()
        fork.call(Shop.put, 4).get()
        entries = fork.history()
        assert [entry.name for entry in entries] == ["(fork)", "put"]
        assert any(e.operation == "fork the agent" for e in system.audit.list())
    with AgentSystem.open(path, agents=[Shop]) as system:
        shop, fork = system.agent(Shop, "north"), system.agent(Shop, "south")
        assert shop.call(Shop.picture).get()[0] == 18
        assert fork.call(Shop.picture).get() == (
            7,
            ["line 1", "line 2", "line 4"],
            {"o0": 4, "o1": 1, "o2": 2},
        )


def test_what_cannot_be_forked_is_refused() -> None:
    """A key that is taken, versions that never were or are gone, agents that are not, handlers."""
    keep = Retention(commits=2)
    with AgentSystem.open("memory://", agents=[Shop], retention=keep) as system:
        shop, other = system.agent(Shop, "north"), system.agent(Shop, "east")
        other.call(Shop.put, 1).get()
        with pytest.raises(AgentExists):
            system.fork(other, "east")
        for version in (-1, 99, True):
            with pytest.raises(ConfigurationError, match="versions 0 to 1"):
                system.fork(other, "south", at=version)
        with pytest.raises(UnknownAgent):
            system.fork(shop, "south")
        with pytest.raises(Denied):
            other.call(Shop.spy, "north").get()
        with pytest.raises((Denied, AttributeError)):
            other.call(Shop.fork_another, "north").get()


def test_what_the_journal_does_not_know_is_not_guessed(tmp_path: Path) -> None:
    """A version that was trimmed away is refused."""
    path = tmp_path / "shop.db"
    with AgentSystem.open(path, agents=[Shop], retention=Retention(commits=50)) as system:
        shop = system.agent(Shop, "north")
        for number in range(3_000):
            shop.cast(Shop.put, number)
        assert system.idle(60)
        assert shop.history()[0].version > 5
        with pytest.raises(StateUnknown):
            system.fork(shop, "south", at=5)


def test_a_secret_goes_along(tmp_path: Path) -> None:
    """A secret in a state is sealed for the fork, and opens there."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))

    with AgentSystem.open(tmp_path / "s.db", agents=[Safe], keys=keys) as system:
        safe = system.agent(Safe, "a")
        safe.call(Safe.lock, Secret("sesame")).get()
        safe.call(Safe.lock, Secret("other")).get()
        fork = system.fork(safe, "b", at=1)
        assert fork.call(Safe.words).get() == ["sesame", "sesame", "sesame"]
        state = safe.state_at(1)
        assert isinstance(state, Box)
        assert state.code is not None
        assert state.code.reveal() == "sesame"


class Box(State):
    """A secret in each kind of field."""

    code: Secret[str] | None = None
    codes: Log[Secret[str]] = Log.field()
    by_name: Map[str, Secret[str]] = Map.field()


class Safe(Agent[Box]):
    """Keeps secrets."""

    def lock(self, code: Secret[str]) -> None:
        """Keep one everywhere."""
        self.state.code = code
        self.state.codes.append(code)
        self.state.by_name["now"] = code

    def words(self) -> list[str]:
        """Return what is kept."""
        assert self.state.code is not None
        return [
            self.state.code.reveal(),
            *(each.reveal() for each in self.state.codes),
            *(each.reveal() for each in self.state.by_name.values()),
        ]


def test_by_the_command_line(tmp_path: Path) -> None:
    """`perdure agents fork` does it with the owner of the store, and without one."""
    path = tmp_path / "shop.db"
    fork = ("agents", "fork", "Shop", "north", "--store", path)
    with AgentSystem.open(path, agents=[Shop]) as system:
        shop = system.agent(Shop, "north")
        shop.call(Shop.put, 1).get()
        shop.call(Shop.put, 2).get()
        assert invoke(*fork, "--as", "south", "--at", "1").exit_code == 0
        assert system.agent(Shop, "south").call(Shop.picture).get()[0] == 1
    assert invoke(*fork, "--as", "east").exit_code == 0
    for code, arguments in ((1, ("--as", "east")), (2, ()), (2, ("--as", "w", "--at", "77"))):
        result = invoke(*fork, *arguments)
        assert result.exit_code == code, result.output
    with AgentSystem.open(path, agents=[Shop]) as system:
        assert system.agent(Shop, "east").call(Shop.picture).get()[0] == 3
