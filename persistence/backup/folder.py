"""A folder of backups: which there are, which builds on which."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..errors import BackupDamaged, BackupError, BackupFailed, UnknownBackup
from .layout import BackupFile, failing
from .manifest import NAME

SUFFIX: Final = ".backup"
_LOCK: Final = ".lock"
_DRAFT: Final = ".draft"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup in a folder, as far as it can be told without its key."""

    name: str
    bytes: int
    """Of its file."""
    problem: str = ""
    """What is seen to be wrong with it, or with one it builds on; then the rest may be empty."""
    parent: str = ""
    """The backup that it builds on; empty for a full one."""
    made: float = 0.0
    """Seconds since the epoch."""
    store: str = ""
    """The name of the store's file."""
    first: int = 0
    """The oldest commit in its journal."""
    last: int = 0
    """The newest commit in it: it is the store as it was behind that."""
    last_time: float = 0.0
    """When that was made."""
    size: int = 0
    """Bytes of the store."""
    changed: int = 0
    """Pages of the store that are in it."""
    key: str = ""
    """The id of the key that it is encrypted with; empty where it is not."""
    note: str = ""


def described(file: BackupFile, problem: str = "") -> Backup:
    """Return what is told of a backup."""
    m = file.manifest
    return Backup(
        m.name, file.bytes, problem, m.parent, m.made, m.store, m.first, m.last, m.last_time,
        m.size, m.changed, m.key, m.note,
    )  # fmt: skip


class Folder:
    """Find the backups of one folder. Each is one file, which never changes once it has its name.

    Other files in it are nobody's business.
    """

    def __init__(self, path: Path) -> None:
        """Look into the folder at ``path``."""
        self.path = path

    def names(self) -> list[str]:
        """Return the names of all backups, the oldest first."""
        with failing(f"the folder {self.path} cannot be read"):
            files = [file.name for file in self.path.iterdir()]
        stems = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
        return sorted(filter(NAME.fullmatch, stems))

    def path_of(self, name: str) -> Path:
        """Return where a backup of that name is."""
        return self.path / f"{name}{SUFFIX}"

    def file(self, name: str) -> BackupFile:
        """Return a backup; UnknownBackup, or what its file raises."""
        if not NAME.fullmatch(name) or not self.path_of(name).is_file():
            raise UnknownBackup(f"there is no backup {name!r:.80} in {self.path}; list them first")
        return BackupFile(self.path_of(name), name)

    def newest(self) -> str:
        """Return the name of the newest backup; UnknownBackup if there is none."""
        names = self.names()
        if not names:
            raise UnknownBackup(f"there is no backup in {self.path}")
        return names[-1]

    def chain(self, name: str) -> list[BackupFile]:
        """Return a backup with those that it builds on, the full one first.

        BackupDamaged if one of them is gone, or is not the one that was built on.
        """
        found = [self.file(name)]
        while not found[-1].manifest.full:
            child = found[-1].manifest
            if not self.path_of(child.parent).is_file():
                problem = f"the backup {child.parent}, which {child.name} builds on, is gone"
                raise BackupDamaged(name, problem)
            if any(file.name == child.parent for file in found):
                raise BackupDamaged(name, f"{child.name} builds on itself")
            parent = self.file(child.parent)
            if parent.digest != child.parent_digest:
                problem = f"{child.parent} is not the backup that {child.name} builds on"
                raise BackupDamaged(name, problem)
            found.append(parent)
        return found[::-1]

    def list(self) -> list[Backup]:
        """Return what can be said of each backup without its key, the oldest first."""
        found = (self._described(name) for name in self.names())
        return [backup for backup in found if backup is not None]

    def _described(self, name: str) -> Backup | None:
        file, problem = None, ""
        try:
            file = self.file(name)
            self.chain(name)
        except UnknownBackup:
            return None  # removed meanwhile
        except BackupError as error:
            problem = error.problem if isinstance(error, BackupDamaged) else str(error)
        if file is not None:
            return described(file, problem)
        size = 0
        with contextlib.suppress(OSError):
            size = self.path_of(name).stat().st_size
        return Backup(name, size, problem)

    def new_name(self, made: float, last: int) -> str:
        """Return a name that no backup has; later ones come behind it."""
        moment = datetime.fromtimestamp(made, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{moment}-{last:012d}-{secrets.token_hex(4)}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else make or remove backups here during the block; make the folder if needed.

        BackupFailed if somebody does just now. What killed ones have left half written is removed.
        """
        with failing(f"the folder {self.path} cannot be used"):
            self.path.mkdir(mode=0o700, exist_ok=True)
            file = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                message = (
                    f"another process makes or removes backups in {self.path} just now;"
                    " wait for its end"
                )
                raise BackupFailed(message) from error
            for draft in self.path.glob(f".*{SUFFIX}{_DRAFT}"):
                draft.unlink(missing_ok=True)
            yield
        finally:
            os.close(file)
