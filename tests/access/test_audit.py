"""Every decision across owners is kept, in the commit it belongs to, whatever becomes of that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from perdure import (
    AgentSystem,
    Audit,
    Backoff,
    Principal,
    RestartPolicy,
    Right,
    Scope,
    VirtualClock,
)
from perdure.persistence.audit.entries import AuditEntry
from perdure.persistence.errors import ConfigurationError, Denied
from perdure.testing import FaultyStore
from tests.access.agents import ANNA, BERT, Desk, W, call, opened
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.kit.threads import together


def told(entries: Sequence[AuditEntry], who: Principal) -> list[tuple[str, str, int]]:
    """Return what was decided about somebody."""
    return [(e.operation, e.outcome, e.times) for e in entries if e.who == who]


def test_allowed_refused_and_undone_decisions_are_kept() -> None:
    """A refused one survives its turn, an allowed one of a failed turn is undone."""
    with opened() as system:
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")
        system.access.grant(ANNA, W, Right.READ)
        call(system, "anna", "read", "workflow:w", "k")
        with pytest.raises(ValueError, match="undone"):
            call(system, "anna", "read_and_fail", "workflow:w", "k")
        assert call(system, "anna", "try_to_read", "workflow:x", "k")
        entries = system.audit.list()
        assert told(entries, ANNA) == [
            ("read", "refused", 1), ("read", "allowed", 1), ("read", "undone", 1),
            ("read", "refused", 1),
        ]  # fmt: skip
        assert [e.operation for e in entries if e.who == Principal.SYSTEM] == [
            "grant READ to agent:Desk/anna"
        ]


class Hasty(Desk):
    restarts = RestartPolicy(attempts=3, backoff=Backoff(first=0, longest=0))


def test_each_attempt_of_a_told_turn_that_fails_for_good_leaves_its_decision() -> None:
    """The message goes to the dead letters; that it was refused three times stays known."""
    with (
        Told("message_dead") as dead,
        AgentSystem.open("memory://", agents=[Hasty]) as system,
    ):
        system.agent(Hasty, "h").cast(Hasty.read, "workflow:w", "k")
        dead.wait("message_dead")
        assert system.idle(DEADLINE)
        refused = system.audit.list(who=Principal.agent("Hasty", "h"))
        assert [e.outcome for e in refused] == ["refused"] * 3


def test_a_decision_stands_in_the_commit_of_its_turn() -> None:
    """Both have one sequence and one correlation."""
    with opened() as system:
        system.access.grant(ANNA, W, Right.ALL)
        call(system, "anna", "write", "workflow:w", "k", 1)
        commit = system.journal.list("Desk", "anna")[0]
        (entry,) = system.audit.list(who=ANNA)
        assert (entry.sequence, entry.correlation) == (commit.sequence, commit.correlation)


def test_equal_decisions_of_a_turn_are_one_row_that_counts_them() -> None:
    """Reading a key twice in a turn is one row with ``times=2``."""
    with opened() as system:
        system.access.grant(ANNA, W, Right.READ)
        call(system, "anna", "read_twice", "workflow:w", "k")
        assert told(system.audit.list(), ANNA) == [("read", "allowed", 2)]


def test_owners_are_not_audited_and_the_system_is_where_it_does_not_own() -> None:
    """What one does with one's own is nobody's business."""
    with opened() as system:
        call(system, "anna", "write", "agent:Desk/anna", "k", 1)
        system.state.set(W, "k", 1)
        system.state.acting_as(Principal.user("mira")).set(Scope.user("mira"), "k", 1)
        assert system.audit.list() == []
        system.state.get(Scope.user("mira"), "k")
        assert [e.reason for e in system.audit.list()] == ["the system"]


def test_without_reads_only_changes_and_refusals_are_kept() -> None:
    """``Audit(reads=False)``: allowed reads and lists cost nothing."""
    with opened(audit=Audit(reads=False)) as system:
        system.access.grant(ANNA, W, Right.ALL)
        call(system, "anna", "read", "workflow:w", "k")
        call(system, "anna", "keys", "workflow:w")
        call(system, "anna", "write", "workflow:w", "k", 1)
        with pytest.raises(Denied):
            call(system, "bert", "read", "workflow:w", "k")
        assert told(system.audit.list(), ANNA) == [("write", "allowed", 1)]
        assert told(system.audit.list(), BERT) == [("read", "refused", 1)]


def test_it_is_filtered_and_paged() -> None:
    """Each filter by itself, several together, after a number, newest first."""
    with opened() as system:
        for key in ("anna", "bert"):
            for scope in ("workflow:w", "global"):
                with pytest.raises(Denied):
                    call(system, key, "read", scope, "k")
        system.access.grant(ANNA, W, Right.READ)
        call(system, "anna", "read", "workflow:w", "k")
        audit = system.audit
        assert len(audit.list(who=ANNA)) == 3
        assert len(audit.list(scope=W)) == 4
        assert len(audit.list(outcome="refused")) == 4
        assert len(audit.list(operation="read")) == 5
        assert len(audit.list(who=ANNA, scope=W, outcome="allowed")) == 1
        first = audit.list(limit=1)[0]
        assert len(audit.list(correlation=first.correlation)) == 1
        assert [e.number for e in audit.list(after=2, limit=2)] == [3, 4]
        assert [e.number for e in audit.list(newest=True, limit=2)] == [6, 5]
        assert len(audit.list(since=first.time)) == 6
        assert audit.list(since=first.time + 3600) == []


def test_the_chain_has_the_order_of_the_commits_under_16_writers() -> None:
    """Numbers are without a gap and sequences rise, however many write at once."""
    with opened() as system:
        system.access.grant(Principal.agents("Desk"), W, Right.ALL)

        def work(key: str) -> None:
            for _ in range(25):
                call(system, key, "increment", "workflow:w", key)

        together(*(partial(work, f"d{n}") for n in range(16)))
        entries = system.audit.list(limit=1000)
        assert [e.number for e in entries] == list(range(1, 402))
        sequences = [e.sequence for e in entries]
        assert sequences == sorted(sequences)
        assert system.audit.verify().intact


def test_a_batch_that_failed_does_not_fork_the_chain() -> None:
    """It is written later with the same numbers and hashes, and what came since is behind it."""
    store = FaultyStore()
    with opened(store.open(), clock=(clock := VirtualClock())) as system:
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")
        store.fail()
        for _ in range(3):
            system.agent(Desk, "anna").cast(Desk.try_to_read, "workflow:w", "k")
        clock.advance(60)
        store.mend()
        for _ in range(10):
            clock.advance(60)
        assert system.idle(DEADLINE)
        assert [e.number for e in system.audit.list()] == [1, 2, 3, 4]
        assert system.audit.verify().intact


def test_an_audit_that_keeps_nothing_is_refused() -> None:
    """The newest decision holds the end of the chain."""
    with pytest.raises(ConfigurationError, match=r"Audit\(keep=0\).*1 or more"):
        Audit(keep=0)
