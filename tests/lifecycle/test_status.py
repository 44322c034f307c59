"""The transition table, alone and as the system keeps it."""

import itertools
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentRef, AgentSystem, Resources
from perdure.lifecycle.status import TRANSITIONS, Status, Step, after
from perdure.persistence.errors import InvalidTransition
from perdure.persistence.memory.store import MemoryStore
from tests.kit.deadline import DEADLINE
from tests.kit.threads import together
from tests.lifecycle.agents import Tally

BY_A_PERSON = ("pause", "resume", "stop", "restart")


@pytest.mark.parametrize(("status", "step"), list(itertools.product(Status, Step)))
def test_every_pair_leads_somewhere_or_is_refused_by_name(status: Status, step: Step) -> None:
    """Each pair of status and step has a target in the table, or an error that names both."""
    if (status, step) in TRANSITIONS:
        assert after("Desk/emea", status, step) is TRANSITIONS[status, step]
        return
    with pytest.raises(InvalidTransition) as refused:
        after("Desk/emea", status, step)
    error = refused.value
    assert (error.agent, error.current) == ("Desk/emea", status)
    assert str(error).startswith(f"Desk/emea is {status} and cannot be {error.wanted}; only ")
    assert error.wanted.startswith(step[:4])


def test_a_refused_step_says_who_can_take_it() -> None:
    """The error of a refused step names the statuses from which the table has it."""
    with pytest.raises(InvalidTransition) as refused:
        after("Desk/emea", Status.ACTIVE, Step.RESUME)
    assert str(refused.value) == (
        "Desk/emea is active and cannot be resumed; only paused agents can"
    )
    with pytest.raises(InvalidTransition, match="only active or paused agents"):
        after("Desk/emea", Status.STOPPED, Step.QUARANTINE)


def test_every_status_can_be_left_for_work() -> None:
    """A restart brings an agent back to work from every status."""
    back = {status for (status, step) in TRANSITIONS if step is Step.RESTART}
    assert back == set(Status)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*BY_A_PERSON, "add", "reopen"]), max_size=12))
def test_any_sequence_of_steps_follows_the_table(steps: list[str]) -> None:
    """Steps taken by a person do what the table says, durably, and refuse what it does not have."""
    store = MemoryStore()
    status, total, waiting = Status.ACTIVE, 0, 0
    system = AgentSystem.open(store, agents=[Tally], resources=Resources(workers=2))
    try:
        for step in steps:
            tally = system.agent(Tally, "a")
            if step == "reopen":
                system.close()
                system = AgentSystem.open(store, agents=[Tally], resources=Resources(workers=2))
            elif step == "add":
                tally.cast(Tally.add, 1)
                waiting += 1
            else:
                status = take(tally, step, status)
            assert system.idle(DEADLINE)
            if waiting and status in (Status.ACTIVE, Status.STOPPED):
                # Mail starts a stopped agent again.
                status, total, waiting = Status.ACTIVE, total + waiting, 0
        assert [row.status for row in system.agents.each()] in ([status], [])
        stored = store.load("Tally", "a")
        assert (stored.fields.get("total", ("0", 0))[0] if stored else "0") == str(total)
    finally:
        system.close()


def take(tally: AgentRef[Tally], step: str, status: Status) -> Status:
    """Take a step and return the status the table leads to; check a refusal against it."""
    if (status, Step(step)) in TRANSITIONS:
        getattr(tally, step)(timeout=DEADLINE)
        return TRANSITIONS[status, Step(step)]
    if step == "stop":
        assert status is Status.STOPPED
        assert tally.stop(timeout=DEADLINE) is False  # that it had stopped already is no error
        return status
    with pytest.raises(InvalidTransition):
        getattr(tally, step)(timeout=DEADLINE)
    return status


def test_steps_from_many_threads_are_taken_one_after_the_other() -> None:
    """Of steps that race each one is granted or refused, and the journal holds a legal sequence."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        granted: list[str] = []

        def many(steps: tuple[str, ...]) -> None:
            for step in steps * 10:
                try:
                    getattr(tally, step)(timeout=DEADLINE)
                    granted.append(step)
                except InvalidTransition:
                    pass

        steps = [("pause", "resume"), ("restart", "pause"), ("stop", "resume")]
        together(*(partial(many, mine) for mine in steps))
        status = Status.ACTIVE
        for entry in system.journal.list("Tally", "a", limit=1000):
            status = after("Tally/a", status, Step(entry.name.strip("()")))
        assert granted.count("restart") == 10
        assert [row.status for row in system.agents.each()] == [status]
