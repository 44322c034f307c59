"""Agents that nobody has read: those that the store has not are told from those it has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from perdure import AgentSystem, Passivation, Resources
from perdure.actors.cell.newcomers import TOGETHER, Newcomers
from perdure.persistence.errors import StoreUnavailable
from tests.actors.agents import Clerk


@dataclass
class Cell:
    """As much of a cell as is asked for."""

    key: str
    kind: str = Clerk.__name__
    unread: bool = True
    missing: bool = False


@dataclass
class Looks:
    """A store that has some agents of each kind, and counts the looks."""

    there: set[str]
    looks: list[int] = field(default_factory=list)
    broken: bool = False
    meanwhile: Callable[[], object] = str

    def known(self, _kind: str, keys: Sequence[str]) -> set[str]:
        """Return those that are there."""
        self.looks.append(len(keys))
        self.meanwhile()
        if self.broken:
            raise StoreUnavailable("the disk is gone")
        return self.there & set(keys)


def test_one_look_tells_of_many() -> None:
    """Each cell learns whether its agent is missing, and a look is made for many of them."""
    store = Looks({str(number) for number in range(0, 1000, 7)})
    newcomers = Newcomers(store)
    cells = [Cell(str(number)) for number in range(1000)]
    for cell in cells:
        newcomers.add(cell)
    told = [cell.key for cell in cells if newcomers.missing(cell)]
    assert told == [cell.key for cell in cells if cell.key not in store.there]
    assert len(store.looks) < 3 * 1000 / TOGETHER


def test_those_that_come_one_by_one_cost_no_look() -> None:
    """Each cell that is read before the next is made is read as ever, also where many were."""
    store = Looks(set())
    newcomers = Newcomers(store)
    for number in range(2 * TOGETHER):
        newcomers.add(cell := Cell(str(number)))
        assert not newcomers.missing(cell)
    assert not store.looks


def test_what_was_read_is_missing_no_more() -> None:
    """A look that comes late says nothing of a cell that was read: it may have made its agent."""
    store = Looks(set())
    newcomers = Newcomers(store)
    first, second = Cell("a"), Cell("b")
    store.meanwhile = lambda: newcomers.missing(first)  # another thread reads it
    for cell in (first, second, Cell("c")):
        newcomers.add(cell)
    assert newcomers.missing(second)
    assert first.missing  # looked for with the others, after it was read
    assert not newcomers.missing(first)
    assert not newcomers.missing(second)


def test_a_failed_look_tells_nothing() -> None:
    """A store that cannot be read has each cell meet that by itself."""
    newcomers = Newcomers(Looks(set(), broken=True))
    cells = [Cell("a"), Cell("b")]
    for cell in cells:
        newcomers.add(cell)
    assert not any(newcomers.missing(cell) for cell in cells)


def test_no_agent_is_taken_for_new(tmp_path: Path) -> None:
    """Agents that come, leave memory and come again among new ones lose nothing."""
    random, path = Random(1), tmp_path / "a.db"
    expected: dict[str, int] = {}
    resources = Resources(passivation=Passivation(limit=20))
    for _ in range(3):
        with AgentSystem.open(path, agents=[Clerk], resources=resources) as system:
            for _ in range(10):
                keys = [str(random.randrange(len(expected) + 40)) for _ in range(60)]
                sent = [system.agent(Clerk, key).call(Clerk.add, 1) for key in keys]
                for key in keys:
                    expected[key] = expected.get(key, 0) + 1
                for answer in sent:
                    answer.get()
            for key, count in expected.items():
                assert system.agent(Clerk, key).call(Clerk.add, 0).get() == count
