"""Which copies a moment is recovered from: the backup before it, and a later one with a journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..errors import BackupFailed, ConfigurationError, StoreError
from ..records.shared_tables import NUMBERED
from ..sqlite.reader import SqliteReader
from ..sqlite.tables import latest_in
from .folder import Backup


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A moment to go back to: a commit, or a time."""

    sequence: int | None = None
    """The state behind this commit."""
    time: float | None = None
    """The state behind the last commit up to this time: seconds since the epoch."""

    def __post_init__(self) -> None:
        """Refuse neither, and both."""
        if (self.sequence is None) is (self.time is None):
            message = "a moment is a commit or a time: give one of sequence= and time="
            raise ConfigurationError(message)

    def reached(self, backup: Backup) -> bool:
        """Tell whether a backup is of this moment or of one before it."""
        if self.sequence is not None:
            return backup.last <= self.sequence
        return backup.last_time <= (self.time or 0.0)

    def __str__(self) -> str:
        return f"commit {self.sequence:,}" if self.sequence is not None else f"time {self.time}"


def history(
    backups: Sequence[Backup], point: RecoveryPoint, store: SqliteReader | None
) -> list[Backup]:
    """Return the good backups of the history in which a moment is looked for, the oldest first.

    That is the history of the newest copy that reaches the moment. A store that went back has
    commits of the same numbers as those that it has left, and backups of these may be newer.
    """
    good = [each for each in backups if not each.problem]
    reaching = [each for each in good if point.sequence is None or each.last >= point.sequence]
    begin = _begin(store, point, good) if store is not None else None
    limit = begin if begin is not None else (reaching or good)[-1].name if good else ""
    found: list[Backup] = []
    for each in reversed(good):
        if _when(each.name) > _when(limit) or (found and each.last > found[-1].last):
            continue
        found.append(each)
        limit = each.name if each.follows is None else each.follows
    return found[::-1]


def _when(name: str) -> str:
    """Return what a backup's name says of the order of making: one written anew has another end."""
    return name.rpartition("-")[0]


def _begin(store: SqliteReader, point: RecoveryPoint, good: Sequence[Backup]) -> str | None:
    """Return the backup that a store goes on from, empty if none; None if others say more.

    It does not reach the moment then, is an older copy, or so damaged that it does not say.
    """
    with suppress(StoreError), store.reading("looking for a moment") as connection:
        last = newest_in(connection)
        query = "SELECT time FROM journal ORDER BY sequence DESC LIMIT 1"
        row = connection.execute(query).fetchone()
        if row is None or last < (point.sequence or 0) or (good and row[0] < good[-1].last_time):
            return None
        on = (e.name for e in reversed(good) if goes_on(connection, last, (e.last, e.last_time)))
        found = next(on, "")
        if not found and good and good[0].last <= last:
            told = f"{store.location} has another commit {good[0].last:,} than the oldest backup"
            raise BackupFailed(f"{told}: it is no continuation of any")
        return found
    return None


def goes_on(connection: sqlite3.Connection, newest: int, end: tuple[int, float]) -> bool:
    """Tell whether a store of that newest commit has the last one of a backup, by its time.

    Also where its journal does not reach back to that.
    """
    last, moment = end
    query = "SELECT time FROM journal WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
    row = connection.execute(query, (last,)).fetchone()
    return last <= newest and (row is None or row[0] == moment)


def before(backups: Sequence[Backup], point: RecoveryPoint) -> Backup:
    """Return the newest good backup of the moment or before it; BackupFailed if there is none."""
    found = [each for each in backups if not each.problem and point.reached(each)]
    if not found:
        message = f"no good backup reaches back to {point}; the oldest is the earliest moment"
        raise BackupFailed(message)
    return max(found, key=lambda each: (each.last, each.name))


def behind(backups: Sequence[Backup], point: RecoveryPoint) -> Backup | None:
    """Return the first good backup that was made after the moment; None if there is none."""
    found = [each for each in backups if not each.problem and not point.reached(each)]
    return min(found, key=lambda each: (each.last, each.name), default=None)


def last_commit(journal: SqliteReader, point: RecoveryPoint, base: Backup) -> tuple[int, float]:
    """Return the last commit up to the moment that a later copy has, and the time of that.

    BackupFailed if the copy ends before the moment, or its journal begins behind it.
    """
    with journal.reading("looking for a moment") as connection:
        newest = newest_in(connection)
        if point.sequence is not None:
            last = point.sequence
            if last > max(newest, base.last):
                message = (
                    f"commit {last:,} is in no copy: {journal.location} ends with commit {newest:,}"
                )
                raise BackupFailed(message)
        else:
            query = "SELECT sequence FROM journal WHERE time > ? ORDER BY sequence LIMIT 1"
            row = connection.execute(query, (point.time,)).fetchone()
            last = newest if row is None else int(row[0]) - 1
        query = "SELECT time FROM journal WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
        row = connection.execute(query, (last,)).fetchone()
    if last <= base.last:
        return base.last, base.last_time
    if row is None:  # it would be the moment of the backup, and nobody would be told
        raise trimmed(journal.location, base.last)
    return last, float(row[0])


def trimmed(location: str, last: int) -> BackupFailed:
    """Return the error of a journal that does not reach back to the last commit of a backup."""
    message = (
        f"the journal of {location} does not reach back to commit {last:,}: it was trimmed, so what"
        " was done behind that backup is not known; take a later backup, or keep more with"
        " Retention(commits=...)"
    )
    return BackupFailed(message)


def newest_in(connection: sqlite3.Connection) -> int:
    """Return the newest commit that anything in a store knows of; some stand in no journal."""
    there = {row[0] for row in connection.execute("SELECT name FROM main.sqlite_schema")}
    last = [latest_in(connection, table) for table in NUMBERED if table.name in there]
    newest = connection.execute("SELECT max(sequence) FROM journal").fetchone()[0]
    return max([int(newest or 0), *last])
