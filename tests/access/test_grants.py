"""Rights are given, limited, inherited, taken back, and hold as long as they say."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perdure import Agent, AgentSystem, Boundary, Principal, Right, Scope, VirtualClock
from perdure.persistence.errors import ConfigurationError, Denied, ScopeError, UnknownGrant
from perdure.persistence.records.shared_tables import GRANTS
from perdure.persistence.records.tables import Order
from perdure.shared.access.boundaries import AnyBoundary
from tests.access.agents import ANNA, BERT, Desk, DeskState, W, call, opened
from tests.kit.deadline import DEADLINE

from .test_tampering import behind


def test_a_strict_agent_has_nothing_but_its_own_scope() -> None:
    """Every scope of others is refused to it; its own takes everything."""
    with opened() as system:
        own = "agent:Desk/anna"
        assert call(system, "anna", "write", own, "k", 1) == 1
        assert call(system, "anna", "read", own, "k") == 1
        for scope in ("global", "workflow:w", "workflow:w/step:s", "tool:t", "custom:a/b",
                      "session:s", "user:mira", "agent:Desk/bert"):  # fmt: skip
            for method, *args in (("read", "k"), ("write", "k", 1), ("remove", "k"), ("keys",),
                                  ("count",), ("exists", "k"), ("increment", "k")):  # fmt: skip
                with pytest.raises(Denied, match="may not"):
                    call(system, "anna", method, scope, *args)


def test_a_grant_holds_until_it_is_revoked_for_the_very_next_call() -> None:
    """Granted: it may. Revoked: it may not, the call after."""
    with opened() as system:
        system.state.set(W, "k", 5)
        grant = system.access.grant(ANNA, W, Right.READ)
        assert call(system, "anna", "read", "workflow:w", "k") == 5
        with pytest.raises(Denied):
            call(system, "bert", "read", "workflow:w", "k")
        system.access.revoke(grant)
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")
        with pytest.raises(UnknownGrant):
            system.access.revoke(grant)


def test_each_right_is_one_of_its_own() -> None:
    """READ, WRITE, DELETE and LIST each allow what they say, and nothing else."""
    calls: dict[Right, tuple[Any, ...]] = {
        Right.READ: ("read", "k"), Right.WRITE: ("write", "k", 2), Right.DELETE: ("remove", "k"),
        Right.LIST: ("keys",),
    }  # fmt: skip
    with opened() as system:
        for right in calls:
            system.state.set(W, "k", 1)
            grant = system.access.grant(ANNA, W, right)
            for other, (method, *args) in calls.items():
                if other is right:
                    call(system, "anna", method, "workflow:w", *args)
                else:
                    with pytest.raises(Denied):
                        call(system, "anna", method, "workflow:w", *args)
            system.access.revoke(grant)
        system.access.grant(ANNA, W, Right.WRITE)
        with pytest.raises(Denied):  # it tells the sum, so it needs READ as well
            call(system, "anna", "increment", "workflow:w", "n")
        system.access.grant(ANNA, W, Right.READ, keys="n")
        assert call(system, "anna", "increment", "workflow:w", "n") == 1


def test_a_pattern_of_keys_bounds_what_is_read_and_what_is_listed() -> None:
    """Outside of the pattern a key is as if there was no grant, also in lists and counts."""
    with opened() as system:
        system.state.set_many(W, {"out/a": 1, "out/b": 2, "in/a": 3})
        system.access.grant(ANNA, W, Right.READ | Right.LIST, keys="out/*")
        assert call(system, "anna", "read", "workflow:w", "out/a") == 1
        assert call(system, "anna", "keys", "workflow:w") == ["out/a", "out/b"]
        assert call(system, "anna", "count", "workflow:w") == 2
        for key in ("in/a", "in/missing", "out"):
            with pytest.raises(Denied):
                call(system, "anna", "read", "workflow:w", key)


def test_a_grant_with_an_end_ends(tmp_path: Path) -> None:
    """It ends by the clock, also over a restart, and a turn that outlives it is undone."""
    clock = VirtualClock()
    with opened(tmp_path / "a.db", clock=clock) as system:
        system.access.grant(ANNA, W, Right.ALL, seconds=60)
        assert call(system, "anna", "write", "workflow:w", "k", 1) == 1
    clock = VirtualClock(start=clock.now() + 59)
    with opened(tmp_path / "a.db", clock=clock) as system:
        assert call(system, "anna", "write", "workflow:w", "k", 2) == 2
        clock.advance(1)
        assert system.access.grants.list() == []
        with pytest.raises(Denied):
            call(system, "anna", "write", "workflow:w", "k", 3)


def test_a_one_time_grant_is_used_by_what_has_seen_something() -> None:
    """A turn that read and raised has used it: what it saw may have left with its error."""
    with opened() as system:
        system.state.set(W, "k", 5)
        system.access.grant(ANNA, W, Right.READ, uses=2)
        with pytest.raises(ValueError, match="undone"):
            call(system, "anna", "read_and_fail", "workflow:w", "k")
        assert [g.uses for g in system.access.grants.list()] == [1]
        assert call(system, "anna", "read", "workflow:w", "k") == 5
        grant = system.access.grant(ANNA, W, Right.READ, uses=1)
        with pytest.raises(Denied):  # both reads are one turn, and the second is one too many
            call(system, "anna", "read_twice", "workflow:w", "k")
        assert system.access.grants.list() == []
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")
        with pytest.raises(UnknownGrant):
            system.access.revoke(grant)


def test_uses_count_outside_of_turns_too_and_a_list_is_shown_whole() -> None:
    """A named principal's call is a use; listing with the last use still shows the keys."""
    mira = Principal.user("mira")
    with opened() as system:
        system.state.set_many(W, {"a": 1, "b": 2})
        system.access.grant(mira, W, Right.READ | Right.LIST, uses=2)
        handle = system.state.acting_as(mira)
        assert handle.get(W, "a") == 1
        assert handle.list(W) == ["a", "b"]
        with pytest.raises(Denied):
            handle.get(W, "a")


