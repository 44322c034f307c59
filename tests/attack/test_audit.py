"""The audit after a kill can fail: it sees each thing that must never happen."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from perdure import AgentSystem
from tests.attack.agents import AGENTS, RELAYS, Account, Clock, Digest, Relay, Tally, Witness
from tests.attack.audit import Book, Picture, audit, opened

LETTER = "kind, key, name, body, cause, correlation, sent, crc"
DAMAGE = {
    "an acknowledged transfer is gone": (
        "DELETE FROM log_items WHERE field = 'outbox'",
        "UPDATE fields SET value = '0' WHERE field = 'went'",
    ),
    "money is made": ("UPDATE fields SET value = value + 1 WHERE field IN ('balance', 'came')",),
    "half a turn": ("UPDATE fields SET value = value + 1 WHERE field = 'balance'",),
    "a message is lost": ("DELETE FROM mailbox WHERE name = 'deposit'",),
    "a message is doubled": (
        f"INSERT INTO mailbox SELECT id + 9999, {LETTER} FROM mailbox",  # noqa: S608
    ),
    "an effect is there without its cause": (
        "DELETE FROM log_items WHERE field = 'notes' AND position = 1",
        "UPDATE fields SET value = value / 2 WHERE field IN ('plus', 'minus')",
        "UPDATE map_entries SET value = value / 2 WHERE field = 'parts'",
    ),
    "a relay missed a number": ("DELETE FROM log_items WHERE field = 'seen' AND position = 0",),
    "a relay's mail is lost": ("DELETE FROM mailbox WHERE name = 'take'",),
    "a reminder is lost": ("DELETE FROM timers WHERE name LIKE 'reminder%'",),
    "a beat is doubled": ("UPDATE timers SET due = due + 0.02 WHERE name = 'beat'",),
    "a version is doubled": ("UPDATE journal SET version = version + 1 WHERE version = 1",),
    "a journal entry is missing": ("DELETE FROM journal WHERE version = 2",),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Book]:
    """Return a store with a little of everything in it, some of it on its way."""
    path, book = tmp_path_factory.mktemp("audit") / "store.db", Book()
    with AgentSystem.open(path, agents=AGENTS) as system:
        system.agent(Account, "b").pause()
        system.agent(Relay, str(RELAYS - 1)).pause()
        for number in ("1", "2"):
            system.agent(Account, "a").call(Account.transfer, number, "b", 5).get()
            book.enter(["did", "transfer", number, "a", "b", 5, 1])
            book.enter(["did", "push", system.agent(Relay, "0").call(Relay.push).get()])
            system.agent(Witness, "w").call(Witness.look, "one", 3).get()
        system.agent(Clock, "c").call(Clock.remind, 7, 1000.0).get()
        book.enter(["did", "remind", 7])
        system.agent(Digest, "all").call(Digest.bump).get()
        system.agent(Tally, "one").stop()
        system.agent(Clock, "c").pause()
    with opened(path) as connection:
        audit(Picture(connection), book)
    return path, book


@pytest.mark.parametrize("what", DAMAGE)
def test_the_audit_sees_it(store: tuple[Path, Book], tmp_path: Path, what: str) -> None:
    """A store that is sound is accepted, and one in which this happened is refused."""
    path, book = store
    copy = tmp_path / "copy.db"
    shutil.copyfile(path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        changes = connection.total_changes
        for statement in DAMAGE[what]:
            connection.execute(statement)
        assert connection.total_changes > changes
        connection.commit()
    with opened(copy) as connection, pytest.raises(AssertionError):
        audit(Picture(connection), book)
