"""Free what nothing refers to any more: contents without artifact, parts, chunks, and notes.

Nothing is counted: whether something is needed is looked up when it is to go, in the rows that
would need it. So a sweep may be killed anywhere and begun again, and finds what is left.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from ...persistence.records.shared_tables import (
    ARTIFACT_TAGS,
    ARTIFACT_USES,
    ARTIFACTS,
    CHUNKS,
    CONTENT_PARTS,
    CONTENTS,
    LINEAGE,
)
from ...persistence.records.tables import Change, Key, Order, Row, Table
from ..ledger.desk import Desk
from ..ledger.sweep import NEVER, Sweep
from ..scopes.entries import gone
from .records import CONTENT
from .upload import Uploads

logger = logging.getLogger("perdure.lifecycle")

SLICE: Final = 100
"""Contents or chunks looked at under the ledger's lock, and deleted by one commit."""
ROWS: Final = 500
"""Parts and notes deleted by one commit."""
DELAY: Final = 5.0
"""Seconds from a deletion to the sweep."""
_END: Final = 2**62
_NOTES: Final = (
    (ARTIFACT_TAGS, ("artifact",), ""),
    (LINEAGE, ("artifact", "source"), -1),
    (LINEAGE, ("source",), -1),
    (ARTIFACT_USES, ("artifact",), -1),
)
"""Tables of rows about an artifact, with an order in which its rows stand together."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has deleted."""

    contents: int = 0
    chunks: int = 0
    notes: int = 0
    """Tags, sources and uses of artifacts that are gone."""
    left: bool = False
    """Something is still being saved, read or decided about; it is looked at again later."""


