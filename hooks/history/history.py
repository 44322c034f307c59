"""The history of hooks, read back: what is not packed yet, and the segments."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypedDict, Unpack

import msgspec

from ...persistence.errors import CorruptState, UnknownHook
from ...persistence.records.page import LIMIT, Page, page_of
from ...persistence.records.shared_tables import HOOK_PINS, HOOK_RUNS, HOOK_SEGMENTS
from ...persistence.records.tables import Order, Row, Table
from ...persistence.store.store import StoreReader
from .record import HookRecord
from .segments import is_whole, may_hold, unpack, words_of

logger = logging.getLogger("perdure.hooks")

PAGE: Final = 8
"""Blocks that are in memory at once: each may be large."""
MANY: Final = 200
"""The same of small ones."""
_decode: Final = msgspec.json.Decoder(HookRecord).decode
_UP: Final = Order(("first",))
_DOWN: Final = Order(("first",), descending=True)


class RunSelection(TypedDict, total=False):
    """Which executions; what is left out does not matter."""

    hook: str
    point: str
    kind: str
    key: str
    correlation: int
    outcome: str
    since: float
    until: float
    longer: float
    """Seconds it took at least."""


@dataclass(frozen=True, slots=True)
class _Filter:
    wanted: RunSelection
    words: list[str]

    @classmethod
    def of(cls, wanted: RunSelection) -> _Filter:
        words = {
            name: wanted.get(name) for name in ("hook", "kind", "key", "correlation", "outcome")
        }
        found: Any = words
        return cls(wanted, words_of(**found))

    def __call__(self, record: HookRecord) -> bool:
        wanted: dict[str, Any] = dict(self.wanted)
        for name in ("hook", "point", "kind", "key", "correlation", "outcome"):
            if name in wanted and getattr(record, name) != wanted[name]:
                return False
        return bool(
            wanted.get("since", record.time) <= record.time <= wanted.get("until", record.time)
            and record.seconds >= wanted.get("longer", 0.0)
        )

    def block(self, row: Row) -> bool:
        since, until = float(str(row[2])), float(str(row[3]))
        return (
            until >= self.wanted.get("since", until)
            and since <= self.wanted.get("until", since)
            and may_hold(row, *self.words)
        )


class History:
    """What hooks did, in the order of commits. Secrets stand in it as ``***``."""

    def __init__(self, store: StoreReader) -> None:
        """Read a store's."""
        self._store = store

    def list(
        self,
        *,
        after: str | None = None,
        limit: int = LIMIT,
        newest: bool = False,
        **wanted: Unpack[RunSelection],
    ) -> Page[HookRecord]:
        """Return a page of the executions that are wanted, oldest first; with ``newest`` reversed.

        ``after`` is the id of the one before.
        """
        return page_of(self.each(after=after, newest=newest, **wanted), limit, attrgetter("id"))

    def each(
        self, *, after: str | None = None, newest: bool = False, **wanted: Unpack[RunSelection]
    ) -> Iterator[HookRecord]:
        """Iterate over all of them in that order; takes what ``list`` takes."""
        fits, behind = _Filter.of(wanted), placed(after)
        for record in self._all(fits, behind, newest=newest):
            if fits(record):
                place = (record.sequence, record.position)
                if behind is None or (place < behind if newest else place > behind):
                    yield record

    def count(self, **wanted: Unpack[RunSelection]) -> int:
        """Return how many there are; takes what ``list`` takes."""
        return sum(1 for _ in self.each(**wanted))

    def get(self, run: str) -> HookRecord:
        """Return one execution by its id; UnknownHook if it is not kept."""
        place = placed(run)
        assert place is not None
        before = f"{place[0]}.{place[1] - 1}"
        for record in self.each(after=before):
            if record.id == run:
                return record
            break
        pinned = self._store.row(HOOK_PINS, place)
        if pinned is not None:
            return record_in(pinned)
        raise UnknownHook(f"there is no execution {run!r} of a hook in the history")

    def ends(self) -> tuple[int, int] | None:
        """Return the first commit that anything is kept of, and the last; None if there is none."""
        tables = HOOK_RUNS, HOOK_SEGMENTS  # in the order in which what is packed moves
        first = [row for table in tables for row in self._store.page(table, _UP, None, 1)]
        last = [row for table in tables for row in self._store.page(table, _DOWN, None, 1)]
        if not first or not last:
            return None
        return min(int(str(row[0])) for row in first), max(map(_end, last))

    def _all(
        self, fits: _Filter, behind: tuple[int, int] | None, *, newest: bool
    ) -> Iterator[HookRecord]:
        seen = -1
        for row in self._back(behind) if newest else self._on(behind):
            if fits.block(row):
                records, last = readable(row), seen
                for record in reversed(records) if newest else records:
                    # What is packed meanwhile is met again, with others in its block.
                    known = record.sequence >= last if newest else record.sequence <= last
                    if last < 0 or not known:
                        seen = record.sequence
                        yield record

    def _back(self, behind: tuple[int, int] | None) -> Iterator[Row]:
        """Iterate over the blocks back from a place; what is packed meanwhile is met twice."""
        for table in (HOOK_RUNS, HOOK_SEGMENTS):
            after: Row | None = None if behind is None else (behind[0] + 1,)
            limit = PAGE
            while page := self._store.page(table, _DOWN, after, limit):
                yield from page
                after, limit = page[-1][:1], _next_limit(page)

    def _on(self, behind: tuple[int, int] | None) -> Iterator[Row]:
        """Iterate over the blocks on from a place.

        What is packed leaves the runs in the commit that writes its segment: a page of runs counts
        if behind it no segment is there that is newer than what was given.
        """
        last, limit = -1 if behind is None else behind[0] - 1, PAGE
        while True:
            after = self._start(HOOK_SEGMENTS, last)
            while page := self._store.page(HOOK_SEGMENTS, _UP, after, PAGE):
                yield from page
                after, last = page[-1][:1], _end(page[-1])
            page = self._store.page(HOOK_RUNS, _UP, self._start(HOOK_RUNS, last), limit)
            newest = self._store.page(HOOK_SEGMENTS, _DOWN, None, 1)
            if newest and _end(newest[0]) > last:
                continue
            if not page:
                return
            yield from page
            last, limit = _end(page[-1]), _next_limit(page)

    def _start(self, table: Table, last: int) -> Row:
        """Return behind which place the blocks begin that have commits behind the ``last``."""
        holding = self._store.page(table, _DOWN, (last + 2,), 1)
        inside = bool(holding) and _end(holding[0]) > last
        return (int(str(holding[0][0])) - 1,) if inside else (last,)


