"""A folder of backups: which there are, which builds on which."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from ..errors import (
    BackupDamaged,
    BackupError,
    BackupFailed,
    ConfigurationError,
    UnknownBackup,
)
from .destination import Destination
from .layout import SUFFIX, BackupFile, failing, file_of
from .manifest import NAME

Find: TypeAlias = Callable[[str], BackupFile]
_PIN: Final = ".pinned"
_RATED: Final = ".importance"
MOST_IMPORTANT: Final = 9
_MOMENT: Final = "%Y%m%dT%H%M%S%f"
"""To the millisecond, without the last three digits."""


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
    pinned: str = ""
    """Why no retention removes it; empty where it may."""
    importance: int = 0
    """The higher, the longer retention keeps it: what ``rate`` has said."""
    follows: str | None = None
    """The newest backup whose commits the store still had, where that is not the one before this:
    it had gone back since. Empty if it was none."""


def check_importance(importance: object) -> None:
    """Raise ConfigurationError for what is no importance."""
    if type(importance) is not int or not 0 <= importance <= MOST_IMPORTANT:
        message = f"the importance of a backup is a number from 0 to 9, not {importance!r:.80}"
        raise ConfigurationError(message)


class Folder:
    """Find the backups of one place. Each is one file, which never changes once it has its name.

    Other files in it are nobody's business.
    """

    def __init__(self, place: Destination) -> None:
        """Look into a place."""
        self.place = place

    def names(self) -> list[str]:
        """Return the names of all backups, the oldest first."""
        with failing(f"the folder {self.place} cannot be read"):
            files = self.place.names()
        stems = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
        return sorted(filter(NAME.fullmatch, stems))

    def has(self, name: str) -> bool:
        """Tell whether there is a backup of that name."""
        with failing(f"the folder {self.place} cannot be read"):
            return bool(NAME.fullmatch(name)) and self.place.size(file_of(name)) is not None

    def remove(self, name: str) -> None:
        """Remove a backup."""
        with failing(f"the backup {name} cannot be removed"):
            self.place.remove(file_of(name))
            self.place.remove(f"{name}{_RATED}")

    def file(self, name: str) -> BackupFile:
        """Return a backup; UnknownBackup, or what its file raises."""
        if not self.has(name):
            raise UnknownBackup(f"there is no backup {name!r:.80} in {self.place}; list them first")
        return BackupFile(self.place, name)

    def newest(self) -> str:
        """Return the name of the newest backup; UnknownBackup if there is none."""
        names = self.names()
        if not names:
            raise UnknownBackup(f"there is no backup in {self.place}")
        return names[-1]

    def chain(self, name: str, find: Find | None = None) -> list[BackupFile]:
        """Return a backup with those that it builds on, the full one first.

        ``find`` gives them by name, if they were read before. BackupDamaged if one of them is gone,
        or is not the one that was built on.
        """
        find = find or self.file
        found = [find(name)]
        while not found[-1].manifest.full:
            child = found[-1].manifest
            if any(file.name == child.parent for file in found):
                raise BackupDamaged(name, f"{child.name} builds on itself")
            try:
                parent = find(child.parent)
            except UnknownBackup:
                problem = f"the backup {child.parent}, which {child.name} builds on, is gone"
                raise BackupDamaged(name, problem) from None
            if parent.digest != child.parent_digest:
                problem = f"{child.parent} is not the backup that {child.name} builds on"
                raise BackupDamaged(name, problem)
            found.append(parent)
        return found[::-1]

    def list(self) -> list[Backup]:
        """Return what can be said of each backup without its key, the oldest first."""
        find = functools.cache(self.file)  # each is read once, however many build on it
        found = (self._described(name, find) for name in self.names())
        return [backup for backup in found if backup is not None]

    def described(self, file: BackupFile, problem: str = "") -> Backup:
        """Return what is told of a backup."""
        m = file.manifest
        return Backup(
            m.name, file.bytes, problem, m.parent, m.made, m.store, m.first, m.last, m.last_time,
            m.size, m.changed, m.key, m.note, self._pinned(m.name), self._importance(m.name),
            m.follows,
        )  # fmt: skip

    def _described(self, name: str, find: Find) -> Backup | None:
        file, problem = None, ""
        try:
            file = find(name)
            self.chain(name, find)
        except UnknownBackup:
            return None  # removed meanwhile
        except BackupError as error:
            problem = error.problem if isinstance(error, BackupDamaged) else str(error)
        if file is not None:
            return self.described(file, problem)
        size = 0
        with contextlib.suppress(OSError):
            size = self.place.size(file_of(name)) or 0
        rated = self._importance(name)
        return Backup(name, size, problem, pinned=self._pinned(name), importance=rated)

    def pin(self, name: str, why: str) -> None:
        """Have no retention remove a backup, or with an empty ``why`` let it again."""
        self.file(name)
        with failing(f"the backup {name} cannot be pinned"):
            if why:
                self.place.put(f"{name}{_PIN}", why.encode())
            else:
                self.place.remove(f"{name}{_PIN}")

    def rate(self, name: str, importance: int) -> None:
        """Say how important a backup is to retention: from 0, as all are, to 9."""
        check_importance(importance)
        self.file(name)
        with failing(f"the backup {name} cannot be rated"):
            if importance:
                self.place.put(f"{name}{_RATED}", str(importance).encode())
            else:
                self.place.remove(f"{name}{_RATED}")

    def _importance(self, name: str) -> int:
        mark = f"{name}{_RATED}"
        try:
            size = self.place.size(mark)
            return 0 if size is None else int(self.place.read(mark, 0, size))
        except (OSError, ValueError):
            return MOST_IMPORTANT  # it cannot be read: so it may be anything

    def move_marks(self, name: str, to: str) -> None:
        """Let another backup be as important and pinned for the same reason, one not any longer."""
        if rated := self._importance(name):
            self.rate(to, rated)
        if why := self._pinned(name):
            self.pin(to, why)
            self.pin(name, "")

    def _pinned(self, name: str) -> str:
        mark = f"{name}{_PIN}"
        try:
            size = self.place.size(mark)
            if size is None:
                return ""
            return self.place.read(mark, 0, size).decode(errors="replace") or "pinned"
        except OSError as error:
            return f"its pin cannot be read: {error.strerror or error}"  # so it counts as pinned

    def new_name(self, made: float, last: int) -> str:
        """Return a name that no backup has; it comes behind all that are there.

        Also where the clock was set back meanwhile: what is newest, and may be built on, goes by
        the names.
        """
        moment = datetime.fromtimestamp(made, UTC).strftime(_MOMENT)[:-3]
        newest = max((name[: len(moment)] for name in self.names()), default="")
        if moment <= newest:
            later = datetime.strptime(newest + "000", _MOMENT).replace(tzinfo=UTC)
            later += timedelta(milliseconds=1)
            moment = later.strftime(_MOMENT)[:-3]
        return f"{moment}Z-{last:012d}-{secrets.token_hex(4)}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else make or remove backups here during the block; make the folder if needed.

        BackupFailed if somebody does just now. What killed ones have left half written is removed.
        """
        message = f"another process makes or removes backups in {self.place} just now"
        with self._held(self.place.locked(), f"{message}; wait for its end"):
            yield

    def in_use(self) -> AbstractContextManager[None]:
        """Let nobody remove backups here during the block.

        In a folder that this process may only read, nothing is done for it.
        """
        return self.place.in_use()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse to remove backups while one is verified or brought back: BackupFailed."""
        message = f"a backup in {self.place} is verified or brought back just now; wait"
        with self._held(self.place.alone(), message):
            yield

    @contextlib.contextmanager
    def _held(self, lock: AbstractContextManager[None], message: str) -> Iterator[None]:
        """Hold a lock during the block; BackupFailed with ``message`` if another has it."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock)
            except BlockingIOError as error:
                raise BackupFailed(message) from error
            except OSError as error:
                told = error.strerror or error
                raise BackupFailed(f"the folder {self.place} cannot be used: {told}") from error
            try:
                yield
            finally:
                with failing(f"{self.place} was not held to the end"):
                    held.close()
