"""The desk example: it goes on where it stopped, in one process and over several."""

from pathlib import Path

import pytest

from examples.desk.agents import Desk
from perdure import AgentSystem
from tests.kit.children import finished


def test_the_program_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Each run of the program finds the tickets of the runs before it."""
    for run in (1, 2, 3):
        printed, _ = finished("-m", "examples.desk", tmp_path / "desk.db")
        assert printed.splitlines() == [
            f"run {run} on {tmp_path / 'desk.db'}",
            (
                f"emea: {dict.fromkeys([f'T-{n}-a' for n in range(1, run + 1)], 'mira')}, "
                f"last: ['T-{run}-b -> apac']"
            ),
            (
                f"apac: {dict.fromkeys([f'T-{n}-b' for n in range(1, run + 1)], 'noor')}, "
                f"last: ['T-{run}-b -> noor']"
            ),
        ]


def test_a_ticket_is_open_at_one_desk(tmp_path: Path) -> None:
    """A ticket that is handed over leaves one desk and arrives at the other, once."""
    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        emea, apac = (system.agent(Desk, key).proxy() for key in ("emea", "apac"))
        assert emea.assign("T-1", "mira").get() == 1
        assert emea.assign("T-2", "mira").get() == 2
        assert emea.hand_over("T-1", "apac", "noor").get() == 1
        assert system.idle(timeout=10)
        assert emea.owners().get() == {"T-2": "mira"}
        assert apac.owners().get() == {"T-1": "noor"}
        assert emea.history(-1).get() == ["T-1 -> apac"]
        assert apac.entries().get() == 1


def test_a_ticket_which_is_not_open_stays_where_it_is(tmp_path: Path) -> None:
    """A handover that is refused changes neither desk."""
    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        emea, apac = (system.agent(Desk, key).proxy() for key in ("emea", "apac"))
        with pytest.raises(LookupError, match="T-1 is not open at emea"):
            emea.hand_over("T-1", "apac", "noor").get()
        assert system.idle(timeout=10)
        assert emea.entries().get() == 0
        assert apac.entries().get() == 0
