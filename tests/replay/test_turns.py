"""One recorded turn, replayed exactly."""

from __future__ import annotations

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
