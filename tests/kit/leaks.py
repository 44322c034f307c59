"""Finds what a test leaves behind: threads, pykka actors, SQLite connections."""

import contextlib
import sqlite3
import sys
import threading
import time
import traceback

import pykka

JOIN_DEADLINE = 5.0
"""Seconds that all threads of a test together get to end."""

_opened: list[sqlite3.Connection] | None = None


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    # Sees every connection, whichever library opens it. A hook can't be removed: hence the switch.
    if event == "sqlite3.connect/handle" and _opened is not None:
        connection = arguments[0]
        assert isinstance(connection, sqlite3.Connection)
        _opened.append(connection)


sys.addaudithook(_audit)


class Watch:
    """Remembers what there is now, to tell later what is new and still alive."""

    def __init__(self) -> None:
        global _opened  # noqa: PLW0603 -- the audit hook is global, so is what it fills
        self._threads = set(threading.enumerate())
        self._actors = set(pykka.ActorRegistry.get_all())
        # Held strongly: a connection closed by the garbage collector was not closed by anybody.
        self._connections: list[sqlite3.Connection] = []
        _opened = self._connections

    def leaks(self) -> list[str]:
        """Describe the leaks, one per item; threads get `JOIN_DEADLINE` to end."""
        global _opened  # noqa: PLW0603
        threads = self._live_threads()  # first: a thread that ends may close connections
        _opened = None
        actors = set(pykka.ActorRegistry.get_all()) - self._actors
        connections = [connection for connection in self._connections if _is_open(connection)]
        for connection in connections:
            _close(connection)
        return [
            *(f"thread {thread.name}\n{_stack(thread)}" for thread in threads),
            *(f"actor {actor}" for actor in actors),
            *(f"SQLite connection {connection}" for connection in connections),
        ]

    def _live_threads(self) -> list[threading.Thread]:
        deadline = time.monotonic() + JOIN_DEADLINE
        live = []
        for thread in set(threading.enumerate()) - self._threads:
            if isinstance(thread, threading._DummyThread):
                continue  # a foreign thread that passed through Python: it can't be joined
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                live.append(thread)
        return live


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        _ = connection.total_changes  # works from any thread, unlike a statement
    except sqlite3.ProgrammingError:
        return False
    return True


def _close(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.ProgrammingError):  # bound to another thread: reported anyway
        connection.close()


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else "  (just ended)"
