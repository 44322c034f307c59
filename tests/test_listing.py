"""One way of listing: whatever is listed comes in the same pages, with the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest

from perdure import (
    Agent,
    AgentSystem,
    MemoryStore,
    Page,
    Principal,
    RestartPolicy,
    Right,
    Scope,
    State,
    VirtualClock,
)
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE

WORK: Final = Scope.workflow("w")
MANY: Final = 7


class Nothing(State):
    """Nothing."""

    turns: int = 0


class Worker(Agent[Nothing]):
    restarts = RestartPolicy(attempts=1)

    def wait(self, number: int) -> None:
        self.after(100.0 + number % 3, self.work, name=f"t{number}")

    def work(self) -> None:
        self.state.turns += 1

    def fail(self, number: int) -> None:
        raise ValueError(number)


@dataclass(frozen=True)
class Listing:
    """Something that is listed."""

    of: Callable[[AgentSystem], Any]
    wanted: tuple[object, ...] = ()
    options: tuple[tuple[str, object], ...] = ()
    timed: bool = True
    """It takes ``newest``."""

    def list(self, system: AgentSystem, **more: object) -> Page[Any]:
        """Return a page."""
        return cast("Page[Any]", self.of(system).list(*self.wanted, **dict(self.options), **more))

    def each(self, system: AgentSystem, **more: object) -> tuple[Any, ...]:
        """Return all of it."""
        return tuple(self.of(system).each(*self.wanted, **dict(self.options), **more))

    def count(self, system: AgentSystem) -> int:
        """Return how many there are."""
        return int(self.of(system).count(*self.wanted, **dict(self.options)))


LISTINGS: Final = {
    "keys": Listing(lambda s: s.state, (WORK,), timed=False),
    "sessions": Listing(lambda s: s.sessions),
    "history": Listing(lambda s: s.sessions.get("s0").history),
    "artifacts": Listing(lambda s: s.artifacts),
    "artifacts of a scope": Listing(lambda s: s.artifacts, (), (("scope", Scope.GLOBAL),)),
    "grants": Listing(lambda s: s.access.grants),
    "audit": Listing(lambda s: s.audit),
    "audit of a scope": Listing(lambda s: s.audit, (), (("scope", WORK),)),
    "agents": Listing(lambda s: s.agents, timed=False),
    "agents of a kind": Listing(lambda s: s.agents, ("Worker",), timed=False),
    "dead letters": Listing(lambda s: s.dead_letters),
    "dead letters of a kind": Listing(lambda s: s.dead_letters, ("Worker",)),
    "journal": Listing(lambda s: s.journal),
    "journal of a kind": Listing(lambda s: s.journal, ("Worker",)),
    "journal of an agent": Listing(lambda s: s.journal, ("Worker", "0")),
    "timers": Listing(lambda s: s.timers),
    "timers of an agent": Listing(lambda s: s.timers, ("Worker", "0")),
    "mail": Listing(lambda s: s.mail),
    "mail of an agent": Listing(lambda s: s.mail, ("Worker", "paused")),
}


@pytest.fixture(scope="module", params=["memory", "file"])
def full(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentSystem]:
    """Give a system that holds several of everything; the tests only read."""
    store = MemoryStore() if request.param == "memory" else tmp_path_factory.mktemp("l") / "s.db"
    with AgentSystem.open(cast("Path", store), agents=[Worker], clock=VirtualClock()) as system:
        fill(system)
        yield system


def fill(system: AgentSystem) -> None:
    """Make several of everything that is listed."""
    paused = system.agent(Worker, "paused")
    paused.call(Worker.work).get()
    paused.pause()
    for number in range(MANY):
        system.state.set(WORK, f"k{number}", number)
        session = system.sessions.create(f"s{number}")
        with system.sessions.get("s0"):
            system.agent(Worker, str(number)).call(Worker.work).get()
        system.artifacts.save(f"a{number % 3}", bytes([number]))
        system.access.grant(Principal.user("mira"), WORK, Right.READ, keys=f"k{number}")
        system.agent(Worker, "0").call(Worker.wait, number).get()
        system.agent(Worker, f"dead-{number}").cast(Worker.fail, number)
        paused.cast(Worker.work)
        assert session.id == f"s{number}"
    system.idle(DEADLINE)  # never comes true: restarts wait for the clock
    assert system.flush(DEADLINE)


@pytest.mark.parametrize("name", LISTINGS)
def test_pages_of_every_size_are_all_of_it(full: AgentSystem, name: str) -> None:
    """Pages go on where the one before ended, say whether there are more, and repeat nothing."""
    listing = LISTINGS[name]
    everything = listing.each(full)
    assert len(everything) == listing.count(full) >= MANY
    for way in ({}, {"newest": True}, {"newest": False}) if listing.timed else ({},):
        ordered = listing.each(full, **way)
        for limit in (1, 2, len(ordered) - 1, len(ordered), len(ordered) + 1):
            found: list[Any] = []
            after = None
            while True:
                page = listing.list(full, after=after, limit=limit, **way)
                found += page
                assert page.more == (len(found) < len(ordered)) == (page.next is not None)
                if not page.more:
                    break
                assert len(page) == limit
                after = page.next
            assert tuple(found) == ordered


@pytest.mark.parametrize("name", [name for name, listing in LISTINGS.items() if listing.timed])
def test_the_newest_come_first_where_that_is_asked_for(full: AgentSystem, name: str) -> None:
    """``newest=True`` is ``newest=False`` backwards."""
    listing = LISTINGS[name]
    assert listing.each(full, newest=True) == listing.each(full, newest=False)[::-1]


@pytest.mark.parametrize("name", LISTINGS)
def test_a_limit_that_shows_nothing_is_refused(full: AgentSystem, name: str) -> None:
    """A limit is an int from 1 up, everywhere."""
    for limit in (0, -1, True, 2.0, "7", None):
        with pytest.raises(ConfigurationError, match="an int from 1 up"):
            LISTINGS[name].list(full, limit=limit)


def test_a_page_is_a_sequence_that_does_not_change() -> None:
    """A page has length, items, slices and order; it equals what holds the same items."""
    page = Page(["a", "b", "c"], "c")
    assert (len(page), page[0], page[-1], page[1:]) == (3, "a", "c", ("b", "c"))
    assert page == ["a", "b", "c"] == list(page)
    assert page == ("a", "b", "c") == tuple(page)
    assert page == Page(["a", "b", "c"])
    assert hash(page) == hash(Page(["a", "b", "c"]))
    assert page != ["a", "b"]
    assert page != "abc"
    assert (page.more, page.next) == (True, "c")
    assert repr(page) == "<Page ['a', 'b', 'c'], more after 'c'>"
    assert (Page([]).more, Page([]).next, repr(Page([]))) == (False, None, "<Page []>")
    with pytest.raises(AttributeError):
        page.more = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        page[0] = "z"  # type: ignore[index]


def test_a_refusal_comes_where_it_is_asked_for() -> None:
    """``each`` refuses what ``list`` refuses when it is called, not when it is iterated."""
    with AgentSystem.open("memory://", agents=[]) as system:
        with pytest.raises(ConfigurationError, match="sort='size' is unknown"):
            system.sessions.each(sort=cast("Any", "size"))
        with pytest.raises(TypeError, match="colour"):
            system.artifacts.each(**cast("Any", {"colour": "red"}))
