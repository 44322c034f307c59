"""The policy decides as a model of lists and loops does, over thousands of random histories."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace

import pytest

from perdure import Boundary, MemoryStore, Principal, Right, Scope
from perdure.persistence.records.shared_tables import BOUNDARIES, GRANTS, ISOLATED, OWNERS
from perdure.persistence.records.tables import Change, Row
from perdure.shared.access.grants import Grant, Isolation
from perdure.shared.access.policy import Policy
from perdure.shared.ledger.guard import Standing

A, B = Principal.agent("K", "a"), Principal.agent("K", "b")
C = Principal.agent("L", "c")
MIRA = Principal.user("mira")
KINDS = Principal.agents("K")
WHO = (A, B, C, MIRA, Principal.SYSTEM)
W = Scope.workflow("w")
SCOPES = (
    Scope.GLOBAL, W, W.step("s"), W.step("t"), Scope.user("mira"), Scope.agent("K", "a"),
    Scope.session("s1"), Scope.tool("t"), Scope.custom("n", "i"),
)  # fmt: skip
KEYS = (None, "a", "ab", "b")
PATTERNS = ("*", "a", "a*", "b*")
RIGHTS = (Right.READ, Right.WRITE, Right.DELETE, Right.LIST, Right.READ | Right.WRITE)
CLASSES = {"K": Boundary.STRICT, "L": Boundary.READ_SHARED}


@dataclass
class Model:
    """What is allowed, written down as it is told to people."""

    grants: list[Grant]
    owners: dict[Scope, Principal]
    boundaries: dict[Principal, Boundary]
    isolated: set[Principal]
    now: float = 0.0

    def owner(self, scope: Scope) -> Principal:
        """Return an owner by name, that of the workflow, the natural one, else the system."""
        if scope in self.owners:
            return self.owners[scope]
        if scope.parent is not None and scope.parent in self.owners:
            return self.owners[scope.parent]
        if scope.kind == "user":
            return Principal.user(scope.id)
        if scope.kind == "agent":
            return Principal.agent(scope.id, scope.part)
        return Principal.SYSTEM

    def allows(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> bool:
        """One right after the other: each needs a reason of its own."""
        if standing.principal in self.isolated:
            return False
        return all(self._one(standing, single, scope, key) for single in right)

    def _one(self, standing: Standing, right: Right, scope: Scope, key: str | None) -> bool:
        who = standing.principal
        if who in (Principal.SYSTEM, self.owner(scope)):
            return True
        if scope.kind == "session" and scope.id == standing.session:
            return True
        if who.kind == "agent":
            boundary = self.boundaries.get(who, CLASSES[who.id])
            shared = scope.kind not in ("user", "agent", "session")
            if shared and self.owner(scope) == Principal.SYSTEM:
                if boundary is Boundary.SHARED:
                    return True
                if boundary is Boundary.READ_SHARED and right in (Right.READ, Right.LIST):
                    return True
        return any(self._gives(grant, who, right, scope, key) for grant in self.grants)

    def _gives(
        self, grant: Grant, who: Principal, right: Right, scope: Scope, key: str | None
    ) -> bool:
        to_whom = grant.to == who or (
            grant.to.kind == "agents" and who.kind == "agent" and grant.to.id == who.id
        )
        where = grant.scope == scope or (
            grant.inherit
            and grant.scope == scope.parent
            and self.owner(scope) == self.owner(grant.scope)
        )
        what = key is None or grant.keys == key
        if grant.keys.endswith("*"):
            what = key is None or key.startswith(grant.keys[:-1])
        holds = grant.expires is None or grant.expires > self.now
        return to_whom and where and what and holds and right in grant.rights


class History:
    """The same random changes in the policy and in the model."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.model = Model([], {}, {}, set())
        self.policy = Policy(MemoryStore(), CLASSES, lambda: self.model.now)
        self.numbers = itertools.count(1)

    def change(self) -> None:
        chance = self.chance
        steps = [
            self.grant, self.grant, self.grant, self.revoke, self.use, self.own, self.bound,
            self.isolate, self.restore, self.wait,
        ]  # fmt: skip
        chance.choice(steps)()

    def grant(self) -> None:
        chance = self.chance
        scope = chance.choice(SCOPES)
        grant = Grant(
            next(self.numbers), chance.choice((A, B, C, MIRA, KINDS)), scope, chance.choice(RIGHTS),
            chance.choice(PATTERNS),
            None if chance.random() < 0.7 else self.model.now + chance.randint(1, 5),
            None if chance.random() < 0.7 else chance.randint(1, 3),
            scope.kind == "workflow" and chance.random() < 0.5, Principal.SYSTEM, 0.0,
        )  # fmt: skip
        self.model.grants.append(grant)
        self.publish(Change(GRANTS, (grant.number,), grant.row()))

    def revoke(self) -> None:
        if self.model.grants:
            grant = self.chance.choice(self.model.grants)
            self.model.grants.remove(grant)
            self.publish(Change(GRANTS, (grant.number,), None))

    def use(self) -> None:
        limited = [grant for grant in self.model.grants if grant.uses is not None]
        if not limited:
            return
        grant = self.chance.choice(limited)
        self.model.grants.remove(grant)
        row: Row | None = None
        if grant.uses is not None and grant.uses > 1:
            used = replace(grant, uses=grant.uses - 1)
            self.model.grants.append(used)
            row = used.row()
        self.publish(Change(GRANTS, (grant.number,), row))

    def own(self) -> None:
        scope = self.chance.choice([s for s in SCOPES if s.kind not in ("user", "agent")])
        owner = self.chance.choice(WHO)
        self.model.owners[scope] = owner
        row = (*scope.columns, *owner.columns, 0)
        self.publish(Change(OWNERS, scope.columns, row))

    def bound(self) -> None:
        who, boundary = self.chance.choice((A, B, C)), self.chance.choice((None, *Boundary))
        self.model.boundaries.pop(who, None)
        row: Row | None = None
        if boundary is not None:
            self.model.boundaries[who] = boundary
            row = (who.id, who.part, str(boundary), 0)
        self.publish(Change(BOUNDARIES, (who.id, who.part), row))

    def isolate(self) -> None:
        who = self.chance.choice((A, B, C))
        self.model.isolated.add(who)
        if self.chance.random() < 0.5:
            self.policy.cut_off(Isolation(who, "", 0.0))
        self.publish(Change(ISOLATED, (who.id, who.part), (who.id, who.part, "", 0.0, 0)))

    def restore(self) -> None:
        who = self.chance.choice((A, B, C))
        self.model.isolated.discard(who)
        self.publish(Change(ISOLATED, (who.id, who.part), None))

    def wait(self) -> None:
        self.model.now += self.chance.choice((0.5, 1.0, -0.5))

    def publish(self, change: Change) -> None:
        before = self.policy.epoch
        self.policy.published([change], 0)
        assert self.policy.epoch > before

    def compare(self, questions: int) -> None:
        for _ in range(questions):
            standing = Standing(self.chance.choice(WHO), self.chance.choice(("", "s1")))
            right, scope = self.chance.choice(RIGHTS), self.chance.choice(SCOPES)
            key = self.chance.choice(KEYS)
            wanted = self.model.allows(standing, right, scope, key)
            decision = self.policy.check(standing, right, scope, key)
            assert decision.allowed is wanted, (standing, right, scope, key, decision)
            assert decision.isolated is (standing.principal in self.model.isolated)
            across = standing.principal != self.model.owner(scope)
            assert decision.audited is across
            if decision.allowed and decision.uses:
                limited = {g.number for g in self.model.grants if g.uses is not None}
                assert set(decision.uses) <= limited
            if key is not None:
                shown = self.policy.shown(standing, scope)(key)
                assert shown is self.model.allows(standing, Right.LIST, scope, key)


