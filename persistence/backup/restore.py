"""Bring a backup back: into a new file, the whole of it or nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Final

from ..errors import BackupDamaged, BackupFailed, ConfigurationError, StoreUnavailable
from ..secrets.keys import KeyProvider
from ..sqlite.errors import translated
from ..sqlite.place import BESIDE, beside
from ..sqlite.search import SUFFIX as SEARCH
from ..sqlite.witness import SUFFIX as WITNESS
from .content import lists_of, page_map, pages_in
from .cut import reading
from .layout import BackupFile, failing, give_name, sync
from .manifest import Manifest
from .pages import PART_BYTES, PageMap, PageReader, digests_of, per_part
from .progress import Progress, silent
from .scratch import scratch_room

_COMPLAINTS: Final = 3
"""Faults that are named."""
_VECTORS: Final = os.sysconf("SC_IOV_MAX")
"""Pages that one call writes."""


def refuse_taken(target: Path) -> None:
    """Raise ConfigurationError if a store cannot be restored to a path."""
    if not target.parent.is_dir():
        message = f"{target.parent} is not a directory; create it before restoring {target.name}"
        raise ConfigurationError(message)
    for path in (target, *(target.with_name(target.name + suffix) for suffix in BESIDE)):
        if os.path.lexists(path):
            # A log that is left of another file would be played into this one.
            message = f"{path} exists, and nothing is overwritten; restore to another path"
            raise ConfigurationError(message)


@contextlib.contextmanager
def drafted(target: Path) -> Iterator[Path]:
    """Give the path of a draft, which is gone after the block unless it got its name."""
    with scratch_room(target.parent) as room:
        yield room / target.name


@contextlib.contextmanager
def on_draft(draft: Path) -> Iterator[None]:
    """Make BackupFailed of what keeps a draft from being written: it is nobody's store yet.

    Behind the block all of it is in the file: who reads that next reads no log beside it.
    """
    try:
        with translated(str(draft), "writing it"):
            yield
        _refuse_unfinished(draft)
    except StoreUnavailable as error:
        # Only what is written can find the disk full, whichever file was read meanwhile.
        if not error.full and error.location != str(draft):
            raise
        told = str(error).removeprefix(f"{error.location}: ")
        message = f"a store cannot be brought back in {draft.parent.parent}: {told}"
        raise BackupFailed(message) from error


def _refuse_unfinished(draft: Path) -> None:
    """Raise BackupFailed if what was saved last is in the log of a draft alone: it had no room."""
    log = beside(draft, BESIDE[0])
    if log.exists() and log.stat().st_size:
        message = (
            f"a store cannot be brought back in {draft.parent.parent}: what was saved last does not"
            " fit into its file; free some disk space"
        )
        raise BackupFailed(message)


def publish(draft: Path, target: Path) -> None:
    """Give a whole draft its name, durably."""
    _refuse_unfinished(draft)
    with failing(f"{target} cannot be written"):
        sync(draft)  # first: it may take long, and the name be taken meanwhile
        refuse_taken(target)
        # Those of a file that is gone: this one may have its number, and other commits of theirs.
        for suffix in (WITNESS, SEARCH):
            target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
        give_name(draft, target)


def disown(draft: Path) -> None:
    """Have the lease in a file that is brought back name no file.

    It is another one than its holder has. But numbers of files that are gone are given anew: it may
    have the very number, and who held it may be alive.
    """
    with (
        failing(f"{draft} cannot be written"),
        on_draft(draft),
        closing(sqlite3.connect(draft, isolation_level=None)) as connection,
    ):
        columns = {row[1] for row in connection.execute("PRAGMA table_info(lease)")}
        if "file" in columns:  # which the oldest formats have not
            connection.execute("UPDATE lease SET file = ''")


def compose(
    chain: Sequence[BackupFile],
    path: Path,
    *,
    keys: KeyProvider | None,
    tell: Progress = silent,
) -> None:
    """Write the pages of a backup to a new file, and check all of it; replaces a file there."""
    name, manifest = chain[-1].name, chain[-1].manifest
    lists = lists_of(chain, keys)
    wanted = page_map(lists)
    total = sum(file.manifest.changed * file.manifest.page_size for file in chain)
    done, step = 0, per_part(manifest.page_size)
    with failing(f"{path} cannot be written"):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for each in lists:
            pages = pages_in(each, wanted, keys)
            while some := sorted(itertools.islice(pages, step), key=itemgetter(0)):
                with failing(f"{path} cannot be written"):
                    for place, run in _runs(some, manifest.page_size):
                        done += _write(file, run, place)
                tell("unpacking", done, total)
        with failing(f"{path} cannot be written"):
            os.ftruncate(file, manifest.size)
        with ThreadPoolExecutor(1, "perdure-backup") as other:
            sound = other.submit(refuse_unsound, path, name)
            _compare(file, wanted, name, manifest, tell)
            tell("checking", 0, 1)
            sound.result()
            tell("checking", 1, 1)
    finally:
        os.close(file)


def _runs(pages: list[tuple[int, memoryview]], size: int) -> Iterator[tuple[int, list[memoryview]]]:
    """Iterate over places and what stands there: pages that follow each other go in one write."""
    start = 0
    for at, (number, _) in enumerate(pages):
        if number != pages[start][0] + at - start or at - start == _VECTORS:
            yield pages[start][0] * size, [page for _, page in pages[start:at]]
            start = at
    yield pages[start][0] * size, [page for _, page in pages[start:]]


def _write(file: int, pages: list[memoryview], place: int) -> int:
    """Write pages behind one another; return how many bytes that were."""
    size, done = sum(map(len, pages)), os.pwritev(file, pages, place)
    while done < size:  # a disk that takes a part says at the next try why not more
        done += os.pwrite(file, b"".join(pages)[done:], place + done)
    return done


def _compare(file: int, wanted: PageMap, name: str, manifest: Manifest, tell: Progress) -> None:
    """Read what was written, and compare each page with what it was in the store."""
    size, found = manifest.page_size, PageMap()
    for first, piece in PageReader(file, manifest.pages, size, bytearray(PART_BYTES)).pieces():
        found.extend(digests_of(piece, size))
        for at in wanted.others(first, found):
            raise BackupDamaged(name, f"page {first + at + 1} of the store did not come back")
        tell("comparing", len(found) * size, manifest.size)


def refuse_unsound(path: Path, name: str) -> None:
    """Raise BackupDamaged if SQLite finds fault with a file of a backup."""
    try:
        with closing(reading(path)) as connection:
            rows = connection.execute(f"PRAGMA integrity_check({_COMPLAINTS})").fetchall()
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(name, f"SQLite cannot read what comes of it: {error}") from error
    complaints = [str(row[0]) for row in rows if row[0] != "ok"]
    if complaints:
        problem = f"the store was damaged when it was made: {'; '.join(complaints)}"
        raise BackupDamaged(name, problem)
