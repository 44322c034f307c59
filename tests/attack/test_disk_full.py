"""G6 on a full disk: agents pause, askers hear the cause, and afterwards nothing is missing."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from perdure import AgentSystem, Backoff, Breaker, Saving
from perdure.lifecycle import signals
from perdure.persistence.errors import StoreUnavailable
from tests.attack.agents import AGENTS, OPENING, Account, Tally
from tests.attack.audit import Book, Picture, audit, opened
from tests.kit import disks

PATIENCE = 20.0
DONE = "the turn is done but not durable"
LONG = "x" * 4000
"""A transfer's number long enough that the disk is full after a few hundred."""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a file system of 2 MB."""
    with disks.small_disk("2m") as folder:
        yield folder


@contextmanager
def breaker_events(system: AgentSystem) -> Iterator[dict[str, threading.Event]]:
    """Return an event for each opening and closing of the system's breaker."""
    events = {"opened": threading.Event(), "closed": threading.Event()}

    def opened_(_: object, **__: object) -> None:
        events["opened"].set()

    def closed_(_: object, **__: object) -> None:
        events["closed"].set()

    with (
        signals.breaker_opened.connected_to(opened_, system),
        signals.breaker_closed.connected_to(closed_, system),
    ):
        yield events


@dataclass
class Payer:
    """Asks for transfers until one fails, and counts what became of them."""

    system: AgentSystem
    book: Book = field(default_factory=Book)
    done: int = 0
    """Turns that were done: acknowledged ones, and those said to be done but not durable."""
    refused: int = 0
    causes: list[str] = field(default_factory=list)

    def pay(self, number: int) -> bool:
        """Ask for one transfer; tell whether it was acknowledged."""
        name = f"{number} {LONG}"
        asked = self.system.agent(Account, "a").call(Account.transfer, name, "b", 1)
        try:
            count = asked.get()
        except StoreUnavailable as error:
            self.causes.append(str(error))
            self.done += DONE in str(error)
            self.refused += DONE not in str(error)
            return False
        self.done += 1
        self.book.enter(["did", "transfer", name, "a", "b", 1, count])
        return True


def attack(store: Path, fill: "Filler") -> None:
    """Fill the disk, be refused, free the disk, and find every total exact."""
    with (
        AgentSystem.open(
            store,
            agents=AGENTS,
            saving=Saving(
                backoff=Backoff(first=0.01, longest=0.02),
                breaker=Breaker(failures=2, reset_after=0.05),
            ),
        ) as system,
        breaker_events(system) as events,
    ):
        payer = Payer(system)
        assert payer.pay(0)
        fill.fill(system)
        number = 1
        while payer.pay(number):
            number += 1
        assert events["opened"].wait(PATIENCE)
        for _ in range(20):
            number += 1
            payer.pay(number)
        assert payer.refused > 0
        assert all("full" in cause and "free some disk space" in cause for cause in payer.causes)
        assert system.statistics().saves.failed >= 2
        fill.free(system)
        assert events["closed"].wait(PATIENCE)
        assert payer.pay(number + 1)
        assert system.idle(PATIENCE)
        assert system.agent(Tally, "t").call(Tally.add, 1).get() == 1
        assert system.close()
    with opened(store) as connection:
        picture = Picture(connection)
        audit(picture, payer.book)
        assert picture.value("Account", "a", "balance", OPENING) == OPENING - payer.done
        assert picture.value("Account", "b", "balance", OPENING) == OPENING + payer.done


class Filler:
    """Takes the space away and gives it back."""

    def fill(self, system: AgentSystem) -> None:
        """Leave little space."""

    def free(self, system: AgentSystem) -> None:
        """Leave enough space again."""


class Ballast(Filler):
    """A file beside the store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self, system: AgentSystem) -> None:
        """Write until 200 kB are left."""
        left = os.statvfs(self._path.parent)
        self._path.write_bytes(bytes(left.f_bavail * left.f_bsize - 200_000))

    def free(self, system: AgentSystem) -> None:
        """Remove the file."""
        self._path.unlink()


class PageLimit(Filler):
    """SQLite's own limit on the pages of a file."""

    def _limit(self, system: AgentSystem, more: int) -> None:
        store = system._store
        with store._writing:  # type: ignore[attr-defined]
            (pages,) = store._writer.execute("PRAGMA page_count").fetchone()  # type: ignore[attr-defined]
            store._writer.execute(f"PRAGMA max_page_count = {pages + more}")  # type: ignore[attr-defined]

    def fill(self, system: AgentSystem) -> None:
        """Allow 50 pages more."""
        self._limit(system, 50)

    def free(self, system: AgentSystem) -> None:
        """Allow 4 GB more."""
        self._limit(system, 1_000_000)


def test_a_full_disk_costs_nothing_but_time(small_disk: Path) -> None:
    """On a full file system asks fail with the cause; with space again every total is exact."""
    attack(small_disk / "store.db", Ballast(small_disk / "ballast"))


def test_a_full_file_costs_nothing_but_time(tmp_path: Path) -> None:
    """The same with a limit on the pages of the file, which needs no permission to mount."""
    attack(tmp_path / "store.db", PageLimit())


def test_closing_on_a_full_disk_loses_nothing_acknowledged(small_disk: Path) -> None:
    """A system closed on a full disk says so; the next one has all that was acknowledged."""
    store, ballast = small_disk / "store.db", Ballast(small_disk / "ballast")
    system = AgentSystem.open(
        store,
        agents=AGENTS,
        saving=Saving(
            backoff=Backoff(first=0.01, longest=0.02), breaker=Breaker(failures=2, reset_after=0.05)
        ),
    )
    payer = Payer(system)
    number = 0
    assert payer.pay(number)
    ballast.fill(system)
    while payer.pay(number := number + 1):
        pass
    assert not system.close(timeout=0.5)
    ballast.free(system)
    with AgentSystem.open(store, agents=AGENTS) as system:
        assert system.idle(PATIENCE)
        sent = system.agent(Account, "a").call(Account.transfer, "last", "b", 1).get()
        assert sent == len(payer.book.transfers) + 1
    with opened(store) as connection:
        audit(Picture(connection), payer.book)