class ArtifactSweep(Sweep):
    """Sweep what became suspect, soon after it did; and everything, when the system opens."""

    what: ClassVar[str] = "what no artifact needs any more is not deleted"
    first: ClassVar[float] = DELAY

    def __init__(self, desk: Desk, uploads: Uploads, mend: Callable[[], int]) -> None:
        """Commit by ``uploads`` and ``desk``.

        ``mend`` counts again what was counted and is damaged; before all that is swept.
        """
        super().__init__()
        self._mend = mend
        self._desk = desk
        self._ledger = desk.ledger
        self._uploads = uploads
        self._one = threading.Lock()  # one sweep at a time
        self._lock = threading.Lock()  # of what follows; a leaf
        self._contents: set[str] = set()
        self._chunks: set[str] = set()
        self._notes = False
        self._everything = True

    def suspect(
        self, *, contents: Iterable[str] = (), chunks: Iterable[str] = (), notes: bool = False
    ) -> None:
        """Have these looked at by a sweep, soon."""
        with self._lock:
            self._contents.update(contents)
            self._chunks.update(chunks)
            self._notes = self._notes or notes
        self.due(DELAY)

    def slice(self) -> float:
        """Sweep what is suspect; the first time, everything."""
        swept = self.sweep(everything=self._everything)
        self._everything = False
        if swept != Swept():
            logger.debug("%s", swept)
        return DELAY if swept.left else NEVER

    def sweep(self, *, everything: bool) -> Swept:
        """Delete what nothing refers to; return when that is durable."""
        with self._uploads.waiting(), self._one:
            self._uploads.check()
            with self._lock:
                contents, self._contents = self._contents, set()
                chunks, self._chunks = self._chunks, set()
                noted, self._notes = self._notes, False
            try:
                return self._sweep(
                    contents, chunks, noted=noted or everything, everything=everything
                )
            except BaseException:
                with self._lock:
                    self._contents |= contents
                    self._chunks |= chunks
                    self._notes = self._notes or noted
                raise

    def _sweep(
        self,
        contents: set[str],
        chunks: set[str],
        *,
        noted: bool,
        everything: bool,
    ) -> Swept:
        if everything:
            self._mend()
        # What is decided by looking into the store must be in it.
        self._uploads.flush()
        notes = self._sweep_notes() if noted else 0
        names = self._keys(CONTENTS) if everything else sorted(contents)
        freed = self._free(CONTENTS, names, self._unused_content)
        self._uploads.flush()
        for content in [*freed, *(self._loose_parts() if everything else ())]:
            chunks |= self._free_parts(content)
        self._uploads.flush()
        names = self._keys(CHUNKS) if everything else sorted(chunks)
        gone_chunks = self._free(CHUNKS, names, self._unused_chunk)
        self._uploads.flush()
        with self._lock:
            left = bool(self._contents or self._chunks)
            # Among what is left may be a deletion whose turn is under way.
            self._notes = self._notes or (noted and left)
        return Swept(len(freed), len(gone_chunks), notes, left)

    def _free(
        self,
        table: Table,
        names: Iterable[str],
        unused: Callable[[list[str]], list[str]],
    ) -> list[str]:
        """Delete those rows that nobody needs; those in use for the moment stay suspect."""
        freed: list[str] = []
        traffic = self._uploads.traffic
        for some in _sliced(names, SLICE):
            if self.stopped:
                break
            with traffic.lock:
                idle = [name for _, name in traffic.idle((table, name) for name in some)]
            if len(idle) < len(some):
                busy = set(some) - set(idle)
                if table is CONTENTS:
                    self.suspect(contents=busy)
                else:
                    self.suspect(chunks=busy)
            # Nearly all are needed: so they are looked up without the lock, and those that are not
            # once more under it.
            doomed = unused(idle)
            if doomed:
                freed += self._delete(table, doomed, unused)
            self._uploads.relieve()
        return freed

    def _delete(
        self, table: Table, names: list[str], unused: Callable[[list[str]], list[str]]
    ) -> list[str]:
        """Delete rows that seem to be of no use, if they are."""
        traffic = self._uploads.traffic
        with traffic.lock:
            idle = [name for _, name in traffic.idle((table, name) for name in names)]
            doomed = unused(idle)
            if doomed:
                self._uploads.delete(
                    [Change(table, (name,), None) for name in doomed],
                    [(table, name) for name in doomed],
                )
        return doomed

    def _unused_content(self, names: list[str]) -> list[str]:
        """Return those that no artifact has; for good where the lock of the ledger is held."""
        appended = {row[CONTENT] for row in self._ledger.appended(ARTIFACTS).values() if row}
        return [
            name
            for name in names
            if name not in appended and not self._there(ARTIFACTS, ("content",), name)
        ]

    def _unused_chunk(self, names: list[str]) -> list[str]:
        """Return those that are in no content's list, and no content by themselves."""
        return [
            name
            for name in names
            if not self._there(CONTENT_PARTS, ("chunk",), name)
            and not self._there(CONTENTS, ("content",), name)
        ]

    def _there(self, table: Table, by: tuple[str, ...], name: str) -> bool:
        # Counted, and not read: a damaged row needs what it needs.
        return self._ledger.store.count(table, Order(by, (name,))) > 0

    def _loose_parts(self) -> Iterator[str]:
        """Iterate over the contents that have parts, and are not there themselves."""
        after: Row | None = None
        order = Order(("content", "position"))
        while found := self._ledger.page(CONTENT_PARTS, order, after, 1):
            content = str(found[0][0])
            after = (content, _END)
            if not self._there(CONTENTS, ("content",), content):
                yield content

    def _free_parts(self, content: str) -> set[str]:
        """Delete the parts of a content that is gone; return the chunks that it had."""
        named = {content} if self._there(CHUNKS, ("chunk",), content) else set()
        after: Row = (-1,)
        order = Order(("content", "position"), (content,))
        while not self.stopped and (parts := self._ledger.page(CONTENT_PARTS, order, after, ROWS)):
            with self._uploads.traffic.lock:
                idle = self._uploads.traffic.idle([(CONTENTS, content)])
                if not idle or self._there(CONTENTS, ("content",), content):
                    break  # saved again meanwhile, with the same parts
                self._uploads.delete([Change(CONTENT_PARTS, part[:2], None) for part in parts], [])
            named |= {str(part[2]) for part in parts}
            after = (parts[-1][1],)
            self._uploads.relieve()
        return named

    def _keys(self, table: Table) -> Iterator[str]:
        after: Key | None = None
        while keys := self._ledger.store.keys(table, after, ROWS):
            yield from (str(key[0]) for key in keys)
            after = keys[-1]

    def _sweep_notes(self) -> int:
        """Delete what is noted about artifacts that are gone; their numbers never come back."""
        deleted = 0
        for table, by, first in _NOTES:
            at = table.names.index(by[0])
            after: Row | None = None
            while found := self._ledger.page(table, Order(by), after, 1):
                number = found[0][at]
                if not self._ledger.store.count(ARTIFACTS, Order(("number",), (number,))):
                    deleted += self._delete_notes(table, Order(by, (number,)))
                # Behind the last of this one's.
                after = (number, "\U0010ffff" if first == "" else _END)
        return deleted

    def _delete_notes(self, table: Table, order: Order) -> int:
        deleted = 0
        while not self.stopped and (found := self._ledger.page(table, order, None, ROWS)):
            unit = self._desk.begin_as_system()
            for row in found:
                unit.change((table, table.place(row)), gone, checked=False)
            self._desk.commit(unit)
            deleted += len(found)
        return deleted


def _sliced(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while some := list(itertools.islice(left, size)):
        yield some
