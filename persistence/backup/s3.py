"""Backups in a bucket of S3, or of a server that speaks as it does.

There is no renaming there, and none is needed: an object is there with the last byte of its upload
or not at all. It is written to a scratch file first, uploaded with a digest that the server checks,
and its size and its end are read back; what is not as it was written is removed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from ..errors import ConfigurationError
from .destination import BackupDraft

_LOCK: Final = "lock"
_READER: Final = "reader-"
LEASE: Final = 120.0
"""Seconds for which a lock stands without its owner's word."""
_TAIL: Final = 1 << 16
"""Bytes that are read back of what was uploaded."""


class _Held(msgspec.Struct):
    """Who has a lock, and until when."""

    owner: str
    until: float


def _fresh(owner: str) -> bytes:
    return msgspec.json.encode(_Held(owner, time.time() + LEASE))


class S3Bucket:
    """A bucket, or a part of one: ``Backups(S3Bucket("backups", prefix="desk"))``.

    Credentials, region and endpoint are taken from the environment (``AWS_ACCESS_KEY_ID``, ...)
    where they are not given. ``pip install 'perdure[s3]'``.
    """

    def __init__(self, bucket: str, prefix: str = "", **options: Any) -> None:  # noqa: ANN401
        """Use a bucket that is there. ``options`` are those of ``obstore.store.S3Store``.

        ConfigurationError if obstore is not installed or takes no such options.
        """
        try:
            self._work = importlib.import_module("obstore")
            store = importlib.import_module("obstore.store")
        except ImportError as error:
            message = "backups in S3 need obstore: pip install 'perdure[s3]'"
            raise ConfigurationError(message) from error
        self._name = f"s3://{bucket}/{prefix}".rstrip("/")
        options.setdefault("checksum_algorithm", "SHA256")
        try:
            self._store = store.S3Store(bucket, prefix=prefix or None, **options)
        except Exception as error:
            raise ConfigurationError(f"{self._name}: {error}") from error

    def __str__(self) -> str:
        return self._name

    def there(self) -> bool:
        """Return True: a bucket is not made by us."""
        return True

    def names(self) -> list[str]:
        """Return the names of the objects."""
        return [name for name in self._all() if name != _LOCK and not name.startswith(_READER)]

    def _all(self) -> list[str]:
        with self._asking():
            return [str(each["path"]) for page in self._work.list(self._store) for each in page]

    def size(self, name: str) -> int | None:
        """Return the bytes of an object; None if it is not there."""
        try:
            with self._asking():
                return int(self._work.head(self._store, name)["size"])
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return bytes of an object."""
        if not length:
            return b""
        with self._asking():
            return bytes(self._work.get_range(self._store, name, start=start, length=length))

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, as a whole."""
        with self._asking():
            self._work.put(self._store, name, data)

    def draft(self, name: str) -> contextlib.AbstractContextManager[BackupDraft]:
        """Begin an object."""
        return _Upload(self, name)

    def upload(self, name: str, file: Any) -> None:  # noqa: ANN401 - a binary file
        """Upload a file, and read back what shows that all of it is there."""
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL)
        file.seek(start)
        end = file.read()
        file.seek(0)
        with self._asking():
            self._work.put(self._store, name, file)
        if self.size(name) != size or self.read(name, start, size - start) != end:
            self.remove(name)
            raise OSError(f"{self}/{name} is not there as it was uploaded")

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._asking(), contextlib.suppress(FileNotFoundError):
            self._work.delete(self._store, name)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of who makes and removes; it is free a time after its owner was killed."""
        owner = os.urandom(16).hex()
        self._take(owner)
        try:
            with self._renewed(functools.partial(self._hold, owner)):
                yield
        finally:
            self._hold(owner)
            self.remove(_LOCK)

    def _take(self, owner: str) -> None:
        with self._asking():
            try:
                self._work.put(self._store, _LOCK, _fresh(owner), mode="create")
            except self._work.exceptions.AlreadyExistsError as error:
                there = self._work.get(self._store, _LOCK)
                if self._stands(bytes(there.bytes())):
                    raise BlockingIOError(f"{self} is locked") from error
                mode = {"e_tag": there.meta["e_tag"]}
                self._work.put(self._store, _LOCK, _fresh(owner), mode=mode)

    def _hold(self, owner: str) -> None:
        """Let a lock stand on; OSError if another has it, as this process has stood still."""
        with self._asking():
            with contextlib.suppress(FileNotFoundError, self._work.exceptions.PreconditionError):
                there = self._work.get(self._store, _LOCK)
                if self._held(bytes(there.bytes())).owner == owner:
                    mode = {"e_tag": there.meta["e_tag"]}
                    self._work.put(self._store, _LOCK, _fresh(owner), mode=mode)
                    return
            late = f"its lock was not renewed in {LEASE:g} seconds, and another has taken it"
            raise OSError(f"{late}; verify what was made meanwhile")

    def _stands(self, data: bytes) -> bool:
        return self._held(data).until > time.time()

    @staticmethod
    def _held(data: bytes) -> _Held:
        try:
            return msgspec.json.decode(data, type=_Held)
        except msgspec.MsgspecError:
            return _Held("", 0.0)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Leave a mark that somebody reads, where that may be written."""
        owner = os.urandom(16).hex()
        name = f"{_READER}{owner}"
        try:
            self.put(name, _fresh(owner))
        except OSError:
            yield  # it may only be read
            return
        try:
            with self._renewed(lambda: self.put(name, _fresh(owner))):
                yield
        finally:
            self.remove(name)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse while there is the mark of somebody who reads; one that was killed leaves it."""
        for name in self._all():
            if not name.startswith(_READER):
                continue
            size = self.size(name)
            if size and self._stands(self.read(name, 0, size)):
                raise BlockingIOError(f"somebody reads in {self}")
            self.remove(name)
        yield

    @contextlib.contextmanager
    def _renewed(self, hold: Callable[[], object]) -> Iterator[None]:
        """Let a lock stand during the block, however long that takes."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(LEASE / 4):
                with contextlib.suppress(OSError):
                    hold()

        thread = threading.Thread(target=renew, name="perdure-s3-lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Make OSError of what the server or the network refuses."""
        try:
            yield
        except OSError:
            raise
        except self._work.exceptions.PreconditionError as error:
            raise BlockingIOError(f"{self} is locked") from error
        except self._work.exceptions.BaseError as error:
            raise OSError(f"{self}: {str(error)[:300]}") from error


class _Upload:
    """Write to a scratch file, and upload that once it is whole."""

    def __init__(self, bucket: S3Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(prefix="perdure-upload-")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, data: bytes | bytearray) -> object:
        """Write on."""
        return self._file.write(data)

    def publish(self) -> None:
        """Upload it."""
        self._file.flush()
        self._bucket.upload(self._name, self._file)
