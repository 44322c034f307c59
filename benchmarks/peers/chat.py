"""The chat service on plain sqlite3, written the way a careful program without a framework is.

One connection in write-ahead mode with ``synchronous=FULL``, used on threads (``to_thread``) under
a lock; a lock for each user on the event loop, so that a conversation has one turn at a time; one
commit for each message.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from ..chat import answer, build, fact, load

TABLES = """
CREATE TABLE user (id TEXT PRIMARY KEY, turns INTEGER, words INTEGER);
CREATE TABLE line (user TEXT, place INTEGER, role TEXT, text TEXT, PRIMARY KEY (user, place))
WITHOUT ROWID;
CREATE TABLE fact (user TEXT, name TEXT, value TEXT, PRIMARY KEY (user, name)) WITHOUT ROWID;
"""
TURN = """
INSERT INTO user VALUES (?, 1, ?)
ON CONFLICT (id) DO UPDATE SET turns = turns + 1, words = words + excluded.words
RETURNING turns
"""


class PlainChat:
    """Keep conversations in tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use ``connection``, which may be used on any thread."""
        self._connection = connection
        self._one_at_a_time = threading.Lock()
        self._users: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def say(self, user: str, text: str) -> tuple[str, int]:
        """Answer, and store both lines in one transaction."""
        async with self._users[user]:
            reply = answer(text)
            return reply, await asyncio.to_thread(self._store, user, text, reply)

    async def last(self, user: str, count: int) -> list[tuple[str, str]]:
        """Read the last lines."""
        return await asyncio.to_thread(self._read, user, count)

    def _store(self, user: str, text: str, reply: str) -> int:
        with self._one_at_a_time:
            run = self._connection.execute
            run("BEGIN IMMEDIATE")
            try:
                query = "SELECT coalesce(max(place), -1) + 1 FROM line WHERE user = ?"
                place = run(query, (user,)).fetchone()[0]
                run("INSERT INTO line VALUES (?, ?, 'user', ?)", (user, place, text))
                run("INSERT INTO line VALUES (?, ?, 'assistant', ?)", (user, place + 1, reply))
                if (found := fact(text)) is not None:
                    run("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (user, *found))
                turn = int(run(TURN, (user, len(reply.split()))).fetchone()[0])
                run("COMMIT")
            except BaseException:
                run("ROLLBACK")
                raise
            return turn

    def _read(self, user: str, count: int) -> list[tuple[str, str]]:
        query = "SELECT role, text FROM line WHERE user = ? ORDER BY place DESC LIMIT ?"
        with self._one_at_a_time:
            return self._connection.execute(query, (user, count)).fetchall()[::-1]


def serve(folder: Path, *, callers: float, seconds: float) -> dict[str, float]:
    """Load the service."""
    path = folder / "plain.db"
    with closing(
        sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(TABLES)
        app = build(PlainChat(connection))
        return asyncio.run(load(app, callers=callers, seconds=seconds))
