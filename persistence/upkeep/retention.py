"""Keep the journal bounded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from ..errors import StoreError
from ..options import Options
from ..store.store import Store

logger = logging.getLogger("perdure.persistence")

SLICE: Final = 1000
"""Journal rows folded at a time, so that no commit waits long behind it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Keep the journal entries of the latest ``commits`` commits; ``None`` keeps all of them.

    Every commit counts, also one without an entry (a message from outside that was stored).
    Only history is trimmed: current state, mail and timers never are. The plain fields as of the
    oldest kept entry stay as the base that later entries build on.
    """

    commits: int | None = 100_000

    def __post_init__(self) -> None:
        """Refuse to keep nothing: numbering goes on from the newest entry."""
        Options(self).whole("commits", least=1, none="all")


class Janitor:
    """Trim the journal in small slices, on the thread that commits."""

    def __init__(self, store: Store, retention: Retention) -> None:
        """Trim ``store`` to what ``retention`` keeps."""
        self._store = store
        self._keep = retention.commits
        self._kept = 0
        if self._keep is not None:
            first, last = store.journal_extent()
            self._kept = last - first + 1 if last else 0

    def after_commit(self, commits: int) -> None:
        """Take note of new entries and trim if a slice or more is over the limit.

        Trims at most twice what came in, rounded up to a slice: a surplus (a limit was lowered, or
        trimming failed for a time) goes bit by bit, and no reply waits for all of it.
        """
        if self._keep is None:
            return
        self._kept += commits
        try:
            for _ in range(-(-2 * commits // SLICE)):
                if self._kept <= self._keep + SLICE:
                    return
                _, last = self._store.journal_extent()
                gone = self._store.trim_journal(last - self._keep + 1, SLICE)
                first, last = self._store.journal_extent()
                self._kept = last - first + 1
                if not gone:
                    return
        except StoreError as error:
            logger.warning("trimming the journal failed and is tried later: %s", error)
