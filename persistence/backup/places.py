"""Where backups are kept, by how people name it: a path, or ``s3://BUCKET/PREFIX``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from .destination import Destination
from .directory import Directory
from .folder import Folder
from .s3 import S3Bucket

_S3: Final = "s3://"


def folder_of(place: str | Path | Destination) -> Folder:
    """Return the backups of a place; ConfigurationError for a name that is none."""
    if not isinstance(place, str | Path):
        return Folder(place)
    if not str(place).startswith(_S3):
        return Folder(Directory(Path(place)))
    bucket, _, prefix = str(place).removeprefix(_S3).partition("/")
    if not bucket:
        raise ConfigurationError(f"{place} names no bucket; write s3://BUCKET/PREFIX")
    return Folder(S3Bucket(bucket, prefix.rstrip("/")))