def test_unlimited_grants_are_used_before_limited_ones() -> None:
    """No use is spent where another grant allows the same."""
    with opened() as system:
        system.access.grant(ANNA, W, Right.READ, uses=1)
        system.access.grant(ANNA, W, Right.READ)
        call(system, "anna", "read", "workflow:w", "k")
        assert sorted(g.uses or 0 for g in system.access.grants.list()) == [0, 1]


def test_a_step_inherits_only_what_was_granted_so() -> None:
    """A grant on the workflow reaches its steps with ``inherit``, unless a step has an owner."""
    with opened() as system:
        system.access.grant(ANNA, W, Right.READ)
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w/step:s", "k")
        system.access.grant(ANNA, W, Right.READ, inherit=True)
        call(system, "anna", "read", "workflow:w/step:s", "k")
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:other/step:s", "k")
        system.access.own(W.step("s"), BERT)
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w/step:s", "k")
        call(system, "bert", "read", "workflow:w/step:s", "k")


def test_owners_grant_and_revoke_what_they_own_and_others_do_not() -> None:
    """An agent gives rights on its own scope away; on others' it is refused, and told no more."""
    with opened() as system:
        system.state.set(Scope.agent("Desk", "anna"), "k", 7)
        number = call(system, "anna", "give", "agent:Desk/anna", "Desk", "bert")
        assert isinstance(number, int)
        assert call(system, "bert", "read", "agent:Desk/anna", "k") == 7
        with pytest.raises(Denied, match="only its owner"):
            call(system, "bert", "give", "agent:Desk/anna", "Desk", "bert")
        with pytest.raises(UnknownGrant):
            system.access.acting_as(BERT).revoke(number)
        system.access.acting_as(ANNA).revoke(number)
        with pytest.raises(Denied):
            call(system, "bert", "read", "agent:Desk/anna", "k")


def test_a_grant_of_a_turn_that_fails_was_never_given() -> None:
    """Granting commits with the turn."""
    with opened() as system:
        with pytest.raises(ValueError, match="undone"):
            call(system, "anna", "give_and_fail", "agent:Desk/anna", "Desk", "bert")
        assert system.access.grants.list() == []


def test_a_scope_that_was_given_away_is_its_new_owners() -> None:
    """The owner has everything, the boundary SHARED of others does not reach it any more."""
    with AgentSystem.open("memory://", agents=[Desk, Open]) as system:
        other = system.agent(Open, "o").proxy()
        assert other.put("k", 1).get() == 1
        system.access.own(W, ANNA)
        assert call(system, "anna", "write", "workflow:w", "k", 2) == 2
        with pytest.raises(Denied):
            other.put("k", 3).get()
        assert system.access.owner(W) == ANNA
        with pytest.raises(ScopeError):
            system.access.own(Scope.user("mira"), ANNA)


class Open(Agent[DeskState]):
    boundary: ClassVar[AnyBoundary] = Boundary.SHARED

    def put(self, key: str, value: object) -> int:
        return self.scopes.set(W, key, value)

    def see(self, key: str) -> object:
        return self.scopes.get(W, key)

    def see_of(self, scope: str) -> object:
        return self.scopes.get(Scope.parse(scope), "k")


