"""Rights that change while they are used: every commit is judged by its own place in the order."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, Principal, Right, Scope
from perdure.persistence.audit.entries import AuditEntry
from perdure.persistence.errors import Denied
from perdure.shared.ledger.guard import Standing
from tests.access.agents import ANNA, Desk, W, call, opened
from tests.kit.deadline import DEADLINE
from tests.kit.gates import gate
from tests.kit.threads import hasty, together

NEVER = 2**62


def whole_audit(system: AgentSystem) -> list[AuditEntry]:
    """Return every decision."""
    system.flush()
    return list(system.audit.each())


def validity(entries: list[AuditEntry]) -> dict[int, tuple[int, int]]:
    """Return from which commit to which each grant held, from the audit alone."""
    given: dict[int, tuple[int, int]] = {}
    number = 0
    for entry in entries:
        if entry.operation.startswith("grant "):
            number += 1  # numbered in the order in which the test gives them
            given[number] = (entry.sequence, NEVER)
        elif found := re.fullmatch(r"revoke grant (\d+)", entry.operation):
            grant = int(found[1])
            given[grant] = (given[grant][0], entry.sequence)
    return given


@pytest.mark.parametrize("rounds", [25, pytest.param(1_000, marks=pytest.mark.slow)])
def test_no_write_stands_behind_the_revocation_of_its_right(tmp_path: Path, rounds: int) -> None:
    """Of 8 agents that write while grants come and go, every commit had one at its sequence.

    Judged from journal and audit alone: each commit that wrote the scope has a decision that
    names its grant, and stands between the grant's commit and its revocation.
    """
    keys = [f"d{n}" for n in range(7)]
    with hasty(), opened(tmp_path / "a.db", sync="process") as system:
        over = threading.Event()
        counts = {"ok": 0, "refused": 0}

        def write(key: str) -> Callable[[], None]:
            def work() -> None:
                while not over.is_set():
                    try:
                        call(system, key, "increment", "workflow:w", key)
                        counts["ok"] += 1
                    except Denied:
                        counts["refused"] += 1

            return work

        def give_and_take() -> None:
            for _ in range(rounds):
                grant = system.access.grant(Principal.agents("Desk"), W, Right.ALL)
                system.access.revoke(grant)
            over.set()

        together(give_and_take, *map(write, keys))
        entries = whole_audit(system)
        given = validity(entries)
        reasons = {e.sequence: e.reason for e in entries
                   if e.operation == "increment" and e.outcome == "allowed"}  # fmt: skip
        wrote = 0
        after = 0
        while page := system.journal.list("Desk", after=after, limit=1_000):
            after = page[-1].sequence
            for commit in page:
                assert '"scoped"' in commit.delta
                grant = int(reasons[commit.sequence].removeprefix("grant "))
                assert given[grant][0] < commit.sequence < given[grant][1]
                wrote += 1
        assert counts["refused"] > 0
        total = sum(system.state.get(W, key, int, default=0) or 0 for key in keys)
        assert wrote == total
        assert system.audit.verify().intact


def test_a_right_revoked_during_a_turn_undoes_the_turn() -> None:
    """What was allowed when it was done is refused at the commit, and nothing of the turn stays."""
    with gate("in") as door, opened() as system:
        grant = system.access.grant(ANNA, W, Right.WRITE)
        reply = system.agent(Desk, "anna").proxy().write_and_wait("workflow:w", "k", 1, "in")
        door.wait()
        system.access.revoke(grant)
        door.open()
        with pytest.raises(Denied):
            reply.get(timeout=DEADLINE)
        assert call(system, "anna", "done") == 0
        assert system.state.get(W, "k") is None
        told = [(e.operation, e.outcome) for e in whole_audit(system) if e.who == ANNA]
        assert told == [("write", "undone"), ("write", "refused")]


def test_an_outside_transaction_that_lost_its_right_changes_nothing() -> None:
    """It is refused at its end as a whole, and its decisions are kept."""
    mira = Principal.user("mira")
    with opened() as system:
        grant = system.access.grant(mira, W, Right.ALL)
        handle = system.state.acting_as(mira)

        def overtaken() -> None:
            with handle.transaction():
                handle.set(Scope.user("mira"), "own", 1)
                handle.set(W, "k", 1)
                worker = threading.Thread(target=system.access.revoke, args=(grant,))
                worker.start()
                worker.join(DEADLINE)

        with pytest.raises(Denied):
            overtaken()
        assert system.state.get(W, "k") is None
        assert handle.get(Scope.user("mira"), "own") is None
        told = [(e.operation, e.outcome) for e in whole_audit(system) if e.who == mira]
        assert told == [("write", "undone"), ("write", "refused")]


def tried_by_64(read: Callable[[int], object]) -> tuple[list[object], int]:
    """Return what 64 threads saw that read at the same moment, and how many were refused."""
    seen: list[object] = []
    refused: list[str] = []

    def use(number: int) -> Callable[[], None]:
        def work() -> None:
            try:
                seen.append(read(number))
            except Denied as error:
                refused.append(str(error))

        return work

    together(*map(use, range(64)))
    return seen, len(refused)


@pytest.mark.parametrize("inside", [False, True])
def test_a_one_time_grant_is_used_once_by_64_threads(*, inside: bool) -> None:
    """One call gets through, 63 are refused; in turns of 64 agents and outside of turns."""
    with hasty(), opened() as system:
        system.state.set(W, "k", 7)
        handle = system.state.acting_as(Principal.user("mira"))
        for _ in range(3):
            to = Principal.agents("Desk") if inside else Principal.user("mira")
            system.access.grant(to, W, Right.READ, uses=1)

            def read(number: int) -> object:
                if inside:
                    return call(system, f"d{number}", "read", "workflow:w", "k")
                return handle.get(W, "k")

            assert tried_by_64(read) == ([7], 63)
            assert system.access.grants.list() == []
        reads = [e for e in whole_audit(system) if e.operation == "read"]
        assert sum(e.outcome == "allowed" for e in reads) == 3
        assert sum(e.outcome == "refused" for e in reads) == 3 * 63


class Watched(dict[Any, Any]):
    """A table of a policy, at which somebody looks after each change."""

    look: Callable[[], object]

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.look()

    def __delitem__(self, key: object) -> None:
        super().__delitem__(key)
        self.look()

    def pop(self, key: object, *default: object) -> object:
        found = super().pop(key, *default)
        self.look()
        return found


def test_a_grant_is_there_all_the_time_while_others_use_it() -> None:
    """Who decides in the middle of another's use finds it: no use that is left is refused."""
    with opened() as system:
        number = system.access.grant(Principal.agents("Desk"), W, Right.ALL, uses=3).number
        policy, found = system._runtime.policy, list[bool]()

        def look() -> None:
            decision = policy.check(Standing(ANNA), Right.WRITE, W, "k")
            found.append(decision.allowed and policy.granted(number) is not None)

        for name in ("_grants", "_numbered"):
            watched = Watched(getattr(policy, name))
            watched.look = look
            setattr(policy, name, watched)
        for _ in range(2):
            call(system, "anna", "increment", "workflow:w", "k")
        assert len(found) >= 2
        assert all(found)


def test_a_grant_of_many_uses_is_used_exactly_that_often() -> None:
    """Of 16 agents that try, exactly as many calls get through as were granted."""
    with hasty(), opened() as system:
        system.access.grant(Principal.agents("Desk"), W, Right.ALL, uses=40)
        done: list[int] = []

        def use(number: int) -> Callable[[], None]:
            def work() -> None:
                for _ in range(10):
                    try:
                        call(system, f"d{number}", "increment", "workflow:w", "k")
                    except Denied:
                        return
                    done.append(1)

            return work

        together(*map(use, range(16)))
        assert len(done) == 40
        assert system.state.get(W, "k", int) == 40
