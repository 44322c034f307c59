"""Bring a part of a store back, in its place or into a new file; all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BackupDamaged
from ..sqlite.reader import SqliteReader
from ..sqlite.store import SqliteStore
from ..store.lease import Owner
from .create import Making, create
from .folder import Folder
from .manifest import Manifest
from .moments import RecoveryPoint
from .part import Bringing, PartCounts, bring_back
from .recovery import Recovered, Recovering, recovered, restored
from .restore import drafted, on_draft, publish, refuse_taken, refuse_unsound
from .scratch import scratch_room
from .selection import Selection


@dataclass(frozen=True, slots=True)
class BroughtBack:
    """What became of a part of a store that was brought back."""

    moment: Recovered
    """The moment, and what is not known of it."""
    counts: PartCounts
    safety: str = ""
    """The pinned backup of the store as it was before; empty for a new one."""


@dataclass(frozen=True, slots=True)
class Then:
    """A moment of a store: that of a backup, or one between two."""

    folder: Folder
    name: str = ""
    """A backup; or else there is a point."""
    point: RecoveryPoint | None = None

    def __str__(self) -> str:
        return str(self.point or f"the backup {self.name}")


def into_place(
    store: Path, then: Then, part: Selection, how: Bringing, means: tuple[Recovering, Making]
) -> BroughtBack:
    """Bring a part of a store back in its own place, which nobody may have open.

    The store is backed up first, and that backup is pinned. Then it is one transaction: a process
    that is killed leaves the store as it was, or as it shall be.
    """
    work, making = means
    with closing(SqliteStore(store)) as target:
        counters = target.acquire(Owner.this_process())
        with _as_it_was(then, store.parent, work) as (moment, reader):
            part.refuse_unknown(reader, str(then))
            safety = _safety(target, then.folder, making)
            then.folder.pin(safety.name, f"{store.name} before a part of it was brought back")
            counts = bring_back(target, counters, reader, part, how)
    return BroughtBack(moment, counts, safety.name)


def _safety(store: SqliteStore, folder: Folder, making: Making) -> Manifest:
    try:
        return create(store, folder, making)
    except BackupDamaged:  # the one it would build on
        return create(store, folder, replace(making, incremental=False))


def into_new(
    target: Path, then: Then, part: Selection, how: Bringing, work: Recovering
) -> BroughtBack:
    """Write a new store that has nothing but a part of another as it was then."""
    refuse_taken(target)
    with _as_it_was(then, target.parent, work) as (moment, reader), drafted(target) as draft:
        part.refuse_unknown(reader, str(then))
        with on_draft(draft), closing(SqliteStore(draft)) as store:
            counters = store.acquire(Owner.this_process())
            counts = bring_back(store, counters, reader, part, how)
        refuse_unsound(draft, moment.backup)
        publish(draft, target)
    return BroughtBack(moment, counts)


@contextmanager
def _as_it_was(
    then: Then, beside: Path, work: Recovering
) -> Iterator[tuple[Recovered, SqliteReader]]:
    """Give a store as it was, in a scratch file that is gone after the block."""
    with scratch_room(beside) as room:
        path = room / "then.db"
        # What is taken from it is checked row by row: the whole is not checked a second time.
        if then.point is None:
            moment = restored(then.folder, then.folder.chain(then.name), path, work)
        else:
            moment = recovered(then.folder, then.point, path, work)
        with closing(SqliteReader(path)) as reader:
            yield moment, reader
