"""Agents that touch what is shared, in every way, as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure import Agent, AgentSystem, Principal, Right, Scope, State
from perdure.persistence.errors import Denied
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES

W = Scope.workflow("w")
ANNA, BERT = Principal.agent("Desk", "anna"), Principal.agent("Desk", "bert")


class DeskState(State):
    done: int = 0


class Desk(Agent[DeskState]):
    """STRICT, as every agent that does not say otherwise."""

    def read(self, scope: str, key: str) -> object:
        self.state.done += 1
        return self.scopes.get(Scope.parse(scope), key)

    def write(self, scope: str, key: str, value: object) -> int:
        self.state.done += 1
        return self.scopes.set(Scope.parse(scope), key, value)

    def remove(self, scope: str, key: str) -> bool:
        return self.scopes.delete(Scope.parse(scope), key)

    def keys(self, scope: str, prefix: str = "") -> list[str]:
        return list(self.scopes.list(Scope.parse(scope), prefix=prefix))

    def count(self, scope: str) -> int:
        return self.scopes.count(Scope.parse(scope))

    def exists(self, scope: str, key: str) -> bool:
        return self.scopes.exists(Scope.parse(scope), key)

    def increment(self, scope: str, key: str) -> int:
        self.state.done += 1
        return self.scopes.increment(Scope.parse(scope), key)

    def read_and_fail(self, scope: str, key: str) -> None:
        self.scopes.get(Scope.parse(scope), key)
        raise ValueError("undone")

    def read_twice(self, scope: str, key: str) -> list[object]:
        return [self.scopes.get(Scope.parse(scope), key) for _ in range(2)]

    def try_to_read(self, scope: str, key: str) -> str:
        self.state.done += 1
        try:
            self.scopes.get(Scope.parse(scope), key)
        except Denied as error:
            return str(error)
        return ""

    def write_and_wait(self, scope: str, key: str, value: object, at: str) -> int:
        self.state.done += 1
        version = self.scopes.set(Scope.parse(scope), key, value)
        GATES[at].pass_through()
        return version

    async def write_and_sleep(self, scope: str, key: str, value: object, at: str) -> int:
        version = self.scopes.set(Scope.parse(scope), key, value)
        GATES[at].arrive()
        await asyncio.sleep(3600)
        return version

    def wait(self, at: str) -> int:
        self.state.done += 1
        GATES[at].pass_through()
        return self.state.done

    def work(self) -> int:
        self.state.done += 1
        return self.state.done

    def done(self) -> int:
        return self.state.done

    def tell_and_wait(self, key: str, at: str) -> None:
        self.system.agent(Desk, key).cast(Desk.work)
        GATES[at].pass_through()

    def wait_and_ask(self, key: str, at: str) -> int:
        GATES[at].pass_through()
        answer: int = self.system.agent(Desk, key).proxy().work().get()
        return answer

    def give(self, scope: str, kind: str, key: str) -> int:
        access = self.system.access
        grant = access.grant(Principal.agent(kind, key), Scope.parse(scope), Right.READ)
        number: int = grant.number
        return number

    def give_and_fail(self, scope: str, kind: str, key: str) -> None:
        self.give(scope, kind, key)
        raise ValueError("undone")

    def look_at(self, what: str) -> object:
        system = self.system
        looks: dict[str, Callable[[], object]] = {
            "audit": system.audit.list,  # type: ignore[attr-defined]
            "verify": system.audit.verify,  # type: ignore[attr-defined]
            "head": system.audit.head,  # type: ignore[attr-defined]
            "trim": system.audit.trim,  # type: ignore[attr-defined]
            "journal": system.journal.list,  # type: ignore[attr-defined]
            "others": lambda: system.journal.list("Desk", "bert"),  # type: ignore[attr-defined]
            "own": lambda: len(system.journal.list("Desk", self.key)),  # type: ignore[attr-defined]
            "isolated": system.access.isolations.list,
            "check": lambda: system.access.check(ANNA, Right.READ, W),
            "owner": lambda: system.access.owner(W),
            "grants": lambda: len(system.access.grants.list()),
        }
        return looks[what]()


def opened(store: object = "memory://", **options: object) -> AgentSystem:
    """Open a system of desks."""
    return AgentSystem.open(store, agents=[Desk], **options)  # type: ignore[arg-type]


def call(system: AgentSystem, key: str, method: str, *args: object) -> object:
    """Ask a desk and wait for the answer."""
    return getattr(system.agent(Desk, key).proxy(), method)(*args).get(timeout=DEADLINE)
