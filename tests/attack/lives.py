"""Worker processes, one after the other on one store, each ended in its own way."""

import json
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO

from tests.attack.audit import Book
from tests.kit.children import PATIENCE, kill_after, started


@dataclass(frozen=True)
class End:
    """How a worker is to end."""

    after: str
    """The event that starts the count-down."""
    events: int
    """How many such events."""
    seconds: float
    """From the last of them to the kill."""
    close: bool = False
    """Have it close after the events; the kill is counted from `closing`, or does not come."""
    kill: bool = True


def draw(random: Random) -> End:
    """Choose where in its life a worker is killed; one in eight lives to its end."""
    where = random.choice(["open", "work", "work", "work", "work", "close", "close", "live"])
    if where == "open":
        return End("begin", 1, random.uniform(0, 0.04))
    if where == "work":
        return End("did", random.randint(1, 200), random.uniform(0, 0.01))
    kill = where == "close"
    return End("did", random.randint(1, 100), random.uniform(0, 0.03), close=True, kill=kill)


def worker(store: Path, *arguments: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run a worker process; whatever happens, it is gone afterwards."""
    return started("-m", "tests.attack.worker", store, *arguments)


def live(store: Path, sync: str, seed: str, life: int, *, end: End, book: Book) -> None:
    """Run one life to its end, and enter all its events in the book."""
    book.events.clear()
    with worker(store, sync, seed, str(life), "work") as process:
        assert process.stdout is not None
        _until(process.stdout, book, end.after, end.events)
        if end.close:
            tell(process)
            _until(process.stdout, book, "closing", 1)
        if end.kill:
            kill_after(process, end.seconds)
        _until(process.stdout, book, "", -1)
        process.wait(PATIENCE)
    if not end.kill:
        assert process.returncode == 0
        assert book.events[-1] == "closed"


def settle(store: Path, sync: str, seed: str, life: int, book: Book) -> None:
    """Run a last life in which everything arrives that is on its way."""
    book.events.clear()
    book.statuses = {"active", *book.statuses}
    with worker(store, sync, seed, str(life), "settle") as process:
        assert process.stdout is not None
        _until(process.stdout, book, "", -1)
        assert process.wait(PATIENCE) == 0
    assert book.events[-1] == "closed"


def tell(process: subprocess.Popen[bytes]) -> None:
    """Have a worker close."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def _until(stdout: IO[bytes], book: Book, word: str, count: int) -> None:
    """Enter events until the one that is waited for, or until there are no more."""
    for line in stdout:
        if not line.endswith(b"\n"):
            return
        event = json.loads(line)
        book.enter(event)
        count -= event[0] == word
        if count == 0:
            return
