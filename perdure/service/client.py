"""The tool's end of the socket: finds the owner of a store, and asks it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from ..persistence import errors
from ..persistence.errors import PerdureError, StoreUnavailable
from ..persistence.store.lease import is_stopped
from .place import address, socket_of
from .protocol import Wish, line, peer, read_answer, request

CONNECT_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at who has not answered yet."""
_WAIT: Final = 0.05

T = TypeVar("T")
R = TypeVar("R")


class OwnerConnection:
    """A connection to the process that has a store open; good for one wish."""

    def __init__(self, connection: socket.socket, store: Path) -> None:
        """Ask over ``connection``."""
        self._connection = connection
        self._store = store
        self.pid, _ = peer(connection)

    def ask(self, wish: Wish) -> Iterator[Any]:
        """Ask for something; gives each thing that was done, and raises what the owner raised.

        StoreUnavailable where the owner has ended, or is stopped.
        """
        with self._connection:
            with contextlib.suppress(ConnectionError):  # it is gone: what it has said is read
                self._send(line(request(wish)))
            for text in self._lines():
                answer = read_answer(text)
                if answer.error:
                    raise _error(answer.error, answer.told)
                if answer.result is not None:
                    yield answer.result
                if not answer.more:
                    return
        message = (
            f"process {self.pid}, which had {self._store} open, ended before it answered; look at"
            " what was done, and ask again"
        )
        raise StoreUnavailable(message, location=str(self._store))

    def _send(self, text: bytes) -> None:
        while text:
            text = text[self._patiently(self._connection.send, text) :]

    def _lines(self) -> Iterator[bytes]:
        """Iterate over whole lines, until the owner is gone."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            while part := self._patiently(self._connection.recv, 65536):
                *lines, rest = (rest + part).split(b"\n")
                yield from lines

    def _patiently(self, step: Callable[[T], R], what: T) -> R:
        """Take a step for which the owner must run, however long that takes it."""
        self._connection.settimeout(LOOK_SECONDS)
        while True:
            try:
                return step(what)
            except TimeoutError:
                if is_stopped(self.pid):
                    message = (
                        f"process {self.pid}, which has {self._store} open, is stopped; let it go"
                        f" on (kill -CONT {self.pid}), which may do what was asked, or end it, and"
                        " ask again"
                    )
                    raise StoreUnavailable(message, location=str(self._store)) from None

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def find_owner(store: Path) -> OwnerConnection | None:
    """Return a connection to who has a store open and listens; None if nobody does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.ExitStack() as undo:
        undo.callback(connection.close)
        connection.settimeout(CONNECT_SECONDS)
        try:
            with address(socket_of(store)) as where:
                _connect(connection, where, store)
            _, user = peer(connection)
        except StoreUnavailable:
            raise
        except PermissionError:
            message = (
                f"{store} is operated by another user, or lies where you may not look; ask as the"
                " user that runs its agents"
            )
            raise StoreUnavailable(message) from None
        except OSError:
            return None  # none, or that of a process that was killed
        if user != os.geteuid():
            message = f"{store} is open by user {user}; ask as the user that runs its agents"
            raise StoreUnavailable(message)
        undo.pop_all()
    return OwnerConnection(connection, store)


def _connect(connection: socket.socket, where: str, store: Path) -> None:
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection.connect(where)
        except BlockingIOError:  # more wait there than may
            if time.monotonic() > until:
                message = f"the owner of {store} is asked by too many at once; try again"
                raise StoreUnavailable(message) from None
            time.sleep(_WAIT)
        else:
            return


def _error(name: str, told: str) -> Exception:
    known = getattr(errors, name, None)
    if isinstance(known, type) and issubclass(known, PerdureError):
        with contextlib.suppress(TypeError):
            return known(told)
    return PerdureError(told)
