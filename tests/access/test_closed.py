"""A damaged row of the policy closes what it protected, whichever of its columns is damaged."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Boundary, Principal, Scope, State
from perdure.persistence.errors import Denied, Isolated
from perdure.persistence.upkeep.doctor import examine
from perdure.url import open_reader

from .test_tampering import behind

W = Scope.workflow("w")


class Free(Agent[State]):
    """May do everything with what the system owns."""

    boundary = Boundary.SHARED

    def work(self) -> None:
        """Write where that is allowed."""
        self.scopes.set(W, "k", 1)


def opened(path: Path) -> AgentSystem:
    """Open a system of free agents."""
    return AgentSystem.open(path, agents=[Free])


def damage(path: Path, table: str, column: str) -> None:
    """Change one column of the only row of a table, but not its checksum."""
    with behind(path) as connection:
        changed = connection.execute(f"UPDATE {table} SET {column} = 'other'").rowcount  # noqa: S608
    assert changed == 1
    with closing(open_reader(path)) as reader:
        assert examine(reader).bad_rows == 1


@pytest.mark.parametrize("column", ["kind", "key", "reason"])
def test_an_agent_whose_isolation_is_damaged_stays_isolated(tmp_path: Path, column: str) -> None:
    """Until somebody restores it."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        system.access.isolate(system.agent(Free, "1"), "a test")
        system.access.isolate(system.agent(Free, "2"), "a test")
        system.access.restore(system.agent(Free, "2"))
    damage(path, "isolated", column)
    with opened(path) as system:
        with pytest.raises(Isolated):
            system.agent(Free, "1").call(Free.work).get()
        system.agent(Free, "2").call(Free.work).get()
        assert system.access.restore(system.agent(Free, "1"))
        system.agent(Free, "1").call(Free.work).get()


@pytest.mark.parametrize("column", ["kind", "key", "boundary"])
def test_an_agent_whose_boundary_is_damaged_is_held_strictly(tmp_path: Path, column: str) -> None:
    """Although its class gives more; until somebody sets it again."""
    path = tmp_path / "a.db"
    with opened(path) as system:
        system.access.set_boundary(system.agent(Free, "1"), Boundary.READ_SHARED)
    damage(path, "boundaries", column)
    with opened(path) as system:
        with pytest.raises(Denied):
            system.agent(Free, "1").call(Free.work).get()
        system.agent(Free, "2").call(Free.work).get()
        system.access.set_boundary(system.agent(Free, "1"), Boundary.SHARED)
        system.agent(Free, "1").call(Free.work).get()


@pytest.mark.parametrize("column", ["id", "part", "who_kind", "who_id"])
def test_a_scope_whose_owner_is_damaged_is_nobodys(tmp_path: Path, column: str) -> None:
    """Neither the owner's nor everybody's whose boundary opens what the system owns."""
    path, mira = tmp_path / "a.db", Principal.user("mira")
    with opened(path) as system:
        system.access.own(W, mira)
    damage(path, "owners", column)
    with opened(path) as system:
        with pytest.raises(Denied):
            system.agent(Free, "1").call(Free.work).get()
        mine = system.state.acting_as(mira)
        with pytest.raises(Denied):
            mine.set(W, "k", 1)
        system.state.set(W, "k", 1)
        assert system.access.owner(W) == Principal.SYSTEM
        system.access.own(W, mira)
        mine.set(W, "k", 2)
