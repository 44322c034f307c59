"""The runs that have not ended, as they stand in a store: one index over all agents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from ..persistence.errors import CorruptState
from ..persistence.names.scope import INTERNAL, RUNS, Scope
from ..persistence.records.shared_tables import SCOPED
from ..persistence.records.tables import Order, Row
from ..persistence.store.store import StoreReader
from ..shared.scopes.entries import KEY, VALUE
from .records import ENDED, Run, RunStatus, RunWait

SCOPE: Final = Scope(INTERNAL, RUNS, "all")
DECISIONS: Final = {
    "in doubt": ("retry", "done", "skip", "fail"),
    "approval": ("approve", "deny", "fail"),
    "question": ("answer", "skip", "fail"),
}
"""What may be decided, by what a run waits for."""
_PAGE: Final = 1000


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the index has of a run: nothing that was said, which goes when its agent is erased."""

    status: RunStatus
    """"running" if it goes on by itself when the store is opened again."""
    asked: float


class OpenRun(msgspec.Struct, frozen=True):
    """A run that has not ended."""

    kind: str
    key: str
    run: str
    status: RunStatus
    asked: float
    waiting: tuple[RunWait, ...]
    error: str = ""
    """Why it has no answer, where it has ended."""


def place_of(kind: str, key: str, run: str) -> str:
    """Return the key under which a run stands."""
    return "/".join(quote(part, safe="") for part in (kind, key, run))


def opened(place: str, text: str) -> OpenRun:
    """Return a run of the index."""
    kind, key, run = map(unquote, place.split("/"))
    noted = msgspec.json.decode(text, type=Noted)
    return OpenRun(kind, key, run, noted.status, noted.asked, ())


def open_runs(reader: StoreReader) -> Iterator[OpenRun]:
    """Iterate over the runs of a store that have not ended, by agent; not those of deleted ones."""
    found = (standing(reader, row) for row in noted(reader))
    return (row for row in found if row is not None and row.status not in ENDED)


def standing(reader: StoreReader, row: OpenRun) -> OpenRun | None:
    """Return a run of the index as it stands with its agent; None of a deleted one."""
    try:
        stored = reader.load(row.kind, row.key)
        text = None if stored is None else reader.map_entry(stored.head.agent, "runs", row.run)
    except CorruptState:
        return row  # damage of one agent, which is there, is no matter of the others' runs
    if text is None:
        return None
    run = msgspec.json.decode(text, type=Run)
    return msgspec.structs.replace(row, status=run.status, waiting=run.waiting)


def noted(reader: StoreReader) -> Iterator[OpenRun]:
    """Iterate over what the index has, also of agents that are not there any more."""
    order = Order(("kind", "id", "part"), SCOPE.columns)
    after: Row | None = None
    while rows := reader.page(SCOPED, order, after, _PAGE):
        for row in rows:
            yield opened(str(row[KEY]), str(row[VALUE]))
        after = (rows[-1][KEY],)
