"""Say that a backup is good only when all of it has been tried."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from ..errors import BackupDamaged, BackupFailed, failing_at
from ..secrets.keys import KeyProvider
from ..sqlite.reader import SqliteReader
from ..upkeep.doctor import examine
from .layout import BackupFile
from .progress import Progress, silent
from .restore import compose
from .scratch import scratch_room

_TOLD: Final = 3
"""Faults that are named."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was tried, and found good."""

    name: str
    chain: tuple[str, ...]
    """The backups that it takes, the full one first; every byte of them was read."""
    last: int
    """The newest commit."""
    bytes: int
    """Of the store."""
    drilled: bool
    """Every row's checksum was compared, and everything stored was tried under the code given."""
    tried: int
    """Agents, messages and timers that the code can go on from: all that are in it."""


Rehearse: TypeAlias = Callable[[SqliteReader], tuple[int, list[str]]]
"""Tries everything stored under some code; gives how much that was, and what fails."""


def verify(
    chain: Sequence[BackupFile],
    *,
    keys: KeyProvider | None = None,
    drill: Rehearse | None = None,
    tell: Progress = silent,
) -> Verified:
    """Try a backup as a restore would use it; BackupDamaged says what is wrong and where.

    Decrypted, decompressed, every digest compared, the chain complete, and SQLite finds no fault
    with the file that comes of it. With ``drill`` every row is examined too, and everything is
    tried under some code: BackupFailed says what of it fails. It is done in a temporary
    folder, which takes as much room as the store.
    """
    newest = chain[-1]
    with scratch_room(Path(tempfile.gettempdir())) as room:
        path = room / "store.db"
        compose(chain, path, keys=keys, tell=tell)
        tried = 0 if drill is None else _drill(path, newest.name, drill, tell)
    manifest = newest.manifest
    names = tuple(file.name for file in chain)
    return Verified(newest.name, names, manifest.last, manifest.size, drill is not None, tried)


def _drill(path: Path, name: str, drill: Rehearse, tell: Progress) -> int:
    with closing(SqliteReader(path)) as reader, failing_at(str(path)):
        report = examine(reader, lambda table, done, total: tell(f"examining {table}", done, total))
        if not report.healthy:
            told = "; ".join(report.faults[:_TOLD])
            problem = f"the store was damaged when it was made: {told}"
            raise BackupDamaged(name, problem)
        tried, failed = drill(reader)
    if failed:
        more = f", and {len(failed) - _TOLD:,} more" if len(failed) > _TOLD else ""
        message = f"the backup {name} is whole, but the code given cannot go on from it"
        raise BackupFailed(f"{message}: {'; '.join(failed[:_TOLD])}{more}")
    return tried
