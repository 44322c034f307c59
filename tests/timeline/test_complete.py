"""Every event has its cause: a random run of many agents, against the plan it was made from."""

import itertools
import json
import random
from pathlib import Path

import pytest

from perdure import AgentSystem, VirtualClock
from perdure.hooks.timeline.event import Event
from perdure.hooks.timeline.timeline import Timeline
from tests.kit.deadline import DEADLINE
from tests.timeline.plans import BY_NAME, KINDS, causes, plan, with_culprits


def label_of(detail: str) -> str:
    """Return what a turn set ``last`` to."""
    return str(json.loads(detail)["set"]["last"])


@pytest.mark.parametrize("seed", range(4))
def test_every_event_of_a_random_run_has_the_cause_that_the_plan_says(
    seed: int, tmp_path: Path
) -> None:
    """Ask, tell, timer, task, thread carry cause and chain, over restarts and what is volatile."""
    randomness = random.Random(seed)
    plans = [plan(randomness, f"p{number}", 4) for number in range(12)]
    expected = {label: above for each in plans for label, above in causes(each)}
    path, trees = tmp_path / "run.db", []
    for part in (plans[:6], plans[6:], []):
        clock = VirtualClock()
        with AgentSystem.open(path, agents=KINDS, sync="process", clock=clock) as system:
            for step in part:
                system.agent(BY_NAME[step.to], step.key).proxy().act(step).get(timeout=DEADLINE)
            assert system.idle(DEADLINE)
            while not part and system.timers.count():  # what the processes before have left
                clock.advance(1)
                assert system.idle(DEADLINE)
            trees.append(system.timeline().tree())
    events = trees[-1]
    found = {label_of(event.detail): event for event in events.events}
    assert set(found) == set(expected)
    for label, above in expected.items():
        parent = events.parent(found[label])
        assert (label_of(parent.detail) if parent else "") == above, label
        root = found.get(label.partition(".")[0])
        if root is not None:
            assert found[label].correlation == root.correlation, label
    assert len({event.correlation for event in events.events}) <= len(plans)


@pytest.mark.parametrize("seed", range(3))
def test_a_decision_of_a_turn_that_was_undone_has_its_cause(seed: int, tmp_path: Path) -> None:
    """What led to that turn by tell, ask or thread led to the refusal, also after a restart."""
    randomness = random.Random(seed)
    plans = [plan(randomness, f"p{number}", 3) for number in range(8)]
    expected: dict[str, str] = {}
    for each in plans:
        expected |= with_culprits(randomness, each)
    assert len(expected) > 10
    path = tmp_path / "run.db"
    with AgentSystem.open(path, agents=KINDS, sync="process") as system:
        for step in plans:
            system.agent(BY_NAME[step.to], step.key).proxy().act(step).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        while system.timers.count():
            assert system.idle(DEADLINE)
    with AgentSystem.open(path, agents=KINDS, sync="process") as system:
        timeline = system.timeline()
        decisions = list(system.timeline(what=["decision"]).each())
        told = {json.loads(event.detail)["key"]: event for event in decisions}
        assert set(told) == set(expected)
        assert {label: _cause(timeline, told[label]) for label in told} == expected
        (one, *_) = decisions
        alone = system.timeline(what=["decision"], correlation=one.correlation).list(newest=True)
        assert one in list(alone)


def _cause(timeline: Timeline, event: Event) -> str:
    chain = timeline.causes(event)
    return label_of(chain[-1].detail) if chain else ""


def test_causes_lead_back_to_the_edge_and_effects_forth_again(tmp_path: Path) -> None:
    """Its causes lead from the edge to every event, and each has the next among its effects."""
    randomness = random.Random(7)
    step = plan(randomness, "p", 5)
    clock, path = VirtualClock(), tmp_path / "run.db"
    with AgentSystem.open(path, agents=KINDS, sync="process", clock=clock) as system:
        system.agent(BY_NAME[step.to], step.key).proxy().act(step).get(timeout=DEADLINE)
        expected = dict(causes(step))
        timeline = system.timeline()
        assert system.idle(DEADLINE)
        while system.timers.count():
            clock.advance(1)
            assert system.idle(DEADLINE)
        for event in timeline.each():
            chain = [*timeline.causes(event), event]
            assert expected[label_of(chain[0].detail)] == ""
            for cause, effect in itertools.pairwise(chain):
                assert effect in timeline.effects(cause)
