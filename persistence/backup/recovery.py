"""A store at any moment since the oldest backup: a backup, then the journal of a later copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BackupDamaged, BackupFailed
from ..records.erasures import Name
from ..secrets.keys import KeyProvider
from ..sqlite.formats import POSTED, format_of
from ..sqlite.reader import SqliteReader
from ..sqlite.store import SqliteStore
from .cut import reading
from .erased import ErasedNames, erased_of, names_in
from .folder import Backup, Folder
from .forward import roll
from .layout import BackupFile
from .manifest import Manifest
from .moments import RecoveryPoint, before, behind, history, last_commit
from .progress import Progress, silent
from .restore import (
    compose,
    disown,
    drafted,
    on_draft,
    publish,
    refuse_taken,
    refuse_unsound,
)
from .scratch import scratch_room
from .unjournaled import Cut, Reach, complete


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a store was brought back to."""

    backup: str
    """The backup that was begun with."""
    last: int
    """The commit behind which the store is."""
    time: float
    """When that was made."""
    journal: str = ""
    """The copy whose journal was gone on with; empty where the backup was of that very moment."""
    unknown: tuple[str, ...] = ()
    """What is not known of that moment, because it came and went between the two copies."""
    erased: tuple[str, ...] = ()
    """Agents that were erased since, and are erased again: ``KIND/KEY``."""


Erase = Callable[[Path, Sequence[Name]], None]


@dataclass(frozen=True, slots=True)
class Recovering:
    """What a recovery works with."""

    erase: Erase
    """Erases agents in a file, by kind and key."""
    cut: Cut
    """Cuts a block of what hooks did."""
    keys: KeyProvider | None = None
    store: SqliteReader | None = None
    """A store whose journal goes on where the backups end, if it can still be read."""
    tell: Progress = silent


def restore(folder: Folder, name: str, target: Path, work: Recovering) -> Recovered:
    """Write the store that a backup was made of to a new file; all of it or nothing.

    Every page is checked on its way, the whole by SQLite; only then the file gets its name. A
    process that is killed leaves no file of that name. What was erased since is erased again.

    Raises:
        ConfigurationError: there is something at ``target`` already, or no folder for it.
        BackupDamaged: the backup is not as it was written.
        BackupFailed: the file cannot be written.
        KeyMissing: there is no key to decrypt it.
    """
    chain = folder.chain(name)
    refuse_taken(target)
    with drafted(target) as draft:
        found = restored(folder, chain, draft, work)
        publish(draft, target)
    return found


def restored(
    folder: Folder, chain: Sequence[BackupFile], draft: Path, work: Recovering
) -> Recovered:
    """Write the store that a backup was made of to a file that nobody needs after a crash."""
    compose(chain, draft, keys=work.keys, tell=work.tell)
    disown(draft)
    name, manifest = chain[-1].name, chain[-1].manifest
    found = Recovered(name, manifest.last, manifest.last_time)
    return _erased_again(folder, draft, found, work)


def recover(folder: Folder, point: RecoveryPoint, target: Path, work: Recovering) -> Recovered:
    """Write a store as it was at a moment to a new file; all of it or nothing.

    Agents, what they share, rights, sessions and artifacts are as they were behind that commit;
    ``unknown`` names what of mail, timers and hooks is in no copy.

    Raises:
        ConfigurationError: there is something at ``target`` already.
        BackupFailed: no backup or no journal reaches the moment, or a file cannot be written.
        BackupDamaged: a backup is not as it was written.
        KeyMissing: there is no key to decrypt it.
    """
    refuse_taken(target)
    with drafted(target) as draft:
        found = recovered(folder, point, draft, work)
        if found.journal:
            refuse_unsound(draft, found.backup)  # it was before the commits were made again
        publish(draft, target)
    return found


def recovered(folder: Folder, point: RecoveryPoint, draft: Path, work: Recovering) -> Recovered:
    """Write a store as it was at a moment to a file that nobody needs after a crash."""
    backups = history(folder.list(), point, work.store)
    base = before(backups, point)
    compose(folder.chain(base.name), draft, keys=work.keys, tell=work.tell)
    disown(draft)
    later = None if point.sequence == base.last else behind(backups, point)
    with _later(folder, later, draft.parent, work) as journal:
        found = _go_on(draft, journal, point, base, work)
    return _erased_again(folder, draft, found, work)


def _erased_again(folder: Folder, draft: Path, found: Recovered, work: Recovering) -> Recovered:
    """Erase the agents in a draft that were erased behind its last commit."""
    listed = ErasedNames(folder.place)
    listed.refuse_lost(_newest(folder))
    wanted = set(listed.among(names_in(draft), found.last))
    if work.store is not None:
        wanted |= {*erased_of(work.store, names_in(draft), found.last)}
    if not wanted:
        return found
    names = sorted(wanted)
    with on_draft(draft):
        work.erase(draft, names)
    return replace(found, erased=tuple(f"{kind}/{key}" for kind, key in names))


def _newest(folder: Folder) -> Manifest:
    """Return what the newest backup says that can be read: a damaged one keeps nobody from others.

    The backup that is brought back was read.
    """
    for name in reversed(folder.names()):
        with suppress(BackupDamaged):
            return folder.file(name).manifest
    return folder.file(folder.newest()).manifest


def _go_on(
    draft: Path, journal: SqliteReader | None, point: RecoveryPoint, base: Backup,
    work: Recovering,
) -> Recovered:  # fmt: skip
    if journal is None:
        if point.sequence is not None and point.sequence > base.last:
            raise _too_late(base, point)
        return Recovered(base.name, base.last, base.last_time)
    last, moment = last_commit(journal, point, base)
    if last == base.last:
        return Recovered(base.name, base.last, base.last_time)
    with closing(reading(draft)) as connection:
        exact = format_of(connection) >= POSTED  # before the store is brought to today's
    reach = Reach(base.last, last, moment)
    with on_draft(draft):
        with closing(SqliteStore(draft)) as store:
            roll(store, journal, last, exact=exact, tell=work.tell)
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            unknown = complete(connection, journal, reach, exact=exact, cut=work.cut)
    return Recovered(base.name, last, moment, journal.location, tuple(unknown))


def _too_late(base: Backup, point: RecoveryPoint) -> BackupFailed:
    message = (
        f"{point} is behind the last backup, which ends with commit {base.last:,}; give the store,"
        " if its journal can still be read"
    )
    return BackupFailed(message)


@contextmanager
def _later(
    folder: Folder, backup: Backup | None, scratch: Path, work: Recovering
) -> Iterator[SqliteReader | None]:
    """Give a copy with a journal that goes on behind the moment: the store, or a later backup."""
    if backup is None:
        yield work.store
        return
    with scratch_room(scratch) as room:
        path = room / f"{backup.name}.db"
        compose(folder.chain(backup.name), path, keys=work.keys, tell=work.tell)
        with closing(SqliteReader(path)) as reader:
            yield reader
