"""eventsourcing: an aggregate for each desk, an event for each turn, saved by `Application.save`.

Set-up: the library's own SQLite module (``PERSISTENCE_MODULE=eventsourcing.sqlite``) on a file. It
switches the file to the write-ahead log and leaves ``synchronous`` at SQLite's default, FULL, so
``save`` returns after one flush. Two choices in the peer's favour:

- The aggregates are kept in memory and saved again and again, instead of being rebuilt from the
  repository for each command (that took twice as long).
- No snapshots and no followers, so ``save`` inserts rows and does nothing else.

``save`` also takes several aggregates and writes their events in one transaction. That is one
caller with one decision about many aggregates, not many callers with a turn each, so it is not the
same work; its figure is there for information (`batched`).
"""

from __future__ import annotations

from pathlib import Path

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from ..workload import (
    AGENTS,
    burner,
    closed_loop,
    owner,
    with_size,
)
from ..workload import (
    conversation as hold,
)


class Desk(Aggregate):
    """A desk with two small fields."""

    def __init__(self) -> None:
        self.open = 0
        self.owner = ""

    @event("Assigned")
    def assign(self, owner: str) -> None:
        """Take an assignment."""
        self.open += 1
        self.owner = owner


class Conversation(Aggregate):
    """A transcript."""

    def __init__(self) -> None:
        self.transcript: list[str] = []

    @event("Said")
    def say(self, text: str) -> None:
        """Add to the transcript."""
        self.transcript.append(text)


def turns(folder: Path, *, seconds: float, burning: bool = False) -> dict[str, float]:
    """Save one aggregate after each event."""
    app = _application(folder)
    desks = _desks(app)

    def turn(number: int) -> None:
        desk = desks[number % AGENTS]
        desk.assign(owner(number))
        app.save(desk)

    with burner(on=burning):
        figures = closed_loop(turn, seconds)
    app.close()
    return figures


def batched(folder: Path, *, seconds: float) -> dict[str, float]:
    """Save a hundred aggregates in one call, each with one new event."""
    app = _application(folder)
    desks = _desks(app)

    def turn(number: int) -> None:
        first = number * 100 % AGENTS
        group = desks[first : first + 100]
        for desk in group:
            desk.assign(owner(number))
        app.save(*group)

    figures = closed_loop(turn, seconds, warm_up=5)
    app.close()
    return {name: 100 * value for name, value in figures.items()}


def conversation(folder: Path, *, turns: float) -> dict[str, float]:
    """Hold a conversation, saved after each turn."""
    app = _application(folder)
    talk = Conversation()

    def turn(text: str) -> None:
        talk.say(text)
        app.save(talk)

    figures = hold(turn, int(turns))
    app.close()
    return with_size(figures, folder)


def _application(folder: Path) -> Application:
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "events.db"),
        }
    )


def _desks(app: Application) -> list[Desk]:
    desks = [Desk() for _ in range(AGENTS)]
    app.save(*desks)
    return desks
