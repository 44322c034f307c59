"""The owner's end of the socket: one thread listens, one for each connection answers."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..persistence.errors import PerdureError, told
from .operator import Operator
from .place import address, socket_of
from .protocol import (
    LONGEST_LINE,
    VERSION,
    Answer,
    StatusWish,
    Wish,
    line,
    peer,
    read_request,
    read_wish,
)

logger = logging.getLogger("perdure.service")

MOST_CONNECTIONS: Final = 16
"""Who comes beside them is told to come later, as is who comes while no thread can be started."""
READ_SECONDS: Final = 10.0
"""What a whole request may take to arrive, and an answer to be taken."""
LEAST_EVERY: Final = 0.1
_BACKLOG: Final = 128
_NO_ROOM: Final = (
    f"the process that has the store open answers {MOST_CONNECTIONS} tools at a time, and fewer"
    " where it cannot start a thread: nothing was done; try again"
)


class Service:
    """Listen beside a store for as long as its system is open.

    Only processes of the same user are answered. What a client sends can do no more than be
    refused: lines are bounded in length and time, connections in number.
    """

    def __init__(self, store: Path, operator: Operator, look: Callable[[], object]) -> None:
        """Answer for ``store`` with ``operator``; ``look`` returns the system's statistics."""
        self._path = socket_of(store)
        self._operator = operator
        self._look = look
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None

    def start(self) -> None:
        """Begin to listen; where that cannot be, the system works without, and the log says so."""
        try:
            self._bind()
        except OSError as error:
            logger.warning(
                "%s: no socket for `perdure` to operate it by: %s", self._path, error.strerror
            )
            return
        threading.Thread(target=self._accept, name="perdure-service", daemon=True).start()

    def _bind(self) -> None:
        # The lease is ours, so whoever has left a socket here is gone. Nothing else is removed.
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise FileExistsError(17, "there is another file of that name")
            self._path.unlink()
        # Kept at once: whoever is interrupted from here on closes it by close().
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(listener.fileno(), 0o600)  # before it has a name: nobody else ever may
            with address(self._path) as where:
                listener.bind(where)
            listener.listen(_BACKLOG)
            self._identity = _identity(self._path)
        except BaseException:
            self._listener = None
            listener.close()
            raise

    def close(self) -> None:
        """Stop listening, end the connections; idempotent. Another owner's socket is left alone."""
        self._closing.set()
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the one who waits in accept()
        listener.close()
        with contextlib.suppress(OSError):
            if _identity(self._path) == self._identity:
                self._path.unlink()
        with self._lock:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + 1.0
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def disown(self) -> None:
        """Drop a fork's copy of the listening socket: nobody accepts there."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None and not self._closing.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                if self._closing.is_set():
                    return
                self._closing.wait(0.1)  # out of descriptors
                continue
            self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="perdure-operator", daemon=True
        )
        with self._lock:
            room = len(self._threads) < MOST_CONNECTIONS and not self._closing.is_set()
            if room:
                try:
                    thread.start()  # in the lock: who closes joins what it finds
                except RuntimeError:  # the process may have no more of them now
                    room = False
                else:
                    self._connections.add(connection)
                    self._threads.add(thread)
        if not room:
            _turn_away(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(READ_SECONDS)
            _, user = peer(connection)
            if user == os.geteuid():
                for answer in self._answers(connection):
                    connection.sendall(line(answer))
        except OSError as error:
            logger.debug("a client of the socket is gone: %s", error)
        except Exception:
            logger.exception("answering on the socket failed")
        finally:
            with self._lock:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())
            connection.close()

    def _answers(self, connection: socket.socket) -> Iterator[Answer]:
        try:
            wish = _read(connection)
            if wish is None:
                return
            if isinstance(wish, StatusWish):
                yield from self._watch(wish)
                return
            for done in self._operator.do(wish):
                yield Answer(done, more=True)
        except (PerdureError, TimeoutError, ValueError) as error:
            yield Answer(error=type(error).__name__, told=str(error) or type(error).__name__)
        except OSError:
            raise
        except Exception as error:
            logger.exception("a wish on the socket failed")
            yield Answer(error="Exception", told=told(error))
        else:
            yield Answer()

    def _watch(self, wish: StatusWish) -> Iterator[Answer]:
        while True:
            yield Answer({"pid": os.getpid(), **msgspec.to_builtins(self._look(), enc_hook=str)},
                         more=wish.every is not None)  # fmt: skip
            if wish.every is None or self._closing.wait(max(LEAST_EVERY, wish.every)):
                return


def _turn_away(connection: socket.socket) -> None:
    """Tell a client to come later, without waiting for it."""
    with connection, contextlib.suppress(OSError):
        connection.settimeout(0.0)
        connection.sendall(line(Answer(error="StoreUnavailable", told=_NO_ROOM)))


def _read(connection: socket.socket) -> Wish | None:
    """Read one request; None if the client goes away. ValueError for what is none."""
    until, text = time.monotonic() + READ_SECONDS, b""
    while not text.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole request came within {READ_SECONDS:g} seconds")
        connection.settimeout(left)
        part = connection.recv(65536)
        if not part:
            return None
        text += part
        if len(text) > LONGEST_LINE:
            raise ValueError(f"a request takes {LONGEST_LINE:,} bytes at most")
    connection.settimeout(READ_SECONDS)
    asked = read_request(text)
    if asked.version != VERSION:
        raise ValueError(
            f"this owner speaks version {VERSION} and not {asked.version}; use the `perdure` of the"
            " release that runs the agents"
        )
    wish: Wish = read_wish(asked.wish)
    return wish


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino
