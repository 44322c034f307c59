"""An agent begins with an earlier state of another: one commit, which is its first."""

from __future__ import annotations

from ...persistence.errors import AgentExists, StoreError
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.records import AgentRow, Commit
from ...persistence.upkeep.states import StateCopy
from ...shared.ledger.guard import Decision, Right, Standing, Use, recorded
from ..pool.mailbox import Outcome
from ..talk.control import Control
from . import start
from .cell import AgentCell, Surroundings
from .deletion import stored_of
from .failure import reject


def fork(cell: AgentCell, control: Control) -> Outcome | None:
    """Give an agent that has no state yet the one that ``control`` brings.

    It is asked in its mailbox, so no message of its own can make it anew meanwhile.
    """
    home, copy = cell.home, control.value
    assert isinstance(copy, StateCopy)
    if cell.activation is None and cell.last_sequence > home.supervisor.committer.durable:
        return start.wait_until_durable(cell)
    try:
        there = cell.activation is not None or stored_of(home, cell.kind, cell.key) is not None
    except StoreError as error:
        return start.unreadable(cell, control, error)
    if there:
        reject(cell, control, exists(cell.kind, cell.key))
        return None
    head = AgentRow(home.next_agent(), cell.kind, cell.key, 0, 0, cell.status, "")
    commit = begun(home, cell.commit("(fork)", control), head, copy)
    if control.reply_to is not None:
        control.reply_to.prepare(value=True)
        commit.reply = control.reply_to
    cell.last_sequence = home.supervisor.writer(head).submit(commit)
    return None


def begun(home: Surroundings, commit: Commit, head: AgentRow, copy: StateCopy) -> Commit:
    """Return ``commit`` as the first of an agent with that state, noted in the audit."""
    commit.delta = copy.delta(head.agent, copy.schema)
    use = Use(Right(0), Scope.agent(head.kind, head.key), None, "fork the agent")
    decision = Decision(allowed=True, reason="the system")
    entry = recorded(home.clock.now(), Standing(Principal.SYSTEM), use, decision)
    commit.with_effects().audit = [entry]
    return commit


def exists(kind: str, key: str) -> AgentExists:
    """Return the error for a name that is taken."""
    return AgentExists(f"there is an agent {kind}/{key}; fork under another key, or delete it")
