"""One recorded turn, replayed exactly."""

from __future__ import annotations

import pytest

from perdure import AgentSystem, MemoryStore

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
