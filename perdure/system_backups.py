"""Backups of a running system's store: ``system.backup``."""

from __future__ import annotations

from pathlib import Path

from .persistence.backup.create import Making, create
from .persistence.backup.folder import Backup, Folder
from .persistence.backup.progress import Progress, silent
from .persistence.errors import ConfigurationError
from .persistence.secrets.keys import KeyProvider
from .persistence.sqlite.reader import SqliteReader
from .persistence.store.store import StoreReader


class SystemBackups:
    """Backups of a running system's store: ``system.backup``."""

    def __init__(self, store: StoreReader, keys: KeyProvider | None) -> None:
        """Back up ``store``, encrypted with ``Keys(backups=...)`` if the system has those."""
        self._store = store
        self._keys = keys

    def create(
        self, folder: str | Path, *, incremental: bool = False, note: str = "",
        tell: Progress = silent,
    ) -> Backup:  # fmt: skip
        """Make a backup in a folder, as ``Backups.create`` does, while agents go on.

        What is acknowledged before the call is in it.
        """
        where = Folder(Path(folder))
        making = Making(self._keys, incremental, note, tell)
        made = create(with_a_file(self._store), where, making)
        return where.described(where.file(made.name))


def with_a_file(store: StoreReader) -> SqliteReader:
    """Return a store that has a file; ConfigurationError for one in memory."""
    if not isinstance(store, SqliteReader):
        message = f"{store.location} has no file to back up; open the system on one"
        raise ConfigurationError(message)
    return store
