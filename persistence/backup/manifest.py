"""The manifest: what a backup says about itself, in the plain, at its end."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..errors import BackupDamaged
from .packing import COMPRESSION

FORMAT: Final = 1
"""Version of the format of backups."""
NAME: Final = re.compile(r"\d{8}T\d{9}Z-\d{12,}-[0-9a-f]{8}")
"""What a backup is called: when it was made, the last commit in it, and a random end."""


class StoredPart(msgspec.Struct, frozen=True):
    """One part of a backup, as it is stored."""

    stored: int
    """Its bytes in the file."""
    size: int
    """Its bytes when it is unpacked."""
    digest: str
    """Of the stored bytes."""


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is in a backup."""

    format: int
    name: str
    parent: str
    """The backup that it builds on; empty for a full one."""
    parent_digest: str
    """The digest of the parent's manifest."""
    made: float
    """Seconds since the epoch."""
    release: str
    """The release of perdure that made it."""
    store: str
    """The name of the store's file."""
    store_format: int
    first: int
    """The oldest commit in the journal."""
    last: int
    """The newest commit: the backup is the store as it was behind that."""
    last_time: float
    """When that was made."""
    page_size: int
    pages: int
    """Pages the store had."""
    changed: int
    """Pages that are in this backup."""
    root: str
    """The digest of the digests of all pages of the store."""
    compression: str
    """Empty where the parts are as they were."""
    encryption: str
    """Empty where it is not encrypted."""
    key: str
    """The id of the key."""
    salt: str
    parts: tuple[StoredPart, ...]
    """The pages; the last one says which these are."""
    note: str = ""
    erasures: int = 0
    """How many erasures the list beside the backups had."""
    erased: str = ""
    """The digest of these; empty where there were none."""
    follows: str | None = None
    """The newest backup whose commits the store still had, where that was not the one before: it
    had gone back since. Empty if it was none."""

    @property
    def full(self) -> bool:
        """Whether it builds on no other."""
        return not self.parent

    @property
    def size(self) -> int:
        """The bytes of the store as it was."""
        return self.page_size * self.pages


def write(manifest: Manifest) -> bytes:
    """Return a manifest as it is stored."""
    return msgspec.json.encode(manifest)


def read(name: str, data: bytes) -> Manifest:
    """Return a stored manifest whose digest is right; BackupDamaged if it is none of this release.

    It is not trusted: whoever can write the file can make one.
    """
    try:
        form = msgspec.json.decode(data, type=_Form).format
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupDamaged(name, f"its manifest makes no sense: {error}") from error
    if form != FORMAT:
        problem = f"it has format {form}, this release reads {FORMAT}; upgrade perdure"
        raise BackupDamaged(name, problem)
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupDamaged(name, f"its manifest makes no sense: {error}") from error
    if found.name != name:
        raise BackupDamaged(name, f"it was made under the name {found.name!r:.80}; rename it back")
    _refuse_nonsense(found)
    return found


class _Form(msgspec.Struct):
    format: int


def _refuse_nonsense(found: Manifest) -> None:
    sizes = {1 << power for power in range(9, 17)}
    sane = (
        found.page_size in sizes
        and 0 <= found.changed <= found.pages < 2**32
        and found.parts
        and min(min(part.stored, part.size) for part in found.parts) >= 0
        and (not found.full or found.changed == found.pages)
        and found.compression in {"", COMPRESSION}
    )
    if not sane:
        raise BackupDamaged(found.name, "its manifest makes no sense")