class Lookup:
    """Find what hooks did by the commit: of a block, read once, as long as commits of it follow."""

    def __init__(self, store: StoreReader) -> None:
        """Look into a store."""
        self._store = store
        self._block: Row | None = None
        self._records: Sequence[HookRecord] = ()

    def at(self, sequence: int) -> Sequence[HookRecord]:
        """Return the executions of a commit, in order."""
        block = self._block
        if block is None or not int(str(block[0])) <= sequence <= _end(block):
            block = self._block = self._find(sequence)
            self._records = () if block is None else readable(block)
        return [record for record in self._records if record.sequence == sequence]

    def _find(self, sequence: int) -> Row | None:
        # Segments last: what is packed meanwhile is there.
        for table in (HOOK_RUNS, HOOK_SEGMENTS):
            found = self._store.page(table, _DOWN, (sequence + 1,), 1)
            if found and _end(found[0]) >= sequence:
                return found[0]
        return None


def _end(block: Row) -> int:
    return int(str(block[1]))


def _next_limit(page: Sequence[Row]) -> int:
    return PAGE if any(map(is_whole, page)) else MANY


def readable(row: Row) -> list[HookRecord]:
    """Return the executions in a block; none where it is damaged, which is named in the log."""
    try:
        return unpack(row)
    except CorruptState as error:
        logger.error("%s; the rest of the history is read", error)  # noqa: TRY400 - it says all
        return []


def record_in(pin: Row) -> HookRecord:
    """Return the execution that a pin keeps."""
    return _decode(str(pin[2]))


def placed(run: str | None) -> tuple[int, int] | None:
    """Return the commit of an execution and its place there, as its id says; UnknownHook."""
    if run is None:
        return None
    sequence, _, position = run.partition(".")
    try:
        return int(sequence), int(position or 0)
    except ValueError:
        raise UnknownHook(f"{run!r} is no id of an execution; give one such as 17.0") from None
