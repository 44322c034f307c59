"""Finds what a test leaves behind besides threads and systems: pykka actors, connections."""

import contextlib
import sqlite3
import sys

import pykka

from perdure.testing import LeakWatch

_opened: list[sqlite3.Connection] | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    # Sees every connection, whichever library opens it. A hook can't be removed: hence the switch.
    if event == "sqlite3.connect/handle" and _opened is not None:
        connection = arguments[0]
        assert isinstance(connection, sqlite3.Connection)
        _opened.append(connection)


sys.addaudithook(_audit)


class Watch(LeakWatch):
    """Remembers what there is now, to tell later what is new and still alive."""

    def __init__(self) -> None:
        global _opened  # noqa: PLW0603 -- the audit hook is global, so is what it fills
        super().__init__()
        self._actors = set(pykka.ActorRegistry.get_all())
        # Held strongly: a connection closed by the garbage collector was not closed by anybody.
        self._connections: list[sqlite3.Connection] = []
        _opened = self._connections

    def leaks(self) -> list[str]:
        """Describe the leaks, one per item."""
        global _opened  # noqa: PLW0603
        found = super().leaks()  # first: a thread that ends may close connections
        _opened = None
        actors = set(pykka.ActorRegistry.get_all()) - self._actors
        connections = [connection for connection in self._connections if _is_open(connection)]
        for connection in connections:
            _close(connection)
        return [
            *found,
            *(f"actor {actor}" for actor in actors),
            *(f"SQLite connection {connection}" for connection in connections),
        ]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        _ = connection.total_changes  # works from any thread, unlike a statement
    except sqlite3.ProgrammingError:
        return False
    return True


def _close(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.ProgrammingError):  # bound to another thread: reported anyway
        connection.close()
