"""What the last owner knew to be durable, in a small file beside the store.

SQLite drops the rest of its log without a word at the first frame that is damaged, and with it
commits that were acknowledged; so does a disk that is set back. The store alone cannot tell. The
witness can: it is written now and then (not with each commit), so it names a commit that was
durable, if not the last one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ..errors import StoreWentBack

logger = logging.getLogger("perdure.persistence")

SUFFIX: Final = "-witness"
_LONGEST: Final = 1000


class Seen(NamedTuple):
    """A commit that was durable: what of its row in the journal never changes."""

    sequence: int
    agent: int
    version: int
    time: float


class Testimony(msgspec.Struct, frozen=True):
    """What stands in the file."""

    file: str
    """The file of the store: another one, as a restored copy, has nothing to do with it."""
    seen: Seen
    power: bool
    """It was durable also if the power fails."""

    def gone(self, connection: sqlite3.Connection) -> bool:
        """Tell whether a store has lost the commit; what is trimmed away is not lost."""
        row = connection.execute(
            "SELECT sequence, agent, version, time FROM journal WHERE sequence >= ?"
            " ORDER BY sequence LIMIT 1",
            (self.seen.sequence,),
        ).fetchone()
        return row != self.seen and (row is None or row[0] <= self.seen.sequence)


class Witness:
    """Write down what is durable, and compare a store with what was written down."""

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``."""
        self._path = path
        self.latest: Sequence[object] = ()
        """The row of the latest commit that is durable; set by whoever writes it."""
        self._written: Sequence[object] = ()

    def write(self, file: str, *, power: bool) -> None:
        """Write down the latest commit, unless that stands there; a failure is only logged."""
        row = self.latest
        if row is self._written:
            return
        seen = Seen(*msgspec.convert((row[0], row[1], row[2], row[4]), tuple[int, int, int, float]))
        text = msgspec.json.encode(Testimony(file, seen, power))
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                # In place: one that is torn is none, and the next one is soon there.
                data = b"%08x %b\n" % (zlib.crc32(text), text)
                os.pwrite(descriptor, data, 0)
                os.ftruncate(descriptor, len(data))
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._path, error)
            return
        self._written = row

    def compare(self, connection: sqlite3.Connection, file: str, location: str, last: int) -> None:
        """Raise StoreWentBack if the store has lost a commit that was seen to be durable.

        ``last`` is the latest commit that it has. Where only the end of the process was to be
        survived, power loss may take commits: then it is logged.
        """
        told = self.read(file)
        if told is None or not told.gone(connection):
            return
        seen = told.seen
        error = StoreWentBack(
            location, last=last, seen=seen.sequence, moment=seen.time, witness=str(self._path)
        )
        if told.power:
            raise error
        logger.error("%s; with sync='process' power loss may do that, so it goes on", error)

    def read(self, file: str) -> Testimony | None:
        """Return what was written down of a file; None if nothing whole was."""
        told = self._read()
        return told if told is not None and told.file == file else None

    def _read(self) -> Testimony | None:
        try:
            data = self._path.read_bytes()[:_LONGEST]
            crc, _, text = data.rstrip(b"\n").partition(b" ")
            if int(crc, 16) != zlib.crc32(text):
                return None
            return msgspec.json.decode(text, type=Testimony)
        except (OSError, ValueError, msgspec.MsgspecError):
            return None