@pytest.mark.parametrize("seed", range(40))
def test_the_policy_decides_as_the_model_does(seed: int) -> None:
    """Whatever was granted, used, revoked, given away or cut off, both give the same answers."""
    for number in range(10):
        history = History(seed * 1000 + number)
        for _ in range(25):
            history.change()
            history.compare(6)


@pytest.mark.slow
def test_the_policy_decides_as_the_model_does_over_thousands_of_histories() -> None:
    """The same, for long."""
    for seed in range(5_000):
        history = History(10**6 + seed)
        for _ in range(40):
            history.change()
            history.compare(6)


def test_an_expiry_moves_the_epoch() -> None:
    """Whoever holds an epoch looks again when a grant it knew of has run out."""
    history = History(1)
    policy, model = history.policy, history.model
    grant = Grant(
        1, A, W, Right.READ, "*", 5.0, None, False, Principal.SYSTEM, 0.0  # noqa: FBT003
    )  # fmt: skip
    history.publish(Change(GRANTS, (1,), grant.row()))
    before = policy.epoch
    assert policy.epoch == before
    assert policy.check(Standing(A), Right.READ, W, "k").allowed
    model.now = 5.0
    assert policy.epoch > before
    assert not policy.check(Standing(A), Right.READ, W, "k").allowed
    assert policy.grant(1) is None