class Reader(Open):
    boundary = Boundary.READ_SHARED


def test_boundaries_allow_what_they_say() -> None:
    """SHARED writes, READ_SHARED reads, neither reaches users, sessions or other agents."""
    with AgentSystem.open("memory://", agents=[Open, Reader]) as system:
        writer, reader = system.agent(Open, "a"), system.agent(Reader, "a")
        assert writer.proxy().put("k", 1).get() == 1
        assert reader.proxy().see("k").get() == 1
        with pytest.raises(Denied):
            reader.proxy().put("k", 2).get()
        for scope in ("user:mira", "session:s", "agent:Open/b"):
            with pytest.raises(Denied):
                writer.proxy().see_of(scope).get()


def test_the_boundary_of_one_agent_is_set_lastingly(tmp_path: Path) -> None:
    """It holds at once and over a restart, for that agent alone, until it is taken back."""
    with opened(tmp_path / "a.db") as system:
        system.access.set_boundary(system.agent(Desk, "anna"), Boundary.SHARED)
        assert call(system, "anna", "write", "workflow:w", "k", 1) == 1
    with opened(tmp_path / "a.db") as system:
        assert call(system, "anna", "write", "workflow:w", "k", 2) == 2
        with pytest.raises(Denied):
            call(system, "bert", "read", "workflow:w", "k")
        system.access.set_boundary(ANNA, None)
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")


class ByName:
    """Keys that begin with the agent's own name are its own; a strange one raises."""

    def allows(self, who: Principal, right: Right, scope: Scope, key: str | None) -> bool | None:
        if key == "broken":
            raise RuntimeError("no idea")
        if key is not None and key.startswith(who.part):
            return True
        return False if key == "never" else None


class Custom(Open):
    boundary: ClassVar[AnyBoundary] = ByName()


def test_a_custom_boundary_decides_leaves_it_to_grants_or_raises_and_refuses() -> None:
    """True allows, False refuses whatever is granted, None asks the grants, an error refuses."""
    with AgentSystem.open("memory://", agents=[Custom]) as system:
        agent = system.agent(Custom, "c").proxy()
        assert agent.put("c1", 1).get() == 1
        with pytest.raises(Denied):
            agent.see("x").get()
        system.access.grant(Principal.agents("Custom"), W, Right.ALL)
        assert agent.see("x").get() is None
        for key in ("never", "broken"):
            with pytest.raises(Denied):
                agent.see(key).get()


class Answers:
    """Say whatever is to be said, and remember what it was asked about."""

    def __init__(self) -> None:
        self.answer: object = True
        self.asked: set[str] = set()

    def allows(self, who: Principal, right: Right, scope: Scope, key: str | None) -> bool | None:
        self.asked.add(scope.kind)
        return self.answer  # type: ignore[return-value]


ANSWERS = Answers()


class Generous(Desk):
    boundary: ClassVar[AnyBoundary] = ANSWERS


def test_a_custom_boundary_opens_nothing_that_somebody_owns() -> None:
    """Users', agents' and sessions' scopes and those given away take a grant, whatever it says."""
    given = [Scope.GLOBAL, Scope.tool("t"), Scope.workflow("g"), Scope.custom("a", "g")]
    private = [Scope.user("mira"), Scope.agent("Desk", "bert"), Scope.session("s"), *given,
               Scope.workflow("g").step("s")]  # fmt: skip
    with AgentSystem.open("memory://", agents=[Generous]) as system:
        agent = system.agent(Generous, "g").proxy()
        assert agent.write("workflow:w", "k", 1).get() == 1
        assert agent.keys("workflow:w").get() == ["k"]
        for scope in given:
            assert agent.write(str(scope), "k", 1).get() == 1
            system.access.own(scope, Principal.user("tom"))
        ANSWERS.asked.clear()
        for scope in private:
            for method, *args in (("read", "k"), ("write", "k", 1), ("remove", "k"), ("keys",)):
                with pytest.raises(Denied):
                    getattr(agent, method)(str(scope), *args).get()
        assert ANSWERS.asked == set()
        system.access.grant(Principal.agent("Generous", "g"), private[0], Right.WRITE)
        assert agent.write("user:mira", "k", 1).get() == 1


