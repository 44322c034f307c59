"""The process that is killed: `python -m tests.attack.worker STORE SYNC SEED LIFE TASK`.

It writes one line of JSON per event to stdout, unbuffered: `["begin"]` before it opens the store,
`["open"]`, then `["will", ...]` before and `["did", ...]` after each step whose result was
acknowledged, `["closing"]` and `["closed", complete]`. TASK is `work` (until a line comes in at
stdin, then close) or `settle` (begin nothing new, wait until nothing is left to do, close).
"""

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from random import Random
from typing import Any

from perdure import AgentSystem, Passivation, Resources, Retention
from tests.attack.agents import (
    AGENTS,
    Account,
    Clock,
    Digest,
    Relay,
    SpoiltError,
    Tally,
    Witness,
)

THREADS = 3
ACCOUNTS = [f"account {number}" for number in range(10)]
TALLIES = ["one", "two"]
KEPT = 400
"""Journal entries kept, so that kills also meet the trimming."""


def say(*event: object) -> None:
    """Write one event; a single write is not torn by a kill, and needs no flush."""
    os.write(1, json.dumps(event).encode() + b"\n")


class Driver:
    """Ask for random things on a thread of its own, and say what was acknowledged."""

    def __init__(self, system: AgentSystem, seed: str, names: Callable[[], str]) -> None:
        self._system = system
        self._random = Random(seed)
        self._names = names
        self._steps: list[Callable[[], tuple[Any, tuple[object, ...]]]] = [
            self._transfer, self._transfer, self._push, self._add, self._look, self._remind,
            self._bump, self._poison,
        ]  # fmt: skip

    def run(self, stop: threading.Event) -> None:
        """Ask for a few things at once, wait for all of them, again and again."""
        while not stop.is_set():
            asked = [self._random.choice(self._steps)() for _ in range(self._random.randint(1, 6))]
            for future, event in asked:
                say("did", *event, future.get())
            if self._random.random() < 0.1:
                self._spoil()
            if self._random.random() < 0.05:
                self._stop_one()

    def _transfer(self) -> tuple[Any, tuple[object, ...]]:
        sender, to = self._random.choice(ACCOUNTS), self._random.choice(ACCOUNTS)
        number, amount = self._names(), self._random.randint(1, 90)
        future = self._system.agent(Account, sender).call(Account.transfer, number, to, amount)
        return future, ("transfer", number, sender, to, amount)

    def _push(self) -> tuple[Any, tuple[object, ...]]:
        return self._system.agent(Relay, "0").call(Relay.push), ("push",)

    def _add(self) -> tuple[Any, tuple[object, ...]]:
        tally = self._random.choice(TALLIES)
        number = self._random.randint(0, 9)
        return self._system.agent(Tally, tally).call(Tally.add, number), ("add", tally)

    def _look(self) -> tuple[Any, tuple[object, ...]]:
        tally = self._random.choice(TALLIES)
        number = self._random.randint(0, 9)
        future = self._system.agent(Witness, "w").call(Witness.look, tally, number)
        return future, ("look", tally)

    def _remind(self) -> tuple[Any, tuple[object, ...]]:
        number, seconds = self._random.getrandbits(48), self._random.choice([0.0, 0.02, 0.3])
        return self._system.agent(Clock, "c").call(Clock.remind, number, seconds), ("remind",)

    def _bump(self) -> tuple[Any, tuple[object, ...]]:
        return self._system.agent(Digest, "all").call(Digest.bump), ("bump",)

    def _poison(self) -> tuple[Any, tuple[object, ...]]:
        number = self._random.getrandbits(48)
        future = self._system.agent(Tally, "ill").call(Tally.poison, number)
        return future, ("poison", number)

    def _spoil(self) -> None:
        try:
            self._system.agent(Tally, "one").call(Tally.spoil, 7).get()
        except SpoiltError:
            return
        raise AssertionError("a failed turn was answered as if it had not failed")

    def _stop_one(self) -> None:
        """Stop an agent; what a digest had done before that is durable then."""
        if self._random.random() < 0.5:
            self._system.agent(Account, self._random.choice(ACCOUNTS)).stop()
            return
        digest = self._system.agent(Digest, "all")
        bumps = digest.call(Digest.bump).get()
        digest.stop()
        say("did", "stop digest", bumps)


def keep(system: AgentSystem, stop: threading.Event) -> None:
    """Pause and resume the second relay, and say what its status is to be."""
    relay = system.agent(Relay, "1")
    (status,) = [row.status for row in system.agents.each("Relay") if row.key == "1"] or ["active"]
    while not stop.wait(0.01):
        wanted = "active" if status == "paused" else "paused"
        say("will", "status", wanted)
        if wanted == "paused":
            relay.pause()
        else:
            relay.resume()
        say("did", "status", wanted)
        status = wanted


def names(life: str) -> Callable[[], str]:
    """Return a maker of transfer numbers no other life uses."""
    lock, count = threading.Lock(), 0

    def name() -> str:
        nonlocal count
        with lock:
            count += 1
            return f"{life}-{count}"

    return name


def work(system: AgentSystem, seed: str, life: str) -> None:
    """Drive the agents until a line comes in at stdin."""
    stop = threading.Event()
    name = names(life)
    runs: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (Driver(system, f"{seed} {life} {number}", name).run, (stop,)) for number in range(THREADS)
    ]
    runs.append((keep, (system, stop)))
    threads = [threading.Thread(target=run, args=arguments) for run, arguments in runs]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    stop.set()
    for thread in threads:
        thread.join()


def settle(system: AgentSystem) -> None:
    """Let everything that is on its way arrive."""
    relay = system.agent(Relay, "1")
    if [row.status for row in system.agents.each("Relay") if row.key == "1"] == ["paused"]:
        relay.resume()
    clock = system.agent(Clock, "c")
    pause = threading.Event()
    while not clock.call(Clock.rested).get():
        pause.wait(0.02)
    assert system.idle(20)
    system.agent(Digest, "all").stop()
    assert system.idle(20)


def fail(arguments: threading.ExceptHookArgs) -> None:
    """End the process: a driver that dies must not go unseen."""
    traceback.print_exception(arguments.exc_value)
    sys.stderr.flush()
    os._exit(70)


def main(store: str, sync: str, seed: str, life: str, task: str) -> None:
    """Live one life."""
    logging.getLogger("perdure").setLevel(logging.CRITICAL)  # poison is logged again and again
    threading.excepthook = fail
    say("begin")
    system = AgentSystem.open(
        store,
        agents=AGENTS,
        sync=sync,
        resources=Resources(passivation=Passivation(idle=None, limit=6)),
        retention=Retention(commits=KEPT),
    )
    say("open")
    if task == "work":
        work(system, seed, life)
    else:
        settle(system)
    say("closing")
    say("closed", system.close())


if __name__ == "__main__":
    main(*sys.argv[1:])
