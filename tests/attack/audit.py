"""Read a store that nobody has open, without perdure, and say what in it cannot be."""

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.agents import BEAT, OPENING, RELAYS

Rows = list[tuple[Any, ...]]


@contextmanager
def opened(store: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of the bytes: what the next owner finds is left as the kill left it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        for suffix in ("", "-wal"):
            if Path(f"{store}{suffix}").exists():
                shutil.copyfile(f"{store}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as connection:
            yield connection


class Picture:
    """What the store holds of the agents of this attack, decoded."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read everything at once."""
        self._connection = connection
        self.integrity = self.rows("PRAGMA integrity_check")
        heads = self.rows("SELECT kind, key, status, version, sequence FROM agents")
        self.heads = {(kind, key): rest for kind, key, *rest in heads}
        self.mail = [
            (kind, key, name, json.loads(body)[0])
            for kind, key, name, body in self.rows(
                "SELECT kind, key, name, body FROM mailbox ORDER BY id"
            )
        ]
        self.timers = self.rows("SELECT kind, key, name, due, interval FROM timers")
        self.dead = [
            (kind, key, name, json.loads(body)[0])
            for kind, key, name, body in self.rows("SELECT kind, key, name, body FROM dead_letters")
        ]
        self._fields = self._values("fields", "field")
        self._logs = self._values("log_items", "position")
        self._entries = self._values("map_entries", "entry")

    def rows(self, query: str) -> Rows:
        """Return what a query finds."""
        return self._connection.execute(query).fetchall()

    def keys(self, kind: str) -> list[str]:
        """Return the keys of all agents of a kind."""
        return [key for of, key in self.heads if of == kind]

    def value(self, kind: str, key: str, name: str, default: int = 0) -> int:
        """Return a plain field, or its default if it was never changed."""
        return int(self._fields.get((kind, key, name), {}).get(name, default))

    def log(self, kind: str, key: str, name: str) -> list[Any]:
        """Return a log's items in the order of their positions."""
        items = self._logs.get((kind, key, name), {})
        assert list(items) == list(range(len(items))), f"{kind}/{key}.{name} has a gap"
        return list(items.values())

    def map(self, kind: str, key: str, name: str) -> dict[Any, Any]:
        """Return a map's entries."""
        return self._entries.get((kind, key, name), {})

    def letters(self, kind: str, key: str, name: str) -> list[list[Any]]:
        """Return the arguments of an agent's pending messages for one method, oldest first."""
        return [args for *to, method, args in self.mail if (*to, method) == (kind, key, name)]

    def _values(self, table: str, place: str) -> dict[tuple[str, str, str], dict[Any, Any]]:
        found: dict[tuple[str, str, str], dict[Any, Any]] = {}
        for kind, key, name, where, value in self.rows(
            f"SELECT kind, key, field, {place}, value FROM {table} JOIN agents USING (agent)"  # noqa: S608
            f" ORDER BY {place}"
        ):
            found.setdefault((kind, key, name), {})[where] = json.loads(value)
        return found


@dataclass
class Book:
    """What the workers were told, over all their lives."""

    transfers: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    pushed: int = 0
    tallied: Counter[str] = field(default_factory=Counter)
    looked: Counter[str] = field(default_factory=Counter)
    poisons: set[int] = field(default_factory=set)
    reminders: set[int] = field(default_factory=set)
    bumps: int = 0
    """Bumps of the digest that a stop has made durable."""
    statuses: set[str] = field(default_factory=lambda: {"active"})
    """What the second relay may be: what was acknowledged last, and what was asked for since."""
    acknowledged: int = 0
    events: list[str] = field(default_factory=list)
    """The first words of this life's events."""
    phase: float | None = None
    """Where the beats of the clock stand: constant over all lives."""

    def enter(self, event: list[Any]) -> None:
        """Take note of one line of a worker."""
        self.events.append(event[0])
        if event[0] == "will":
            self.statuses.add(event[2])
        elif event[0] == "did":
            self.acknowledged += 1
            self._did(event[1], event[2:])

    def _did(self, what: str, rest: list[Any]) -> None:
        if what == "transfer":
            number, sender, to, amount, _ = rest
            self.transfers[number] = (sender, to, amount)
        elif what == "push":
            self.pushed = max(self.pushed, rest[0])
        elif what == "add":
            self.tallied[rest[0]] = max(self.tallied[rest[0]], rest[1])
        elif what == "look":
            self.looked[rest[0]] = max(self.looked[rest[0]], rest[1])
        elif what == "poison":
            self.poisons.add(rest[0])
        elif what == "remind":
            self.reminders.add(rest[0])
        elif what == "stop digest":
            self.bumps = max(self.bumps, rest[0])
        elif what == "status":
            self.statuses = {rest[0]}


def audit(picture: Picture, book: Book) -> None:
    """Raise AssertionError for the first promise the store breaks."""
    assert picture.integrity == [("ok",)]
    _journal(picture)
    _accounts(picture, book)
    _relays(picture, book)
    _digest(picture, book)
    _tallies(picture, book)
    _poisons(picture, book)
    _clock(picture, book)


def settled(picture: Picture) -> None:
    """Raise AssertionError if anything is still on its way."""
    assert picture.mail == []
    assert [name for _, _, name, _, _ in picture.timers] in ([], ["beat"])
    numbers = picture.log("Relay", "0", "seen")
    for relay in range(RELAYS):
        assert picture.log("Relay", str(relay), "seen") == numbers
    assert picture.log("Digest", "all", "noted") == numbers
    assert picture.log("Tally", "tens", "notes") == [n for n in numbers if n % 10 == 0]


def _journal(picture: Picture) -> None:
    """Check that the journal is a run of commits without a double, up to every agent's head."""
    versions: dict[tuple[str, str], int] = {}
    for sequence, kind, key, version in picture.rows(
        "SELECT journal.sequence, kind, key, journal.version FROM journal"
        " JOIN agents USING (agent) ORDER BY journal.sequence"
    ):
        before = versions.get((kind, key))
        assert before is None or version == before + 1, f"{kind}/{key}: {version} after {before}"
        versions[kind, key] = version
        assert sequence <= picture.heads[kind, key][2]
    for place, version in versions.items():
        assert picture.heads[place][1] == version
    (orphans,) = picture.rows(
        "SELECT count(*) FROM journal WHERE agent NOT IN (SELECT agent FROM agents)"
    )
    assert orphans == (0,)


def _accounts(picture: Picture, book: Book) -> None:
    """Check that each transfer is received once or on its way, and no money is made or lost."""
    sent: dict[str, tuple[str, str, int]] = {}
    received: list[tuple[str, str, str, int]] = []
    money = 0
    for key in picture.keys("Account"):
        outbox, inbox = (picture.log("Account", key, name) for name in ("outbox", "inbox"))
        came, went = (picture.value("Account", key, name) for name in ("came", "went"))
        balance = picture.value("Account", key, "balance", OPENING)
        assert balance == OPENING + came - went, f"{key}: half a turn"
        assert came == sum(amount for *_, amount in inbox), f"{key}: half a turn"
        assert went == sum(amount for *_, amount in outbox), f"{key}: half a turn"
        money += balance - OPENING
        for number, to, amount in outbox:
            assert number not in sent, f"transfer {number} was sent twice"
            sent[number] = (key, to, amount)
        received += [(number, sender, key, amount) for number, sender, amount in inbox]
    pending = [
        (number, sender, to, amount)
        for kind, to, method, args in picture.mail
        if kind == "Account" and method == "deposit"
        for number, sender, amount in [args]
    ]
    arrived = Counter(received + pending)
    assert set(arrived.values()) <= {1}, "a transfer was received twice"
    assert {(n, *rest) for n, rest in sent.items()} == set(arrived), "causes and effects differ"
    assert money + sum(amount for *_, amount in pending) == 0
    for number, transfer in book.transfers.items():
        assert sent.get(number) == transfer, f"acknowledged transfer {number} is not there"


def _relays(picture: Picture, book: Book) -> None:
    """Check that each relay saw 1 to n in order, and the rest of its sender's waits for it."""
    before = None
    for relay in range(RELAYS):
        key = str(relay)
        last = picture.value("Relay", key, "last")
        assert picture.log("Relay", key, "seen") == list(range(1, last + 1))
        waiting = [number for (number,) in picture.letters("Relay", key, "take")]
        if before is not None:
            assert waiting == list(range(last + 1, before + 1)), f"relay {key}"
        before = last
    assert picture.value("Relay", "0", "last") >= book.pushed
    if ("Relay", "1") in picture.heads:
        assert picture.heads["Relay", "1"][0] in book.statuses


def _digest(picture: Picture, book: Book) -> None:
    """Check that what is saved now and then is never half saved, and loses no message for good."""
    noted = picture.log("Digest", "all", "noted")
    bumps = picture.value("Digest", "all", "bumps")
    assert bumps == -picture.value("Digest", "all", "mirrored"), "half a turn"
    assert bumps >= book.bumps
    waiting = [number for (number,) in picture.letters("Digest", "all", "note")]
    last = picture.value("Relay", str(RELAYS - 1), "last")
    assert noted + waiting == list(range(1, last + 1))
    tens = picture.log("Tally", "tens", "notes")
    waiting = [number for (number,) in picture.letters("Tally", "tens", "add")]
    assert tens + waiting == [number for number in noted if number % 10 == 0]


def _tallies(picture: Picture, book: Book) -> None:
    """Check that four ways to keep a sum agree, and nothing heard of a tally is missing there."""
    for key in picture.keys("Tally"):
        notes = picture.log("Tally", key, "notes")
        plus, minus = (picture.value("Tally", key, name) for name in ("plus", "minus"))
        parts = picture.map("Tally", key, "parts")
        assert sum(notes) == plus == -minus == sum(parts.values()), f"{key}: half a turn"
        assert len(notes) >= book.tallied[key], f"{key}: an acknowledged number is not there"
    heard = picture.map("Witness", "w", "heard")
    for tally, count in heard.items():
        assert len(picture.log("Tally", tally, "notes")) >= count, "an effect without its cause"
    for tally, count in book.looked.items():
        assert heard[tally] >= count


def _poisons(picture: Picture, book: Book) -> None:
    """Check that what always fails is waiting or dead, once, and has changed and sent nothing."""
    waiting = [number for (number,) in picture.letters("Tally", "ill", "spoil")]
    dead = [args[0] for kind, key, name, args in picture.dead if (kind, key) == ("Tally", "ill")]
    found = Counter(waiting + dead)
    assert set(found.values()) <= {1}
    assert book.poisons <= set(found)
    assert len(picture.dead) == len(dead)
    assert picture.log("Tally", "ill", "notes") == []
    assert picture.log("Tally", "never", "notes") == []
    assert picture.letters("Tally", "never", "add") == []


def _clock(picture: Picture, book: Book) -> None:
    """Check that each reminder was given once or is to come, and no beat is lost or doubled."""
    asked = picture.log("Clock", "c", "asked")
    rung = picture.log("Clock", "c", "rung")
    timers = [row for row in picture.timers if row[:2] == ("Clock", "c")]
    waiting = [int(name.split()[1]) for *_, name, _, _ in timers if name != "beat"]
    assert Counter(asked) == Counter(rung) + Counter(waiting)
    assert set(Counter(asked).values()) <= {1}
    assert book.reminders <= set(asked)
    for due in [due for *_, name, due, _ in timers if name == "beat"]:
        phase = due - picture.value("Clock", "c", "beats") * BEAT
        book.phase = phase if book.phase is None else book.phase
        assert abs(phase - book.phase) < BEAT / 2, "a beat is lost or doubled"
