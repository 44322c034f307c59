"""A store goes back in its own place: what it was is kept as a pinned backup first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import BackupFailed
from ..sqlite.place import BESIDE, beside
from ..sqlite.search import SUFFIX as SEARCH
from ..sqlite.store import SqliteStore
from ..store.lease import Owner
from .create import Making, create
from .folder import Folder
from .layout import failing, sync
from .scratch import scratch_room


@contextmanager
def in_place(path: Path, folder: Folder, making: Making) -> Iterator[Path]:
    """Give the path of a new file, which takes the place of a store when the block ends well.

    The store must be owned by nobody, and is owned by this process meanwhile. It is backed up
    first, and that backup is pinned. Whoever is killed on the way leaves the store as it was, or
    the new one: the last step is a rename.
    """
    # Beside the file, not beside a link to it: the last step must stay in one file system.
    with scratch_room(path.resolve().parent) as room:
        fresh = room / path.name
        with closing(SqliteStore(path)) as store:
            store.acquire(Owner.this_process())
            safety = create(store, folder, making)
            folder.pin(safety.name, f"{path.name} before it went back in its place")
            yield fresh
        _swap(fresh, path)


def _swap(fresh: Path, path: Path) -> None:
    """Let a file take the place of another whose log is empty and gone."""
    log, index = (beside(path, suffix) for suffix in BESIDE)
    if log.exists() and log.stat().st_size:
        message = (
            f"somebody reads in {path}, so its log cannot be put away; end that, and try again"
        )
        raise BackupFailed(message)
    with failing(f"{path} cannot be replaced"):
        # Commits to come may look, to the index of texts, like those that it knows.
        for file in (log, index, beside(path, SEARCH)):
            file.unlink(missing_ok=True)
        place = path.resolve()
        fresh.replace(place)
        sync(place.parent)
