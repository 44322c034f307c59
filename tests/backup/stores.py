"""Stores to back up, and what is in them."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from perdure import Agent, AgentSystem, Log, Map, Retention, State


class LedgerState(State):
    """Something in each kind of field."""

    total: int = 0
    lines: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Ledger(Agent[LedgerState]):
    """Changes each kind of what is stored."""

    def add(self, amount: int) -> int:
        """Change a plain field."""
        self.state.total += amount
        return self.state.total

    def note(self, line: str) -> None:
        """Append to a log."""
        self.state.lines.append(line)

    def own(self, name: str, amount: int) -> None:
        """Put an entry into a map."""
        self.state.owners[name] = amount

    def disown(self, name: str) -> None:
        """Remove an entry from a map, if it is there."""
        self.state.owners.pop(name, None)

    def wait(self, name: str) -> None:
        """Set a timer that is due far from now."""
        self.after(3_600_000.0, Ledger.add, 1, name=name)

    def forget(self, name: str) -> None:
        """Cancel a timer."""
        self.cancel(name)

    def send(self, key: str, amount: int) -> None:
        """Tell another to add."""
        self.system.agent(Ledger, key).cast(Ledger.add, amount)

    def refuse(self) -> None:
        """Fail, so that the message becomes a dead letter."""
        raise ValueError("refused")


def opened(path: Path, *, keep: int = 1_000) -> AgentSystem:
    """Open a store of such agents."""
    return AgentSystem.open(
        path, agents=[Ledger], sync="process", service=False, retention=Retention(commits=keep)
    )


def fill(path: Path, count: int = 20) -> None:
    """Make a store with something of everything."""
    with opened(path) as system:
        for number in range(count):
            ledger = system.agent(Ledger, f"k{number % 5}")
            ledger.call(Ledger.add, number).get()
            ledger.call(Ledger.note, f"line {number}").get()
            ledger.call(Ledger.own, f"n{number}", number).get()
        system.agent(Ledger, "k1").pause()
        system.agent(Ledger, "k1").cast(Ledger.add, 5)
        system.flush()


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table but the lease, which names a file."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)  # noqa: S608
            for (name,) in names
            if name != "lease"
        }
