"""One transaction: begun, ended on every path, and never in the way of the error that ended it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator

logger = logging.getLogger("perdure.persistence")


class writing:  # noqa: N801 - reads as a function
    """Make the block one transaction: committed at its end, undone if anything is raised."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Write by ``connection``."""
        self._connection = connection

    def __enter__(self) -> None:
        """Begin it."""
        connection = self._connection
        try:
            # What an interrupt or a failed ROLLBACK has left open belongs to nobody any more: its
            # owner was told that it failed.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            _undo_after_an_error(connection)
            raise

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        connection = self._connection
        if kind is not None:
            _undo_after_an_error(connection)
            return
        try:
            connection.execute("COMMIT")
        except BaseException:
            _undo_after_an_error(connection)
            raise


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Make the block's reads see one state of the store; in a transaction they do already."""
    if connection.in_transaction:
        yield
        return
    try:
        connection.execute("BEGIN")
        yield
    finally:
        _undo_after_an_error(connection)


def _undo_after_an_error(connection: sqlite3.Connection) -> None:
    """Undo what is open; the error that brought us here says more than one raised now.

    Nothing may be: a failed COMMIT may have ended the transaction already.
    """
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        logger.warning("a transaction could not be undone, and will be before the next: %s", error)
