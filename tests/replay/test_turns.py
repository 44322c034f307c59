"""One recorded turn, replayed exactly."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial

import pytest

from perdure import Agent, AgentSystem, MemoryStore, State
from tests.kit.deadline import DEADLINE

from .tills import Till, turns


def test_a_replay_gives_the_same_delta_messages_timers_and_result() -> None:
    """An exact replay of each recorded turn, also of one that raised, comes out as it was."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as system:
        till = system.agent(Till, "a")
        for amount in (1, 2, 3):
            till.call(Till.pay, amount, who=f"w{amount}").get()
        error = till.call(Till.pay, -1)
        with pytest.raises(ValueError, match="below 0"):
            error.get()
        system.idle()
        before = [entry.sequence for entry in system.journal.each()]
        found = [system.replay.turn(turn) for turn in turns(system)]
        assert [replay.findings for replay in found] == [[]] * len(found)
        assert sorted(replay.outcome for replay in found) == ["failed", *["same"] * 6]
        assert not any(replay.missing for replay in found)
        assert [entry.sequence for entry in system.journal.each()] == before
        first = found[0].replayed
        assert first["delta"]["put"] == {"owners": [["w1", 1]]}
        assert [sent["to"] for sent in first["sends"]] == ["Till/head"]
        assert [timer["method"] for timer in first["timers"]] == ["close_up", "close_up"]


class Array:
    """Compares as arrays do: each part with a part."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Asker(Agent[State]):
    record = True

    def ask(self) -> str:
        for name in ("one", "two"):
            self.outside(name, Array)
        return "done"


def test_what_compares_in_a_way_of_its_own_breaks_no_recorded_turn() -> None:
    """It is kept by its repr, and the turn is one that cannot be given back exactly."""
    with AgentSystem.open(MemoryStore(), agents=[Asker]) as system:
        assert system.agent(Asker, "a").call(Asker.ask).get(timeout=DEADLINE) == "done"
        assert [record.outcome for record in system.hooks.history.each(point="turn")] == [
            "recorded"
        ]


class BankError(Exception):
    """Has more than its text."""

    def __init__(self, code: int, answer: object = None) -> None:
        super().__init__("the bank says no")
        self.code = code
        if answer is not None:
            self.answer = answer


class Colour(enum.StrEnum):
    RED = "red"


class Teller(Agent[State]):
    """Gives what an annotation would have to tell."""

    def pair(self):  # type: ignore[no-untyped-def] # noqa: ANN201
        return 1, 2

    def refuse(self) -> None:
        raise BankError(7)


class Client(Agent[State]):
    record = True

    def code(self) -> int:
        try:
            self.outside("bank", partial(fail, BankError(5)))
        except BankError as error:
            return error.code
        return 0

    def asked_code(self) -> int:
        try:
            self.system.agent(Teller, "t").call(Teller.refuse).get()
        except BankError as error:
            return error.code
        return 0

    def answer(self) -> str:
        try:
            self.outside("bank", partial(fail, BankError(5, {1, 2})))
        except BankError as error:
            return type(error.answer).__name__
        return ""

    def colour(self) -> str:
        return str(self.outside("colour", lambda: Colour.RED).name)

    def pair(self) -> bool:
        return bool(self.system.agent(Teller, "t").call(Teller.pair).get() == (1, 2))

    def surrogate(self) -> str:
        try:
            self.outside("bank", partial(fail, ValueError("\ud800")))
        except ValueError as error:
            return type(error).__name__
        return ""


def fail(error: Exception) -> None:
    """Raise an error."""
    raise error


@pytest.mark.parametrize(
    ("handler", "exact"),
    [
        (Client.code, True), (Client.asked_code, True), (Client.answer, False),
        (Client.colour, False), (Client.pair, False), (Client.surrogate, False),
    ],
)  # fmt: skip
def test_what_a_replay_gives_in_another_form_makes_no_turn_different(
    handler: Callable[[Client], object], *, exact: bool
) -> None:
    """An error has its attributes again; what JSON gives back as another class is marked."""
    with AgentSystem.open(MemoryStore(), agents=[Client, Teller]) as system:
        system.agent(Client, "a").call(handler).get(timeout=DEADLINE)
        system.idle()
        (turn,) = turns(system)
        replay = system.replay.turn(turn)
        assert replay.exact is exact
        assert replay.outcome == "same" if exact else replay.outcome in ("same", "unclear")
