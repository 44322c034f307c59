"""Backups written anew without what was erased since they were made."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..names.scope import Scope
from ..records.erasures import Name
from ..records.records import AgentRow, Commit, Counters, Deletion
from ..records.shared_tables import SCOPED, TOMBSTONES
from ..records.tables import Change, Row
from ..sqlite.reader import SqliteReader
from ..sqlite.store import SqliteStore
from ..store.batch import Batch
from ..store.lease import Owner
from .create import Making, write
from .cut import looked_at
from .erased import ErasedNames, names_in
from .folder import Folder
from .layout import BackupFile
from .manifest import Manifest
from .pages import PageMap
from .part import keys_in
from .restore import compose, disown, on_draft, refuse_unsound
from .scratch import scratch_room


@dataclass(frozen=True, slots=True)
class RewrittenBackup:
    """A backup that was written anew."""

    before: str
    """The name of the one that is gone."""
    name: str
    erased: int
    """Agents that are not in it any more."""


def rewrite(folder: Folder, making: Making) -> list[RewrittenBackup]:
    """Write each backup anew, as a full one, that has an agent which was erased since.

    So are those that build on it. One takes the place of another only when it was read back; those
    that were built on go last. A process that is killed leaves both, or the new one; where one
    cannot be read, all stay as they were.
    """
    done: list[RewrittenBackup] = []
    temporary = Path(tempfile.gettempdir())
    with folder.locked(), folder.alone(), scratch_room(temporary) as room:
        anew: set[str] = set()
        try:
            for name in folder.names():
                chain = folder.chain(name)
                path = room / "store.db"
                compose(chain, path, keys=making.keys, tell=making.tell)
                last = chain[-1].manifest.last
                gone = ErasedNames(folder.place).among(names_in(path), last)
                if gone or any(each.name in anew for each in chain):
                    erase(path, gone)
                    refuse_unsound(path, name)
                    fresh = _write(folder, path, chain[-1], making)
                    anew.add(name)
                    done.append(RewrittenBackup(name, fresh.name, len(gone)))
        except BaseException:
            for each in done:  # the old ones are all there
                folder.remove(each.name)
            raise
        for each in reversed(done):
            folder.move_marks(each.before, each.name)
            folder.remove(each.before)
    return done


def _write(folder: Folder, path: Path, old: BackupFile, making: Making) -> Manifest:
    manifest = old.manifest
    # Beside the old one in the order of names, which is that of time.
    name = f"{old.name.rpartition('-')[0]}-{secrets.token_hex(4)}"
    file = os.open(path, os.O_RDONLY)
    try:
        pages = looked_at(file, path, manifest.store)
        pages = replace(pages, last=manifest.last, last_time=manifest.last_time)
        level = making.level if manifest.compression else 0
        how = replace(making, note=manifest.note, level=level)
        anew = None, PageMap()
        made = write(folder, pages, name, manifest.made, how, anew, follows=manifest.follows)
    finally:
        os.close(file)
    check = path.with_name("check.db")
    compose(folder.chain(name), check, keys=making.keys)
    check.unlink()
    return made


def erase(path: Path, names: Sequence[Name]) -> None:
    """Erase agents in a file without a commit: its journal goes on as that of the others does."""
    if not names:
        return
    disown(path)
    with on_draft(path), closing(SqliteStore(path)) as store:
        counters = store.acquire(Owner.this_process())
        with closing(SqliteReader(path)) as reader:
            batches = [
                batch for kind, key in names if (batch := _batch(reader, counters, kind, key))
            ]
        store.commit_together(batches)
        while store.remove_deleted():
            pass
        store.write_anew()


def _batch(reader: SqliteReader, counters: Counters, kind: str, key: str) -> Batch | None:
    head = reader.remains(kind, key) or AgentRow(0, kind, key, 0, 0, "active", "")
    commit = Commit(kind, key)
    commit.sequence = counters.sequence
    effects = commit.with_effects()
    effects.deleted = Deletion(head.agent, kind, key, erase=True)
    keys = keys_in(reader, Scope.agent(kind, key))
    effects.rows = [Change(SCOPED, place, None) for place in keys]
    if head.agent:
        tombstone: Row = (head.agent, kind, key, head.version, 0.0, 1, counters.sequence)
        effects.rows = [*effects.rows, Change(TOMBSTONES, tombstone[:1], tombstone)]
    batch = Batch([commit], counters.chain)
    batch.journal, batch.passing = [], False  # nothing is said of it: it is a commit of nobody
    return batch
