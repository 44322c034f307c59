"""Backups of stores, and what is brought back from them: ``Backups``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import time as now
from typing import Any

from .actors.agent.agent import Agent
from .actors.agent.blueprint import Catalogue
from .actors.system.forks import move
from .actors.system.options import Limits
from .hooks.history.segments import cut
from .persistence.backup.bringing import BroughtBack, Then, into_new, into_place
from .persistence.backup.create import Making, create
from .persistence.backup.destination import Destination
from .persistence.backup.folder import Backup, check_importance
from .persistence.backup.levels import DEFAULT_LEVEL
from .persistence.backup.moments import RecoveryPoint
from .persistence.backup.part import Bringing, Move
from .persistence.backup.places import folder_of
from .persistence.backup.progress import Progress, silent
from .persistence.backup.recovery import Recovered, Recovering, recover, restore
from .persistence.backup.replace import in_place
from .persistence.backup.retention import BackupRetention, BackupVerdict, prune
from .persistence.backup.rewrite import RewrittenBackup, rewrite
from .persistence.backup.selection import Selection
from .persistence.backup.verify import Rehearse, Verified, verify
from .persistence.errors import ConfigurationError
from .persistence.names.keys import check_name
from .persistence.names.scope import Scope
from .persistence.secrets.keys import KeyProvider, Keys
from .persistence.secrets.vault import Vault
from .persistence.sqlite.reader import SqliteReader
from .persistence.store.store import StoreReader
from .rehearsal.rehearsal import rehearse
from .system_backups import with_a_file
from .url import open_reader, path_of


class Backups:
    """The backups in one folder: made, listed, verified, brought back.

    Each is one file, which is there as a whole or not at all and never changes. They may be made
    and read while another process has the store open, by any that may read it.
    """

    def __init__(
        self, folder: str | Path | Destination, *, keys: KeyProvider | None = None
    ) -> None:
        """Use a folder, which is made with the first backup, ``s3://BUCKET/PREFIX``, or a place.

        With ``keys`` backups are encrypted with the current one, and read with the one that each
        was made with.
        """
        self._folder = folder_of(folder)
        self._keys = keys

    def create(
        self,
        store: str | Path | StoreReader,
        *,
        incremental: bool = False,
        note: str = "",
        importance: int = 0,
        level: int = DEFAULT_LEVEL,
        tell: Progress = silent,
    ) -> Backup:
        """Make a backup of a store as it is now; its owner goes on writing, and waits for nothing.

        With ``incremental`` it has the pages that have changed since the newest backup in the
        folder, whatever was changed or deleted in them, and needs that one to be brought back.
        ``importance`` is what ``rate`` says. ``level`` is how hard it is compressed: 0 not at all,
        1 the fastest way, up to 19. ``tell`` is called with what is done, and how many bytes of how
        many.

        Raises:
            BackupFailed: a file cannot be written, or another process makes one there just now.
            BackupDamaged: the one it would build on is not as it was written: make a full one.
            KeyMissing: there is no key to encrypt it with, or to read the one it builds on.
            StoreUnavailable, NotAStore: the store cannot be read.
        """
        check_importance(importance)
        making = Making(self._keys, incremental, note, tell, level=level)
        if isinstance(store, StoreReader):
            made = create(with_a_file(store), self._folder, making)
        else:
            with closing(open_reader(store)) as reader:
                made = create(with_a_file(reader), self._folder, making)
        if importance:
            self._folder.rate(made.name, importance)
        return self._folder.described(self._folder.file(made.name))

    def list(self) -> list[Backup]:
        """Return the backups, the oldest first; what is seen to be wrong with one stands there."""
        return self._folder.list()

    def get(self, name: str | None = None) -> Backup:
        """Return a backup, or the newest; UnknownBackup, or BackupDamaged if it is not readable."""
        return self._folder.described(self._folder.file(name or self._folder.newest()))

    def verify(
        self, name: str | None = None, *, drill: Sequence[type[Agent[Any]]] | None = None,
        secrets: Keys | None = None, tell: Progress = silent,
    ) -> Verified:  # fmt: skip
        """Try a backup, or the newest, as bringing it back would; BackupDamaged says what is wrong.

        All of it and of those it builds on is read: decrypted, unpacked, every page compared with
        its digest, and SQLite looks through the file that comes of it. With ``drill``,
        the agent classes of a program, every row of that is examined as well, and every agent,
        message and timer is tried under these classes, migrated where they say so; BackupFailed
        says what fails. ``secrets`` are the keys of the program, where classes need them.
        """
        chain = self._folder.chain(name or self._folder.newest())
        with self._folder.in_use():
            tried = None if drill is None else _drill(drill, secrets, tell)
            return verify(chain, keys=self._keys, drill=tried, tell=tell)

    def restore(
        self, target: str | Path, name: str | None = None, *, tell: Progress = silent
    ) -> Recovered:
        """Bring a backup, or the newest, back into a new file; all of it or nothing.

        Agents that were erased since are erased again, and named.

        Raises:
            ConfigurationError: there is a file of that name: nothing is overwritten.
            BackupDamaged: it is not as it was written.
            BackupFailed: the file cannot be written.
            KeyMissing: there is no key to decrypt it.
        """
        with self._folder.in_use():
            work = Recovering(_erase, cut, self._keys, tell=tell)
            return restore(self._folder, name or self._folder.newest(), path_of(target), work)

    def recover(
        self,
        target: str | Path,
        *,
        sequence: int | None = None,
        time: float | None = None,
        store: str | Path | None = None,
        tell: Progress = silent,
    ) -> Recovered:
        """Bring a store back as it was behind a commit, or at a time; all of it or nothing.

        It begins with the backup before, and makes the commits again that a later copy's journal
        has: the next backup's, or that of ``store``, which may be damaged, old or in use. Agents,
        shared state, rights, sessions and artifacts are exact. Mail, timers and what hooks did are
        exact where the moment is that of a backup; between two, what came and went is named.
        Of a store that went back it is the history that it has now, if that reaches the moment.

        Raises:
            ConfigurationError: neither a commit nor a time is given, or the target exists.
            BackupFailed: no backup, or no journal, reaches the moment.
            BackupDamaged, KeyMissing: as in ``restore``.
        """
        point = RecoveryPoint(sequence, time)
        with self._working(store, tell) as work:
            return recover(self._folder, point, path_of(target), work)

    def go_back(
        self,
        store: str | Path,
        *,
        sequence: int | None = None,
        time: float | None = None,
        tell: Progress = silent,
    ) -> Recovered:
        """Have a store go back, in its own place, to what it was behind a commit or at a time.

        It is backed up first, and that backup is pinned, so the way forward is open. A process
        that is killed on the way leaves the store as it was, or as it was then.

        Raises:
            StoreOwned: a process has it open.
            ConfigurationError, BackupFailed, BackupDamaged, KeyMissing: as in ``recover``; then the
                store is as it was.
        """
        path = _there(store)
        making = Making(self._keys, note="before it went back in its place", tell=tell)
        with in_place(path, self._folder, making) as fresh:
            return self.recover(fresh, sequence=sequence, time=time, store=path, tell=tell)

    def bring_back(
        self,
        store: str | Path,
        *,
        agents: Sequence[tuple[str, str]] = (),
        kinds: Sequence[str] = (),
        scopes: Sequence[Scope] = (),
        sequence: int | None = None,
        time: float | None = None,
        name: str | None = None,
        mail: bool = False,
        tell: Progress = silent,
    ) -> BroughtBack:
        """Bring some agents, all of a kind or some scopes back in a store's own place.

        They are as they were at the moment (a commit, a time, or that of a backup); nothing else in
        the store changes. An agent has its state, its status, its timers and the keys of its own
        scope of then, and its versions go on: what it was before is still among them. Agents of the
        kinds, and keys of the scopes, that came later are deleted, those that were deleted return.
        With ``mail`` messages that waited then and were handled since are handled again; without,
        they are counted. The store is backed up first, and that backup is pinned; the rest is one
        transaction.

        Raises:
            StoreOwned: a process has it open.
            ConfigurationError: there was no such agent or kind, or nothing is asked for.
            BackupFailed, BackupDamaged, KeyMissing: as in ``recover``; the store is as it was.
        """
        part = Selection(tuple(agents), tuple(kinds), tuple(scopes))
        return self._in_place(store, part, (name, sequence, time), tell=tell, mail=mail)

    def fork(
        self,
        store: str | Path,
        agent: tuple[str, str],
        key: str,
        *,
        sequence: int | None = None,
        time: float | None = None,
        name: str | None = None,
        keys: Keys | None = None,
        tell: Progress = silent,
    ) -> BroughtBack:
        """Have a new agent of a store begin with what another was at a moment; that one stays.

        As ``system.fork``, and reaches as far back as the backups. ``keys`` are those of the store:
        secrets in the state are sealed for the new agent.

        Raises:
            AgentExists: there is an agent under ``key``.
            StoreOwned, ConfigurationError, BackupFailed, BackupDamaged: as in ``bring_back``.
            KeyMissing: a secret in the state cannot be sealed for the new agent, or as in
                ``restore``.
        """
        check_name("key", key)
        sealer = Vault(keys).sealer
        rename = (key, lambda copy: move(copy, sealer, agent, (agent[0], key)))
        part = Selection((agent,))
        return self._in_place(store, part, (name, sequence, time), tell=tell, rename=rename)

    def take_out(
        self,
        target: str | Path,
        *,
        agents: Sequence[tuple[str, str]] = (),
        kinds: Sequence[str] = (),
        scopes: Sequence[Scope] = (),
        sequence: int | None = None,
        time: float | None = None,
        name: str | None = None,
        store: str | Path | None = None,
        tell: Progress = silent,
    ) -> BroughtBack:
        """Write a new store that has only some agents, kinds or scopes, as they were at a moment.

        An agent has its mail and its timers; what else there was, rights and history among it,
        stays behind. ``store`` is as in ``recover``; the exceptions are, too.
        """
        part = Selection(tuple(agents), tuple(kinds), tuple(scopes))
        with self._working(store, tell) as work:
            how = Bringing(now(), "taken out of a backup", mail=True, tell=tell)
            return into_new(path_of(target), self._then(name, sequence, time), part, how, work)

    def _in_place(
        self, store: str | Path, part: Selection,
        moment: tuple[str | None, int | None, float | None],
        *, tell: Progress, mail: bool = False, rename: tuple[str, Move] | None = None,
    ) -> BroughtBack:  # fmt: skip
        path, then = _there(store), self._then(*moment)
        why = "before a part of it was brought back"
        making = Making(self._keys, incremental=True, note=why, tell=tell)
        how = Bringing(now(), f"as at {then}", mail, rename, tell)
        with self._working(path, tell) as work:
            return into_place(path, then, part, how, (work, making))

    def _then(self, name: str | None, sequence: int | None, time: float | None) -> Then:
        if sum(each is not None for each in (name, sequence, time)) != 1:
            message = (
                "a moment is a backup, a commit or a time: give one of name=, sequence=, time="
            )
            raise ConfigurationError(message)
        if name is not None:
            return Then(self._folder, name)
        return Then(self._folder, point=RecoveryPoint(sequence, time))

    @contextlib.contextmanager
    def _working(self, store: str | Path | None, tell: Progress) -> Iterator[Recovering]:
        """Give what a recovery works with; nobody removes a backup during the block."""
        with contextlib.ExitStack() as open_files:
            reader = None
            if store is not None:
                reader = with_a_file(open_files.enter_context(closing(open_reader(store))))
            open_files.enter_context(self._folder.in_use())
            yield Recovering(_erase, cut, self._keys, reader, tell)

    def rewrite(self, *, tell: Progress = silent) -> Sequence[RewrittenBackup]:
        """Write the backups anew that have agents which were erased since; return which.

        Each becomes a full one under another name, without those agents, and so do those that
        build on it; its pin and its note stay. The old one goes when the new one was read back.

        Raises:
            BackupFailed: one is made, verified or brought back just now; or cannot be written.
            BackupDamaged, KeyMissing: as in ``restore``; nothing was removed.
        """
        return rewrite(self._folder, Making(self._keys, tell=tell))

    def prune(self, rules: BackupRetention, *, dry_run: bool = False) -> Sequence[BackupVerdict]:
        """Remove the backups that nothing keeps; return what becomes of each, and why.

        With ``dry_run`` nothing is removed. BackupFailed if one is made, verified or brought back
        just now.
        """
        return prune(self._folder, rules, now(), dry_run=dry_run)

    def pin(self, name: str, why: str = "pinned") -> None:
        """Have no ``prune`` remove a backup; ConfigurationError for no reason at all."""
        if not why:
            message = "a pin says why a backup is kept: give a reason, or take it away by unpin()"
            raise ConfigurationError(message)
        self._folder.pin(name, why)

    def unpin(self, name: str) -> None:
        """Let ``prune`` remove a backup again."""
        self._folder.pin(name, "")

    def rate(self, name: str, importance: int) -> None:
        """Say how important a backup is, from 0, as all are, to 9.

        Where a limit of size takes some, the least important go first;
        ``BackupRetention(importance=5)`` keeps those of at least 5.
        """
        self._folder.rate(name, importance)


def _there(store: str | Path) -> Path:
    """Return the path of a store; to open it for writing would make one where there is none."""
    path = path_of(store)
    open_reader(path).close()
    return path


def _drill(agents: Sequence[type[Agent[Any]]], secrets: Keys | None, tell: Progress) -> Rehearse:
    """Return what tries everything stored under some classes."""
    largest = Limits().largest_value
    catalogue = Catalogue(agents, largest=largest, vault=Vault(secrets))

    def told(done: int, total: int, kind: str) -> None:
        tell(f"rehearsing {kind}", done, total)

    def tried(reader: SqliteReader) -> tuple[int, list[str]]:
        found = rehearse(reader, catalogue, largest=largest, migrate=True, tell=told)
        return len(found.tried), [each.told for each in found.problems]

    return tried


def _erase(path: Path, names: Sequence[tuple[str, str]]) -> None:
    """Erase agents in a store that nobody has open; none of them runs."""
    from .system import AgentSystem  # noqa: PLC0415 - only where an agent was erased

    with AgentSystem.open(path, agents=[], service=False) as system:
        for kind, key in names:
            system.delete(kind, key, erase=True)
