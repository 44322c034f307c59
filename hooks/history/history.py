"""The history of hooks, read back: what is not packed yet, and the segments."""

from __future__ import annotations

import logging
from collections.abc import Iterator
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

    def _all(
        self, fits: _Filter, behind: tuple[int, int] | None, *, newest: bool
    ) -> Iterator[HookRecord]:
        # What is packed meanwhile leaves the runs in the commit that writes its segment: runs are
        # read before the segments when going back, and behind them when going on, and a sequence
        # that was met is not given again.
        seen = -1
        tables = (HOOK_RUNS, HOOK_SEGMENTS) if newest else (HOOK_SEGMENTS, HOOK_RUNS)
        for table in tables:
            last = seen
            for record in self._in(table, fits, behind, newest=newest):
                known = record.sequence >= last if newest else record.sequence <= last
                if last >= 0 and known:
                    continue
                seen = record.sequence
                yield record

    def _beginning(
        self, table: Table, behind: tuple[int, int] | None, *, newest: bool
    ) -> Row | None:
        """Return the place behind which the blocks begin that may have what is wanted."""
        if behind is None:
            return None
        if newest:
            return (behind[0] + 1,)
        holding = self._store.page(table, _DOWN, (behind[0] + 1,), 1)
        return (int(str(holding[0][0])) - 1,) if holding else None

    def _in(
        self, table: Table, fits: _Filter, behind: tuple[int, int] | None, *, newest: bool
    ) -> Iterator[HookRecord]:
        order = _DOWN if newest else _UP
        after, limit = self._beginning(table, behind, newest=newest), PAGE
        while page := self._store.page(table, order, after, limit):
            for row in page:
                if fits.block(row):
                    records = readable(row)
                    yield from reversed(records) if newest else records
            after = page[-1][:1]
            limit = PAGE if any(map(is_whole, page)) else MANY


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
