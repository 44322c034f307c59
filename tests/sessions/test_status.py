"""The steps of a session: one table, and nothing else."""

import itertools

import pytest

from perdure import AgentSystem, Principal
from perdure.persistence.errors import CorruptState, InvalidTransition, UnknownSession
from perdure.shared.sessions.status import (
    TRANSITIONS,
    SessionStatus,
    SessionStep,
    after,
    stored_status,
)
from tests.sessions.agents import opened

PATHS: dict[SessionStatus, list[str]] = {
    SessionStatus.ACTIVE: [],
    SessionStatus.SUSPENDED: ["suspend"],
    SessionStatus.COMPLETED: ["complete"],
    SessionStatus.FAILED: ["fail"],
    SessionStatus.ARCHIVED: ["complete", "archive"],
}


@pytest.mark.parametrize(
    ("status", "step"), list(itertools.product(SessionStatus, SessionStep)), ids=str
)
def test_a_step_leads_where_the_table_says(status: SessionStatus, step: SessionStep) -> None:
    """Each step from each status leads where the table says, or is refused and changes nothing."""
    with opened() as system:
        session = system.sessions.create("s")
        for before in PATHS[status]:
            getattr(session, before)("so")
        if (status, step) in TRANSITIONS:
            getattr(session, str(step))("why")
            assert session.info().status == TRANSITIONS[status, step]
            assert session.info().note == "why"
        else:
            with pytest.raises(InvalidTransition, match=f"session s is {status} and cannot be"):
                getattr(session, str(step))("why")
            assert session.info().status == status


def test_the_error_names_who_may_take_the_step() -> None:
    """A refused step says which sessions can take it."""
    with pytest.raises(InvalidTransition, match="only completed or failed sessions can"):
        after("s", SessionStatus.ACTIVE, SessionStep.ARCHIVE)


def test_a_status_that_does_not_exist_is_damage() -> None:
    """A stored status nobody knows is CorruptState."""
    with pytest.raises(CorruptState, match="session s: its stored status 'asleep'"):
        stored_status("s", "asleep")


def test_each_step_stands_in_the_audit() -> None:
    """Who took it, in order, with those it took along, and who tried and was not let."""
    mira, noor = Principal.user("mira"), Principal.user("noor")
    with AgentSystem.open("memory://", agents=[]) as system:
        mine = system.sessions.acting_as(mira)
        session = mine.create("s")
        mine.create("inner", parent="s")
        session.suspend()
        with pytest.raises(UnknownSession):
            system.sessions.acting_as(noor).take("s", SessionStep.COMPLETE)
        with pytest.raises(UnknownSession):
            system.sessions.acting_as(noor).take("nothing", SessionStep.COMPLETE)
        session.resume()
        session.complete()
        system.sessions.get("s").archive()
        told = [
            (str(e.who), e.operation, e.scope.id, e.outcome)
            for e in system.audit.list()
            if "session" in e.operation
        ]
    assert told == [
        ("user:mira", "create session", "s", "allowed"),
        ("user:mira", "create session", "inner", "allowed"),
        ("user:mira", "suspend session", "s", "allowed"),
        ("user:noor", "complete session", "s", "refused"),
        ("user:noor", "complete session", "nothing", "refused"),
        ("user:mira", "resume session", "s", "allowed"),
        ("user:mira", "complete session", "inner", "allowed"),
        ("user:mira", "complete session", "s", "allowed"),
        ("system", "archive session", "s", "allowed"),
    ]
