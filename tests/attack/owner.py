"""A process that owns a store and does as it is told: `python -m tests.attack.owner STORE SYNC`.

It says `["open", TOKEN]` or `["refused", ERROR, TEXT]`, then reads commands from stdin, a line of
JSON each, and answers each with one line: `["did", RESULT]` or `["failed", ERROR, TEXT]`.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from perdure import AgentSystem, Backoff, Breaker, Saving
from perdure.persistence.errors import PerdureError
from tests.attack.agents import AGENTS, Relay, Tally


class Owner:
    """The commands, by name."""

    def __init__(self, system: AgentSystem) -> None:
        self._system = system

    def add(self, number: int) -> int:
        """Ask a tally to add a number."""
        return self._system.agent(Tally, "t").call(Tally.add, number).get()

    def tell(self, number: int) -> bool:
        """Tell a tally to add a number, and wait until that is durable."""
        self._system.agent(Tally, "t").cast(Tally.add, number)
        return self._system.flush()

    def push(self, times: int) -> int:
        """Push numbers into the chain of relays; return the last once it is acknowledged."""
        relay = self._system.agent(Relay, "0")
        return [future.get() for future in [relay.call(Relay.push) for _ in range(times)]][-1]

    def synchronous(self) -> int:
        """Return what the writing connection does at the end of a commit."""
        writer = self._system._store._writer  # type: ignore[attr-defined]
        return int(writer.execute("PRAGMA synchronous").fetchone()[0])

    def fork(self) -> list[Any]:
        """Return what a forked child gets when it uses the system it has inherited."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            steps: list[Callable[[], object]] = [
                lambda: self.add(1000),
                lambda: self.tell(1000),
                lambda: self._system.agent(Tally, "t").pause(),
                self._system._store.renew,
                self._system.close,
            ]
            os.write(write, json.dumps([outcome(step) for step in steps]).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        return json.loads(told)  # type: ignore[no-any-return]

    def close(self) -> bool:
        """Close the system."""
        return self._system.close()


def outcome(step: Callable[..., object], *arguments: object) -> list[object]:
    """Return the result of a step, or its error, as an event."""
    try:
        return ["did", step(*arguments)]
    except PerdureError as error:
        return ["failed", type(error).__name__, str(error)]


def say(event: list[object]) -> None:
    """Write one event."""
    os.write(1, json.dumps(event).encode() + b"\n")


def main(store: str, sync: str) -> None:
    """Own a store until told to close it."""
    logging.getLogger("perdure").setLevel(logging.CRITICAL)
    patience = Backoff(first=0.01, longest=0.02), Breaker(failures=2, reset_after=0.05)
    try:
        system = AgentSystem.open(
            store, agents=AGENTS, sync=sync, saving=Saving(backoff=patience[0], breaker=patience[1])
        )
    except PerdureError as error:
        say(["refused", type(error).__name__, str(error)])
        return
    say(["open", system._store.lease.token])
    owner = Owner(system)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        say(outcome(getattr(owner, name), *arguments))
        if name == "close":
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
