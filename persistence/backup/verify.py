"""Say that a backup is good only when all of it has been tried."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..errors import BackupDamaged, failing_at
from ..secrets.keys import KeyProvider
from ..sqlite.reader import SqliteReader
from ..upkeep.doctor import examine
from .layout import BackupFile
from .progress import Progress, silent
from .restore import compose


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
    """Every row's checksum was compared, and every agent loaded."""
    agents: int
    """Agents that were loaded."""


def verify(
    chain: Sequence[BackupFile],
    *,
    keys: KeyProvider | None = None,
    drill: bool = False,
    tell: Progress = silent,
) -> Verified:
    """Try a backup as a restore would use it; BackupDamaged says what is wrong and where.

    Decrypted, decompressed, every digest compared, the chain complete, and SQLite finds no fault
    with the file that comes of it. With ``drill`` every row is examined too, and every agent is
    loaded. It is done in a temporary folder, which takes as much room as the store.
    """
    newest = chain[-1]
    with tempfile.TemporaryDirectory(prefix="perdure-drill-") as folder:
        path = Path(folder) / "store.db"
        compose(chain, path, keys=keys, tell=tell)
        agents = _drill(path, newest.name, tell) if drill else 0
    manifest = newest.manifest
    names = tuple(file.name for file in chain)
    return Verified(newest.name, names, manifest.last, manifest.size, drill, agents)


def _drill(path: Path, name: str, tell: Progress) -> int:
    with closing(SqliteReader(path)) as reader, failing_at(str(path)):
        report = examine(reader, lambda table, done, total: tell(f"examining {table}", done, total))
        if not report.healthy:
            bad = [f"{row.table} {row.kind}/{row.key} {row.place}" for row in report.bad]
            faults = [*report.damage, *(what for _, what in report.audit), *bad]
            problem = f"the store was damaged when it was made: {'; '.join(faults[:3])}"
            raise BackupDamaged(name, problem)
        agents = 0
        for head in reader.agents():
            if reader.load(head.kind, head.key) is None:
                raise BackupDamaged(name, f"{head.kind}/{head.key} cannot be loaded")
            agents += 1
        tell("loading agents", agents, agents)
    return agents
