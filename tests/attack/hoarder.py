"""The process that is killed while it deletes much: `python -m tests.attack.hoarder STORE TASK`.

TASK is `fill`, or what is done with the agents: `delete` or `erase` and the number of slices after
which the process kills itself; 0 for as soon as the deletion is durable. It prints `done` at last.
"""

import os
import signal
import sys
from pathlib import Path

from perdure import Agent, AgentSystem, Log, Map, Scope, State
from perdure.actors.cell import deletion as cells
from perdure.persistence.sqlite import deletion
from perdure.url import open_store

ENTRIES = 300
WORD = "CANARY"


class Heap(State):
    name: str = ""
    entries: Map[str, str] = Map.field()
    lines: Log[str] = Log.field()


class Hoarder(Agent[Heap]):
    """Has very many rows; what it is told grows and shrinks, so that rows move in their pages."""

    def fill(self, number: int) -> None:
        self.state.name = f"{WORD}{number}" + "x" * (number % 700)
        self.state.entries[f"e{number % ENTRIES}"] = f"{WORD}{number}" + "y" * (number * 7 % 400)
        self.state.lines.append(f"{WORD}{number}")
        self.scopes.set(self.scopes.own, f"k{number % 3}", f"{WORD}{number}")

    def hear(self, word: str) -> None:
        self.state.lines.append(word)

    def count(self) -> int:
        return len(self.state.entries) + len(self.state.lines)


def small_slices() -> None:
    """Have many slices of few rows."""
    deletion.ROWS, deletion.FEW, cells.MOST_KEYS = 50, 20, 20  # type: ignore[misc]


def main(path: Path, task: str, slices: int) -> None:
    """Fill the store, or delete an agent and maybe die of it."""
    small_slices()
    store = open_store(path, sync="process")
    go_on, left = store.remove_deleted, [slices]

    def remove_deleted() -> bool:
        if store.disk().deleted:
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return go_on()

    if slices >= 0:
        store.remove_deleted = remove_deleted  # type: ignore[method-assign]
    with AgentSystem.open(store, agents=[Hoarder]) as system:
        one, other = system.agent(Hoarder, "one"), system.agent(Hoarder, "other")
        if task == "fill":
            for number in range(2 * ENTRIES):
                one.cast(Hoarder.fill, number)
            one.call(Hoarder.count).get()  # behind all of that
            other.call(Hoarder.count).get()
            keys = {f"more{number}": WORD for number in range(ENTRIES)}
            system.state.set_many(Scope.agent("Hoarder", "one"), keys)
            one.pause()
            for number in range(ENTRIES):
                one.cast(Hoarder.hear, f"{WORD}{number}")
            system.flush()
        else:
            one.delete(erase=task == "erase")
            system.idle()
    os.write(1, b"done\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
