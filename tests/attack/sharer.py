"""The process that is killed while it shares: `python -m tests.attack.sharer STORE SYNC SEED LIFE`.

It writes one line of JSON per event to stdout: `["did", ...]` after each step whose result was
acknowledged. It goes on until it is killed, or until a line comes in at stdin.
"""

import json
import os
import sys
import threading
from random import Random

from perdure import Agent, AgentSystem, Boundary, Retention, Scope, State

A, B, C = Scope.workflow("w"), Scope.workflow("w").step("s"), Scope.custom("c", "1")
ACCOUNTS = [f"a{number}" for number in range(6)]
TOTAL = 6_000
"""What all accounts of the three scopes hold together."""


class Count(State):
    turns: int = 0


class Clerk(Agent[Count]):
    """Move amounts between scopes, and count its turns in its own state and beside it."""

    boundary = Boundary.SHARED

    def move(self, source: str, to: str, amount: int) -> int:
        self.state.turns += 1
        scopes = self.scopes
        scopes.increment(A, source, -amount)
        scopes.increment(B, to, amount)
        scopes.set(scopes.own, "turns", self.state.turns)
        scopes.add(C, "turns")
        return self.state.turns

    async def move_later(self, source: str, to: str, amount: int) -> int:
        return self.move(source, to, amount)


def say(*event: object) -> None:
    """Write one event in one write."""
    os.write(1, json.dumps(event).encode() + b"\n")


def prepare(system: AgentSystem) -> None:
    """Fill the accounts, once and for all, in one transaction."""
    with system.state.transaction() as state:
        if state.set_if_absent(C, "ready", value=True):
            for scope in (A, B, C):
                for account in ACCOUNTS:
                    state.set(scope, account, TOTAL // 18 if scope is not C else 0)
            state.set(C, "rest", TOTAL - sum(TOTAL // 18 for _ in range(12)))


def drive(system: AgentSystem, seed: str, thread: int, stop: threading.Event) -> None:
    """Do random things and say what was acknowledged."""
    chance, state = Random(f"{seed}/{thread}"), system.state
    given = 0
    while not stop.is_set():
        source, to = chance.choice(ACCOUNTS), chance.choice(ACCOUNTS)
        amount = chance.randint(1, 20)
        kind = chance.random()
        if kind < 0.4:
            clerk = system.agent(Clerk, str(chance.randrange(4)))
            method = Clerk.move_later if chance.random() < 0.3 else Clerk.move
            say("did", "turns", clerk.key, clerk.call(method, source, to, amount).get())
        elif kind < 0.7:

            def three(_: object, s: str = source, t: str = to, n: int = amount) -> None:
                state.set(A, s, (state.get(A, s, int) or 0) + 2 * n)
                state.increment(B, t, -n)
                state.add(C, "rest", -n)

            state.transact(three)
        elif kind < 0.9:
            given = state.increment(C, "given")
            say("did", "given", given)
        else:
            state.set(C, f"mark/{thread}", given)
            say("did", "mark", thread, given)


def main() -> None:
    """Share until the end."""
    store, sync, seed, life = sys.argv[1:]
    retention = Retention(commits=300)
    with AgentSystem.open(store, agents=[Clerk], sync=sync, retention=retention) as system:
        prepare(system)
        say("open")
        stop = threading.Event()
        threads = [
            threading.Thread(target=drive, args=(system, f"{seed}/{life}", number, stop))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        sys.stdin.readline()
        stop.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
