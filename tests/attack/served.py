"""A program under load that drains: `python -m tests.attack.served STORE SEED`, or `perdure run`.

`perdure run tests.attack.served:main` takes the seed from the environment. Both say what was
acknowledged, as the worker does, until the system closes.
"""

import logging
import os
import signal
import sys
import threading
from typing import Any

from perdure import Agent, AgentSystem
from perdure.persistence.errors import SystemClosed
from tests.attack.agents import AGENTS
from tests.attack.worker import THREADS, Driver, fail, names, say

agents: list[type[Agent[Any]]] = list(AGENTS)


def main(system: AgentSystem) -> None:
    """Drive the agents until the system closes."""
    logging.getLogger("perdure.actors").setLevel(logging.CRITICAL)
    threading.excepthook = fail
    seed = os.environ["SEED"]
    name = names(seed)

    def drive(number: int) -> None:
        try:
            Driver(system, f"{seed} {number}", name).run(threading.Event())
        except SystemClosed:
            return

    threads = [threading.Thread(target=drive, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    say("open")
    for thread in threads:
        thread.join()


def plain(store: str, seed: str) -> int:
    """Do as the documentation says a program without `perdure run` should."""
    os.environ["SEED"] = seed
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    system = AgentSystem.open(store, agents=agents)
    work = threading.Thread(target=main, args=(system,))
    work.start()
    told.wait()
    complete = system.close(timeout=10)
    work.join()
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(plain(*sys.argv[1:]))
