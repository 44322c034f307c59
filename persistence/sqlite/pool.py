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
from .formats import is_earlier
from .place import StoreFile

_LARGEST: Final = 2**63 - 1


class ReadConnection(sqlite3.Connection):
    """A connection that only reads."""

    earlier = False
    """Whether it shows a file of an earlier format as one of today."""

    def shows(self) -> bool:
        """Tell whether it shows the file as it is; so it does until ``leave``.

        One of an earlier format may be brought to today's at any time, by another process. So what
        is read is one state of the file, in which that has not happened.
        """
        if not self.earlier:
            return True
        self.execute("BEGIN")
        return is_earlier(self)

    def leave(self) -> None:
        """End what ``shows`` has begun."""
        with contextlib.suppress(sqlite3.Error):  # it is closed then
            self.rollback()


class ReaderPool:
    """Lend read-only connections; a thread that finds none free opens one."""

    def __init__(self, path: Path, *, as_current: bool) -> None:
        """Lend connections to the file at ``path``, which must be absolute and exist.

        With ``as_current`` they see a file of an earlier format as one of today.
        """
        self._path = path
        self._as_current = as_current
        self._free: list[ReadConnection] = []
        self._lock = threading.Lock()
        self._lent = 0
        self._closed = False
        self.place: StoreFile | None = None
        """What a new connection checks first; the place of the first one, if nobody says."""

    @contextlib.contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """Lend one connection for the length of the block."""
        connection, counted = None, False
        try:
            with self._lock:
                if self._free:
                    # Taken without a call, behind which an interrupt may strike.
                    connection = self._free[-1]
                    del self._free[-1]
                self._lent, counted = self._lent + 1, True
            while connection is None or not connection.shows():
                gone, connection = connection, None
                if gone is not None:
                    gone.close()
                connection = self._connect()
            yield connection
        finally:
            try:
                if connection is not None and connection.earlier:
                    connection.leave()
            finally:
                # One that an interrupt or a failing disk left in a transaction would go on to show
                # the store as it was then. No call before it is back: an interrupt would lose it.
                keep = connection is not None and not connection.in_transaction
                with self._lock:
                    self._lent -= counted
                    keep = keep and not self._closed
                    if keep and connection is not None:
                        self._free.append(connection)
                if not keep and connection is not None:
                    connection.close()

    def empty(self) -> bool:
        """Close every connection, so that the next ones are new; False if one is lent just now."""
        with self._lock:
            free, self._free = self._free, []
            lent = self._lent
        for connection in free:
            connection.close()
        return not lent

    def close(self) -> None:
        """Close the free connections now and the lent ones when they come back."""
        self._closed = True
        self.empty()

    def _connect(self) -> ReadConnection:
        if self.place is None:
            with contextlib.suppress(OSError):  # SQLite says it better
                self.place = StoreFile(self._path)
        else:
            self.place.check()
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=ro",
            uri=True, isolation_level=None, check_same_thread=False, factory=ReadConnection,
        )  # fmt: skip
        try:
            connection.earlier = schema.set_up_reader(connection, as_current=self._as_current)
        except BaseException:
            connection.close()
            raise
        return connection


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
