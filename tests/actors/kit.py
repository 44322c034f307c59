"""What several of these tests use: a clerk to talk to, a store that counts, a latch."""

import threading
from collections.abc import Callable

from perdure import Agent, Log, Map, MemoryStore, State
from perdure.persistence.store.batch import Batch

DEADLINE = 20.0
"""Seconds after which something that should have happened has not."""


class Latch:
    """Let a test stop a handler in the middle, and know that it got there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        """Say that the handler is here, and wait until the test lets it go on."""
        self.reached.set()
        assert self.opened.wait(DEADLINE)

    def wait(self) -> None:
        """Wait until a handler is in the latch."""
        assert self.reached.wait(DEADLINE)

    def open(self) -> None:
        """Let handlers pass from now on."""
        self.opened.set()


class CountingStore(MemoryStore):
    """Count the mailbox rows that reach the store."""

    def __init__(self) -> None:
        super().__init__()
        self.mail_written = 0
        self.before_commit: Callable[[], object] = lambda: None

    def commit(self, batch: Batch) -> None:
        self.before_commit()
        self.mail_written += len(batch.mail)
        super().commit(batch)


class ClerkState(State):
    count: int = 0
    notes: list[str] = []  # noqa: RUF012 -- msgspec copies it for every instance
    seen: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Clerk(Agent[ClerkState]):
    """Count, keep notes, and pass things on."""

    label: str = "plain"

    def add(self, amount: int = 1) -> int:
        self.state.count += amount
        return self.state.count

    def note(self, text: str) -> list[str]:
        self.state.notes.append(text)
        return self.state.notes

    def file(self, item: str) -> None:
        self.state.seen.append(item)
        self.state.owners[item] = len(self.state.seen)

    def read(self) -> dict[str, object]:
        return {
            "count": self.state.count,
            "notes": self.state.notes,
            "seen": list(self.state.seen),
            "owners": dict(self.state.owners),
        }

    def spoil(self, error: str = "spoilt") -> None:
        self.state.count += 100
        self.state.notes.append("spoilt")
        self.state.seen.append("spoilt")
        self.state.owners["spoilt"] = 1
        self.system.agent(Clerk, "other").cast(Clerk.add, 1)
        self.after(1.0, "add", 1000)
        raise ValueError(error)

    def forward(self, to: str, amount: int) -> None:
        self.system.agent(Clerk, to).cast(Clerk.add, amount)

    def relay(self, path: list[str]) -> int:
        """Ask along a path of keys, each waiting for the next."""
        if not path:
            return 0
        onward = self.system.agent(type(self), path[0])
        return 1 + int(onward.proxy().relay(path[1:]).get())

    def on_receive(self, message: object) -> object:
        self.file(repr(message))
        return message