@pytest.mark.parametrize("answer", [1, "yes", [1], False, 0])
def test_nothing_but_true_allows(answer: object) -> None:
    """What merely counts as true is a refusal, as all that is neither True nor None."""
    with AgentSystem.open("memory://", agents=[Generous]) as system:
        agent = system.agent(Generous, "g").proxy()
        assert agent.write("workflow:w", "k", 1).get() == 1
        ANSWERS.answer = answer
        try:
            with pytest.raises(Denied):
                agent.read("workflow:w", "k").get()
        finally:
            ANSWERS.answer = True


def test_what_is_no_boundary_is_refused_when_the_class_is_declared() -> None:
    """The error says what may stand there."""
    with pytest.raises(ConfigurationError, match=r"Bad\.boundary is 'open'"):

        class Bad(Agent[DeskState]):
            boundary = "open"  # type: ignore[assignment]


def test_a_named_principal_outside_has_its_own_rights_alone() -> None:
    """A user's handle reaches the user's scope; the system's own reaches everything."""
    mira = Principal.user("mira")
    with opened() as system:
        handle = system.state.acting_as(mira)
        handle.set(Scope.user("mira"), "k", 1)
        with pytest.raises(Denied):
            handle.get(W, "k")
        with pytest.raises(Denied):
            handle.get(Scope.user("tom"), "k")
        assert system.state.get(Scope.user("mira"), "k") == 1
        for refused in (
            lambda: system.access.acting_as(mira).isolate(ANNA, "no"),
            lambda: system.access.acting_as(mira).set_boundary(ANNA, Boundary.SHARED),
            lambda: system.access.acting_as(mira).grant(mira, W, Right.READ),
        ):
            with pytest.raises(Denied):
                refused()


def test_check_tells_what_would_be_decided_and_leaves_no_trace() -> None:
    """It says whether and why; nothing of it stands in the audit."""
    with opened() as system:
        before = system.audit.head()
        assert not system.access.check(ANNA, Right.READ, W, "k").allowed
        assert system.audit.head() == before
        grant = system.access.grant(ANNA, W, Right.READ)
        assert system.access.check(ANNA, Right.READ, W, "k").reason == f"grant {grant.number}"


def test_grants_that_make_no_sense_are_refused() -> None:
    """No rights, no time, no uses, no steps to inherit: ScopeError, and nothing is stored."""
    wrong: list[tuple[Principal, Scope, Right, dict[str, Any]]]
    with opened() as system:
        wrong = [
            (ANNA, W, Right(0), {}),
            (Principal.SYSTEM, W, Right.READ, {}),
            (ANNA, W, Right.READ, {"seconds": 0}),
            *(
                (ANNA, W, Right.READ, {"seconds": seconds})
                for seconds in (-1, True, "60", float("nan"), float("inf"), 10**400)
            ),
            *(
                (ANNA, W, Right.READ, {"uses": uses})
                for uses in (0, -1, True, 1.0, 1.5, "1", 2**63)
            ),
            (ANNA, Scope.GLOBAL, Right.READ, {"inherit": True}),
            (ANNA, W, Right.READ, {"keys": "../*"}),
        ]
        for to, scope, rights, more in wrong:
            with pytest.raises(ScopeError):
                system.access.grant(to, scope, rights, **more)
        assert system.access.grants.list() == []
        assert system.access.grant(ANNA, W, Right.READ, uses=2**63 - 1).uses == 2**63 - 1


def test_what_is_no_scope_or_principal_is_named_in_one_sentence() -> None:
    """Text is not taken for a scope or for who it may mean; a reference stands for its agent."""
    text: Any = "Desk/anna"
    with opened() as system:
        access, ref = system.access, system.agent(Desk, "anna")
        calls: list[Callable[[], object]] = [
            lambda: access.grant(text, W, Right.READ),
            lambda: access.own(W, text),
            lambda: access.acting_as(text),
            lambda: access.check(text, Right.READ, W),
            lambda: access.isolate(text, "no"),
            lambda: access.grants.list(to=text),
        ]
        for call_it in calls:
            with pytest.raises(ScopeError, match="'Desk/anna' is no principal; give"):
                call_it()
        calls = [
            lambda: access.grant(ANNA, text, Right.READ),
            lambda: access.own(text, ANNA),
            lambda: access.owner(text),
            lambda: access.check(ANNA, Right.READ, text),
        ]
        for call_it in calls:
            with pytest.raises(ScopeError, match="'Desk/anna' is no scope; give"):
                call_it()
        assert access.grant(ref, W, Right.READ).to == ANNA
        assert access.check(ref, Right.READ, W).allowed
        access.own(Scope.tool("t"), ref)
        assert access.owner(Scope.tool("t")) == ANNA


