"""Dead letters: listed, looked at, put back exactly once, discarded."""

from collections.abc import Iterator
from typing import ClassVar

import pytest

from perdure import AgentSystem, Durability, RestartPolicy
from perdure.lifecycle.backoff import Backoff
from perdure.persistence.errors import (
    NotRequeued,
    SystemClosed,
    UnknownAgent,
    UnknownDeadLetter,
)
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.stores import CountingStore
from tests.kit.threads import together


class Moody(Clerk):
    """Fail as long as the test wants it."""

    restarts = RestartPolicy(attempts=2, restarts=1000, backoff=Backoff(first=0.0, longest=0.0))
    failing: ClassVar[bool] = True
    arguments: ClassVar[list[list[int]]] = []

    def work(self, amounts: list[int]) -> int:
        Moody.arguments.append(list(amounts))
        while amounts:
            self.state.count += amounts.pop()
        if self.failing:
            raise ValueError("in a bad mood")
        return self.state.count


class MoodyInMemory(Moody):
    durability = Durability.VOLATILE

    def work(self, amounts: list[int]) -> int:
        # Its messages are not stored: a handler that spoils its arguments spoils the next attempt.
        return super().work(list(amounts))


@pytest.fixture
def store() -> CountingStore:
    """Make a store that outlives the systems on it."""
    return CountingStore()


@pytest.fixture
def system(store: CountingStore) -> Iterator[AgentSystem]:
    """Open a system whose agents fail."""
    Moody.failing, Moody.arguments = True, []
    with AgentSystem.open(store, agents=[Moody, MoodyInMemory]) as opened:
        yield opened


def bury(system: AgentSystem, kind: type[Moody] = Moody, key: str = "a") -> int:
    """Send a message that ends as a dead letter, and return its id."""
    known = {letter.id for letter in system.dead_letters.list()}
    system.agent(kind, key).cast(Moody.work, [1, 2])
    assert system.idle(DEADLINE)
    (letter,) = [letter for letter in system.dead_letters.list() if letter.id not in known]
    return letter.id


def count(system: AgentSystem, kind: type[Moody] = Moody, key: str = "a") -> object:
    """Return what an agent has counted."""
    return system.agent(kind, key).call(Moody.read).get(timeout=DEADLINE)["count"]


def test_a_poison_message_is_buried_after_its_attempts(system: AgentSystem) -> None:
    """After so many attempts, each with fresh arguments, a message lies with the dead letters."""
    letter = system.dead_letters.get(bury(system))
    assert (letter.kind, letter.key, letter.name) == ("Moody", "a", "work")
    assert letter.attempts == 2
    assert letter.reason == "ValueError: in a bad mood"
    assert Moody.arguments == [[1, 2], [1, 2]]
    assert system.agent(Moody, "a").describe().error == "ValueError: in a bad mood"
    assert count(system) == 0


@pytest.mark.parametrize("kind", [Moody, MoodyInMemory])
def test_a_letter_put_back_is_handled_once(system: AgentSystem, kind: type[Moody]) -> None:
    """requeue() takes a letter from the dead and has its agent handle it, once."""
    letter_id = bury(system, kind)
    Moody.failing = False
    system.dead_letters.requeue(letter_id)
    with pytest.raises(UnknownDeadLetter, match=str(letter_id)):
        system.dead_letters.requeue(letter_id)
    assert system.idle(DEADLINE)
    assert count(system, kind) == 3
    assert list(system.dead_letters.list()) == []
    with pytest.raises(UnknownDeadLetter):
        system.dead_letters.get(letter_id)


def test_a_letter_put_back_survives_a_restart(system: AgentSystem, store: CountingStore) -> None:
    """The mail a letter was put back to is as durable as any other."""
    letter_id = bury(system)
    system.agent(Moody, "a").pause()
    system.dead_letters.requeue(letter_id)
    system.close()
    Moody.failing = False
    for _ in range(2):
        with AgentSystem.open(store, agents=[Moody]) as again:
            if again.agent(Moody, "a").describe().status == "paused":
                again.agent(Moody, "a").resume()
            assert again.idle(DEADLINE)
            assert count(again) == 3
            assert list(again.dead_letters.list()) == []


def test_a_letter_that_fails_again_is_buried_again(system: AgentSystem) -> None:
    """A letter that was put back and fails lies with the dead letters anew."""
    system.dead_letters.requeue(bury(system))
    assert system.idle(DEADLINE)
    (letter,) = system.dead_letters.list()
    assert letter.attempts == 2
    assert count(system) == 0


def test_many_threads_put_a_letter_back_once(system: AgentSystem) -> None:
    """Of several that put the same letter back one succeeds; the others are told."""
    letters = [bury(system) for _ in range(5)]
    Moody.failing = False
    outcomes: list[str] = []

    def put_back() -> None:
        for letter_id in letters:
            try:
                system.dead_letters.requeue(letter_id)
                outcomes.append("done")
            except UnknownDeadLetter:
                outcomes.append("told")

    together(*[put_back] * 4)
    assert (outcomes.count("done"), outcomes.count("told")) == (5, 15)
    assert system.idle(DEADLINE)
    assert count(system) == 15


def test_a_discarded_letter_is_gone(system: AgentSystem, store: CountingStore) -> None:
    """discard() removes a letter for good; list() pages by id."""
    first, second, third = [bury(system) for _ in range(3)]
    system.dead_letters.discard(second)
    assert [letter.id for letter in system.dead_letters.list()] == [first, third]
    assert [letter.id for letter in system.dead_letters.list(after=first)] == [third]
    assert [letter.id for letter in system.dead_letters.list(limit=1)] == [first]
    with pytest.raises(UnknownDeadLetter):
        system.dead_letters.discard(second)
    system.close()
    assert [letter.id for letter in store.dead_letters()] == [first, third]
    with pytest.raises(SystemClosed):
        system.dead_letters.discard(third)


class Changed(Clerk):
    """The moody agent after a change of its code."""

    kind = "Moody"

    def work(self, amounts: str) -> None:
        raise NotImplementedError(amounts)


def test_a_letter_its_class_cannot_take_stays(system: AgentSystem, store: CountingStore) -> None:
    """A letter that does not decode, or whose class is not there, is kept; the error says so."""
    letter_id = bury(system)
    system.close()
    with AgentSystem.open(store, agents=[Changed]) as changed:
        with pytest.raises(NotRequeued, match=f"Moody/a cannot take dead letter {letter_id}"):
            changed.dead_letters.requeue(letter_id)
        assert len(changed.dead_letters.list()) == 1
    with AgentSystem.open(store, agents=[Clerk]) as without:
        with pytest.raises(UnknownAgent):
            without.dead_letters.requeue(letter_id)
        assert len(without.dead_letters.list()) == 1
