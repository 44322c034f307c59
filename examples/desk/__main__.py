"""Run the desk: `python -m examples.desk [STORE]`. A second run goes on where the first stopped."""

import sys
from pathlib import Path

from perdure import AgentSystem

from .agents import Desk


def main(store: Path) -> None:
    """Open two tickets, hand one of them to another desk, and print what the desks know by now."""
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "emea")
        run = desk.call(Desk.entries).get() // 3 + 1
        print(f"run {run} on {store}")
        desk.call(Desk.assign, f"T-{run}-a", "mira").get()
        desk.call(Desk.assign, f"T-{run}-b", "mira").get()
        desk.call(Desk.hand_over, f"T-{run}-b", "apac", "noor").get()
        system.idle()
        for region in ("emea", "apac"):
            desk = system.agent(Desk, region)
            owners, last = desk.call(Desk.owners).get(), desk.call(Desk.history, -1).get()
            print(f"{region}: {owners}, last: {last}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "desk.db"))