def test_a_handle_of_somebody_cannot_be_widened() -> None:
    """It gives handles of the same principal only; the system's own gives any."""
    mira = Principal.user("mira")
    with opened() as system:
        mine: list[Any] = [
            system.access.acting_as(mira), system.state.acting_as(mira),
            system.artifacts.acting_as(mira), system.sessions.acting_as(mira),
            system.sharing.acting_as(mira),
        ]  # fmt: skip
        for handle in mine:
            assert type(handle.acting_as(mira)) is type(handle)
            with pytest.raises(ScopeError, match="'mira' is no principal"):
                handle.acting_as("mira")
            for other in (Principal.SYSTEM, Principal.user("tom"), ANNA):
                with pytest.raises(Denied, match="acts as user:mira"):
                    handle.acting_as(other)
        system.access.acting_as(Principal.SYSTEM).acting_as(mira)
        state: Any = system.state
        for method, *args in (("get", "k"), ("list",), ("set", "k", 1)):
            with pytest.raises(ScopeError, match="'global' is no scope; give"):
                getattr(state, method)("global", *args)


def test_numbers_of_grants_are_never_given_twice(tmp_path: Path) -> None:
    """Not even when the newest was revoked before the restart: the audit names them."""
    numbers = []
    for _ in range(3):
        with opened(tmp_path / "a.db") as system:
            grant = system.access.grant(ANNA, W, Right.READ)
            numbers.append(grant.number)
            system.access.revoke(grant)
    assert numbers == [1, 2, 3]


def test_whoever_asks_for_grants_sees_what_concerns_it() -> None:
    """The system sees all, an agent those to it and those on what it owns."""
    with opened() as system:
        system.access.grant(ANNA, W, Right.READ)
        system.access.grant(BERT, W, Right.READ)
        system.access.grant(BERT, Scope.agent("Desk", "anna"), Right.READ)
        assert len(system.access.grants.list()) == 3
        assert len(system.access.grants.list(to=BERT)) == 2
        assert len(system.access.grants.list(scope=W)) == 2
        assert call(system, "anna", "look_at", "grants") == 2
        assert call(system, "bert", "look_at", "grants") == 2


def test_grants_that_have_run_out_leave_the_disk(tmp_path: Path) -> None:
    """A sweep deletes them in slices, and leaves those alone that hold."""
    clock = VirtualClock()
    with opened(tmp_path / "a.db", clock=clock) as system:
        for seconds in (10, 20, 30, None):
            system.access.grant(ANNA, W, Right.READ, seconds=seconds)
        clock.advance(25)
        assert system._runtime.grant_sweep.sweep() == 2
        assert system._store.count(GRANTS, Order(("number",))) == 2
        assert [g.number for g in system.access.grants.list()] == [3, 4]
        assert system._runtime.grant_sweep.sweep() == 0
        clock.advance(60)
        assert system.idle(DEADLINE)


def test_damaged_rows_of_the_policy_are_told_of_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A grant that fails its checksum gives nothing; the log says how many rows of what are bad."""
    with opened(tmp_path / "a.db") as system:
        system.access.grant(ANNA, W, Right.READ)
        system.access.grant(BERT, W, Right.READ)
    with behind(tmp_path / "a.db") as connection:
        connection.execute("UPDATE grants SET rights = 15 WHERE number = 1")
    with opened(tmp_path / "a.db") as system:
        assert "1 rows of grants are damaged" in caplog.text
        with pytest.raises(Denied):
            call(system, "anna", "read", "workflow:w", "k")
        call(system, "bert", "read", "workflow:w", "k")


def test_many_keys_need_the_right_to_each() -> None:
    """Of keys set together one that may not be written, or no more at the end, refuses all."""
    mira, own = Principal.user("mira"), Scope.custom("board", "m")
    with opened() as system:
        state, outside = system.state.acting_as(mira), copy_context()
        system.access.grant(mira, W, Right.WRITE, keys="a/*")
        state.set_many(W, {"a/1": 1, "a/2": 2})
        with pytest.raises(Denied):
            state.set_many(W, {"a/3": 3, "b": 3, "a/4": 4})
        assert list(system.state.each(W)) == ["a/1", "a/2"]
        system.access.own(own, mira)
        state.set_many(own, {"x": 1, "y": 1, "z": 1})
        with pytest.raises(Denied), state.transaction():  # noqa: PT012 - it is refused at its end
            state.set_many(own, {"x": 2, "y": 2, "new": 2})
            outside.run(system.access.own, own, Principal.user("zoe"))
        assert list(system.state.each(own)) == ["x", "y", "z"]
        assert [system.state.get(own, key) for key in "xyz"] == [1, 1, 1]
