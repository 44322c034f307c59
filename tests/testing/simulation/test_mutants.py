"""Simulations find defects that were put into perdure, and nothing where there are none.

Found by (seeds that had to be tried, from 0 up, with perdure as it is; another order of its steps
moves them): a reply before its commit 2, a message before the append 9, a timer doubled by a
crash 1, a unit committed twice 4, a wake-up lost by a run that ends 3; one that is lost by a
sender between two lines 327, which `make test-slow` looks for.
"""

from __future__ import annotations

from types import ModuleType

import pytest

from perdure.actors.cell import settlement
from perdure.actors.pool import mailbox
from perdure.persistence.store import committer
from perdure.shared.ledger import ledger
from perdure.testing import Simulation
from perdure.testing.simulation.run import Scenario
from perdure.testing.simulation.simulate import Crashes, Sweep
from tests.testing.simulation import scenes
from tests.testing.simulation.mutants import mutant

REPLY_FIRST = (
    "            if not promised:",
    (
        "            if commit.reply is not None:\n"
        "                commit.reply(None)\n"
        "                commit.reply = None\n"
        "            if not promised:"
    ),
)
MESSAGE_FIRST = (
    "    activation.writer.submit(commit)\n    finish",
    (
        "    commit.sequence = cell.home.supervisor.committer.appended + 1\n"
        "    _deliver(cell, turn, commit)\n"
        "    activation.writer.submit(commit)\n    finish"
    ),
)
TIMER_STAYS = (
    "    if letter.timer is not None:\n        timers[",
    "    if letter.timer is not None and letter.timer.every is not None:\n        timers[",
)
NO_SECOND_LOOK = (
    "self._phase, self.runner = _IDLE, None\n                schedule = self._wants_run()",
    "self._phase, self.runner = _IDLE, None\n                schedule = False",
)
LOOK_BEFORE_PUT = (
    "            self._queue.append(envelope)\n            phase = self._phase\n",
    "            phase = self._phase\n            self._queue.append(envelope)\n",
)
LOOKED_LATE = (
    (
        "        if unit.reads or unit.overlapped:\n            self._check_reads(unit)\n",
        "",
    ),
    (
        "                try:\n                    yield ending\n",
        (
            "                late = None\n"
            "                try:\n"
            "                    self._check_reads(unit)\n"
            "                except Stale as error:\n"
            "                    late = error\n"
            "                try:\n                    yield ending\n"
            "                    if late is not None:\n"
            "                        raise late\n"
        ),
    ),
)


def asks(sim: Simulation) -> None:
    """Ask an agent twice, again and again: it comes to rest each time."""
    receiver = sim.agent(scenes.Receiver, "r")
    for _ in range(12):
        asked = [receiver.call(scenes.Receiver.take) for _ in range(2)]
        sim.system.idle()
        for each in asked:
            each.get()


@pytest.mark.parametrize(
    ("module", "changes", "scenario", "crash", "seeds"),
    [
        pytest.param(committer, [REPLY_FIRST], scenes.transfer, "somewhere", 20, id="reply"),
        pytest.param(committer, [REPLY_FIRST], scenes.transfer, "everywhere", 1, id="reply-all"),
        pytest.param(settlement, [MESSAGE_FIRST], scenes.transfer, "somewhere", 20, id="message"),
        pytest.param(settlement, [TIMER_STAYS], scenes.tick, "somewhere", 20, id="timer"),
        pytest.param(ledger, LOOKED_LATE, scenes.add, "never", 40, id="unit"),
        pytest.param(mailbox, [NO_SECOND_LOOK], scenes.transfer, "never", 20, id="wake-up"),
        pytest.param(
            mailbox, [LOOK_BEFORE_PUT], asks, "never", 1000, id="put", marks=pytest.mark.slow
        ),
    ],
)
def test_a_defect_is_found(
    module: ModuleType,
    changes: list[tuple[str, str]],
    scenario: Scenario,
    crash: Crashes,
    seeds: int,
) -> None:
    """A defect of the library is found by a few seeds, each time by the same."""
    with mutant(module, *changes):
        sweep = Sweep(scenes.setting(scenario), crash)
        failure = sweep.first_failure(range(seeds))
        assert failure is not None
        again = sweep.first_failure([], failure[0].name)
    assert again is not None
    assert again[1].text() == failure[1].text()


@pytest.mark.parametrize("crash", ["somewhere", "everywhere"])
@pytest.mark.parametrize("scenario", [scenes.transfer, scenes.tick, scenes.add, asks, scenes.mixed])
def test_nothing_is_found_where_nothing_is_wrong(scenario: Scenario, crash: Crashes) -> None:
    """The same scenarios hold under the same seeds without a defect."""
    Sweep(scenes.setting(scenario), crash).run(range(12 if crash == "somewhere" else 1))
