"""Copies of real stores to test with: of a file, also one in use, or out of a backup."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final

from ..backups import Backups
from ..persistence.errors import ConfigurationError
from ..url import open_reader

_BACKUP: Final = ".backup"


def copy_store(source: Path, target: Path) -> float:
    """Copy a store as it is at this moment; return the time of its newest commit.

    Out of a file, of a backup, or of the newest in a folder. Nothing is written there.
    """
    if source.is_dir():
        Backups(source).restore(target)
    elif source.suffix == _BACKUP:
        Backups(source.parent).restore(target, source.stem)
    elif source.is_file():
        _copy_pages(source, target)
    else:
        raise ConfigurationError(f"{source} is not there; give the file of a store, or a backup")
    with contextlib.closing(open_reader(target)) as reader:
        newest = reader.journal(limit=1, newest=True)
    return newest[0].time if newest else time.time()


def _copy_pages(source: Path, target: Path) -> None:
    with (
        contextlib.closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        ) as reader,
        contextlib.closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer)
