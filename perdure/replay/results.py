"""What came of scheduled replays, stored and found again: ``system.replay.results``."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Final, Literal

import msgspec

from ..persistence.errors import Denied, UnknownReplay
from ..persistence.names.scope import Principal
from ..persistence.records.page import LIMIT, Page, checked_limit, page_of, walk
from ..persistence.records.shared_tables import REPLAY_RESULTS
from ..persistence.records.tables import Order, Row
from ..persistence.store.store import StoreReader
from ..shared.ledger.desk import Desk, Handle
from .outcome import Replay
from .report import ReplayReport

MOST: Final = 100
"""Differing turns that one result keeps with both their sides."""


class ReplayResult(msgspec.Struct, frozen=True):
    """What came of one run of a schedule."""

    schedule: str
    due: float
    """The moment it ran for."""
    began: float
    outcome: Literal["same", "different", "failed"]
    """``failed``: it could not run; ``error`` says why."""
    summary: str = ""
    """As ``ReplayReport.summary()``."""
    counts: dict[str, int] = {}
    """How many turns there are of each outcome."""
    left_out: int = 0
    """Turns that are of kinds for which there was no class."""
    seconds: float = 0.0
    differing: list[Replay] = []
    """The first turns that came out differently or could not be replayed, up to 100."""
    error: str = ""
    id: int = 0
    """Rises from run to run."""
    more: int = 0
    """How many differed as well, and are not in ``differing``."""


def result_of(schedule: str, due: float, began: float, report: ReplayReport) -> ReplayResult:
    """Return what is stored of a report of a batch that has kept ``MOST``."""
    return ReplayResult(
        schedule, due, began, "same" if report.same else "different", report.summary(),
        report.counts, report.left_out, report.seconds, report.replays, more=report.more,
    )  # fmt: skip


class ReplayResults(Handle):
    """What came of scheduled replays, oldest first. The system's: Denied to all others."""

    def __init__(self, desk: Desk, store: StoreReader) -> None:
        """Find them in ``store``."""
        super().__init__(desk)
        self._store = store

    def list(
        self, name: str | None = None, *, after: int | None = None, limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[ReplayResult]:  # fmt: skip
        """Return a page of the results of a schedule, or of all.

        Oldest first; with ``newest`` newest first. ``after`` is the id of the result before.
        """
        refuse_others(self._desk, "see what came of scheduled replays")
        most = checked_limit(limit)
        found = results_in(self._store, name, after=after, newest=newest)
        return page_of(found, most, attrgetter("id"))

    def each(
        self, name: str | None = None, *, after: int | None = None, newest: bool = False
    ) -> Iterator[ReplayResult]:
        """Iterate over all results in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(name, after=place, newest=newest), after)

    def count(self, name: str | None = None) -> int:
        """Return how many results are kept; takes what ``list`` takes."""
        return sum(1 for _ in self.each(name))

    def get(self, number: int) -> ReplayResult:
        """Return a result by its id; UnknownReplay if it is not kept."""
        refuse_others(self._desk, "see what came of scheduled replays")
        row = self._store.row(REPLAY_RESULTS, (number,))
        if row is None:
            raise UnknownReplay(f"no result {number!r:.40} is kept; replay.results.list() has all")
        return _decoded(row)


def kept(store: StoreReader, name: str) -> Iterator[int]:
    """Iterate over the ids of a schedule's results, newest first."""
    return (int(str(row[0])) for row in _rows(store, name, None, newest=True))


def results_in(
    store: StoreReader, name: str | None, *, after: int | None, newest: bool
) -> Iterator[ReplayResult]:
    """Iterate over the results in a store, of a schedule or of all."""
    return map(_decoded, _rows(store, name, after, newest=newest))


def refuse_others(desk: Desk, what: str) -> None:
    """Raise Denied to who is not the system."""
    who = desk.standing().principal
    if who != Principal.SYSTEM:
        raise Denied(f"{who} may not {what}; only the system may")


def _rows(
    store: StoreReader, name: str | None, after: int | None, *, newest: bool
) -> Iterator[Row]:
    order = Order(("sequence",), (), newest)
    if name is not None:
        order = Order(("name", "sequence"), (name,), newest)
    place = None if after is None else (after,)
    while rows := store.page(REPLAY_RESULTS, order, place, LIMIT):
        yield from rows
        place = (int(str(rows[-1][0])),)


def _decoded(row: Row) -> ReplayResult:
    found = msgspec.json.decode(str(row[2]), type=ReplayResult)
    return msgspec.structs.replace(found, id=int(str(row[0])))
