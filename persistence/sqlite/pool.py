"""Read-only connections to a SQLite file, lent to whoever reads."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..codec.exact import SMALLEST_INT
from . import schema
from .place import Place

_LARGEST: Final = 2**63 - 1


class ReaderPool:
    """Lend read-only connections; a thread that finds none free opens one."""

    def __init__(self, path: Path) -> None:
        """Lend connections to the file at ``path``, which must exist."""
        self._path = path
        self._free: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._place: Place | None = None

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """Lend one connection for the length of the block."""
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._free.append(connection)
            if not keep:
                connection.close()

    def close(self) -> None:
        """Close the free connections now and the lent ones when they come back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._place is None:
            with contextlib.suppress(OSError):  # SQLite says it better
                self._place = Place(self._path)
        else:
            self._place.check()
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            schema.set_up_reader(connection)
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the block's reads see one state of the store."""
    try:
        # Inside: an interrupt may strike as soon as the call is made.
        connection.execute("BEGIN")
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def fetch(
    connection: sqlite3.Connection,
    query: str,
    parameters: Sequence[object] | Mapping[str, object] = (),
) -> list[Any]:
    """Return all rows; text that is no UTF-8 any more comes altered, so that its checksum fails.

    What is asked for may be anything: no row has what no store can hold.
    """
    try:
        return connection.execute(query, parameters).fetchall()
    except (OverflowError, UnicodeEncodeError):
        if isinstance(parameters, Mapping):
            raise
        return connection.execute(query, [_fitting(value) for value in parameters]).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        with tolerant(connection):
            return connection.execute(query, parameters).fetchall()


def _fitting(value: object) -> object:
    """Return what compares with stored values as ``value`` would, if SQLite could take it."""
    if isinstance(value, int):
        return min(max(value, SMALLEST_INT), _LARGEST)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode(errors="surrogatepass")  # a blob equals no text
    return value


@contextlib.contextmanager
def tolerant(connection: sqlite3.Connection) -> Iterator[None]:
    """Let the block read text that is no UTF-8 any more."""
    connection.text_factory = lambda data: data.decode(errors="replace")
    try:
        yield
    finally:
        connection.text_factory = str
