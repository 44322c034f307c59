"""Which backup has what a salvage has lost, and how it is brought back."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Final

from ..backup.cut import reading
from ..backup.folder import Folder
from ..backup.restore import compose
from ..backup.scratch import scratch_room
from ..errors import BackupError, SecretError
from ..secrets.keys import KeyProvider
from .losses import RESTORED, Loss, Salvaged

_MOST: Final = 3
"""Backups that are looked through, the newest first."""
_BY_NAME: Final = "SELECT 1 FROM {0} WHERE kind = ? AND key = ?"
_SCOPE: Final = "rtrim(kind || ':' || id || CASE part WHEN '' THEN '' ELSE ':' || part END, ':')"
_AGENTS: Final = frozenset(
    ("agent", "field", "log item", "map entry", "map entries", "turns", "history")
)
_TABLES: Final = {"mail": "mailbox", "timer": "timers", "dead letter": "dead_letters"}


def looked_up(
    found: Salvaged, folder: Folder, keys: KeyProvider | None, told: Callable[[str], object]
) -> Salvaged:
    """Return the report with the backups that have what is lost, and the commands for that.

    ``keys`` are those of encrypted ones. One that cannot be read is ``told``, and passed over, as
    are all where their folder cannot be: the new store is there by now, and its report counts.
    """
    if found.whole:
        return found
    losses, advice = list(found.losses), list[str]()
    try:
        backups = [each for each in folder.list() if not each.problem]
    except BackupError as error:
        told(f"the backups cannot be looked at: {error}")
        return found
    for backup in backups[: -_MOST - 1 : -1]:
        if all(loss.backup or loss.outcome == RESTORED for loss in losses):
            break
        try:
            losses = _in_backup(folder, backup.name, keys, losses)
        except (BackupError, SecretError, sqlite3.Error) as error:
            told(f"{backup.name} cannot be looked through: {error}")
            continue
        if any(loss.backup == backup.name for loss in losses):
            where, target = quote(str(folder.place)), quote(f"{backup.name}.db")
            advice.append(f"perdure backup restore {where} {backup.name} --to {target}")
    if backups and found.journal:
        where, store = quote(str(folder.place)), quote(found.target)
        advice.append(
            f"perdure backup restore {where} --at {found.journal} --store {store} --to as-it-was.db"
        )
    if backups and found.missing and backups[-1].last > found.last:
        where, seen = quote(str(folder.place)), backups[-1].last
        advice.append(f"perdure backup restore {where} --at {seen} --to with-its-end.db")
    return replace(found, losses=tuple(losses), advice=tuple(advice))


def _in_backup(
    folder: Folder, name: str, keys: KeyProvider | None, losses: Sequence[Loss]
) -> list[Loss]:
    with scratch_room(Path(tempfile.gettempdir())) as room:
        path = room / "store.db"
        compose(folder.chain(name), path, keys=keys)
        with closing(reading(path)) as connection:
            named = (_with_name(connection, loss) for loss in losses)
            return [
                replace(loss, backup=name)
                if loss.outcome != RESTORED and not loss.backup and _has(connection, loss)
                else loss
                for loss in named
            ]


def _with_name(connection: sqlite3.Connection, loss: Loss) -> Loss:
    """Return a loss with the name of its agent, where only its number was known."""
    word, _, number = loss.name.partition(" ")
    if loss.what != "agent" or loss.kind or word != "number":
        return loss
    query = "SELECT kind, key FROM agents WHERE agent = ?"
    found = connection.execute(query, (int(number),)).fetchone()
    return loss if found is None else replace(loss, kind=found[0], key=found[1])


def _has(connection: sqlite3.Connection, loss: Loss) -> bool:
    """Tell whether a backup has a thing, as far as its name says which that is."""
    if loss.what in _AGENTS and loss.kind:
        query, given = _BY_NAME.format("agents"), (loss.kind, loss.key)
    elif loss.what in _TABLES and loss.kind:
        query, given = _BY_NAME.format(_TABLES[loss.what]), (loss.kind, loss.key)
    elif loss.what == "scoped key":
        query = f"SELECT 1 FROM scoped WHERE key = ? AND {_SCOPE} = ?"  # noqa: S608 - our own names
        given = (loss.key, loss.name)
    elif loss.what == "artifact":
        query = f"SELECT 1 FROM artifacts WHERE name || ' v' || version = ? AND {_SCOPE} = ?"  # noqa: S608
        given = (loss.key, loss.name)
    elif loss.what == "session":
        query = "SELECT 1 FROM sessions WHERE id || '/' || parent = ?"
        return connection.execute(query, (loss.key,)).fetchone() is not None
    else:
        return False
    return connection.execute(query, given).fetchone() is not None
