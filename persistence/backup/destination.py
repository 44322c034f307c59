"""The port to places where backups are kept: a few named files, each whole or not there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


class BackupDraft(Protocol):
    """A file on its way: nobody finds it before it is published."""

    def write(self, data: bytes | bytearray) -> object:
        """Write on."""

    def publish(self) -> None:
        """Give it its name, durably, once all of it is there as it was written."""


@runtime_checkable
class Destination(Protocol):
    """A place for backups: a folder, a bucket. What cannot be done raises OSError.

    A file that has its name never changes, but for small ones that are put anew as a whole.
    """

    def there(self) -> bool:
        """Tell whether the place has been made."""
        ...

    def names(self) -> list[str]:
        """Return the names of the files that are whole, in any order."""
        ...

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it is not there."""
        ...

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return bytes of a file, fewer at its end."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write a small file, which is there as it was or as it shall be, also after power loss."""

    def draft(self, name: str) -> AbstractContextManager[BackupDraft]:
        """Begin a file, which is gone after the block unless it was published."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def locked(self) -> AbstractContextManager[None]:
        """Let nobody else make or remove files during the block; the place is made if needed.

        BlockingIOError if somebody does just now. What killed ones have left half written goes.
        """
        ...

    def in_use(self) -> AbstractContextManager[None]:
        """Let nobody remove files during the block, where this process may write there."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Let nobody read during the block: BlockingIOError if somebody does."""
        ...
