"""What a decision about access takes, and what reading all grants at the opening takes."""

from __future__ import annotations

import random
import time
from pathlib import Path

from perdure import MemoryStore, Principal, Right, Scope
from perdure.persistence.records.shared_tables import GRANTS
from perdure.persistence.records.tables import Change
from perdure.shared.access.grants import Grant
from perdure.shared.access.policy import Policy
from perdure.shared.ledger.guard import Standing

CHECKS = 1_000
"""Decisions in a round."""


def decided(folder: Path, *, tenants: int, grants: int, seconds: float) -> dict[str, float]:
    """Ask for decisions among ``tenants`` agents with ``grants`` each, half of them refused.

    The grants are for scopes of their own, some with an expiry, some for a pattern of keys.
    """
    del folder  # all of it is in memory while a system is open
    changes = [_grant(tenant, number) for tenant in range(tenants) for number in range(grants)]
    policy = Policy(MemoryStore(), {}, time.time)
    start = time.perf_counter()
    policy.published(changes, 1)
    loading = time.perf_counter() - start
    chance = random.Random(1)
    questions = []
    for number in range(CHECKS):
        tenant = chance.randrange(tenants)
        who = Standing(Principal.agent("Tenant", f"t{tenant}"))
        asked = tenant if number % 2 else (tenant + 1) % tenants
        questions.append((who, _scope(asked, chance.randrange(grants))))
    check = policy.check
    spent, done = 0.0, 0
    while spent < seconds:
        start = time.perf_counter()
        for who, scope in questions:
            check(who, Right.READ, scope, "data/1")
        spent += time.perf_counter() - start
        done += CHECKS
    return {"microseconds": spent / done * 1e6, "loading_seconds": loading}


def _scope(tenant: int, number: int) -> Scope:
    return Scope.workflow(f"t{tenant}-{number}")


def _grant(tenant: int, number: int) -> Change:
    grant = Grant(
        number=tenant * 1_000 + number + 1,
        to=Principal.agent("Tenant", f"t{tenant}"),
        scope=_scope(tenant, number),
        rights=Right.READ | Right.LIST,
        keys="data/*" if number % 3 == 0 else "*",
        expires=time.time() + 86_400 if number % 4 == 0 else None,
        uses=None,
        inherit=False,
        by=Principal.SYSTEM,
        made=0.0,
    )
    return Change(GRANTS, (grant.number,), grant.row())
