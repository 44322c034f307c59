"""Calls of hooks that are stored to be made later, as people see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from ...persistence.records.shared_tables import HOOK_QUEUE
from ...persistence.records.tables import Order, Row
from ...persistence.store.store import StoreReader
from .history import placed

PAGE: Final = 200
_UP: Final = Order(("sequence", "position"))


class _Told(msgspec.Struct, frozen=True):
    """Whom a call is about, as far as what it is told says so."""

    kind: str = ""
    agent: str = ""
    correlation: int = 0


class DeferredCall(msgspec.Struct, frozen=True):
    """A call of a hook that is still to be made."""

    id: str
    """The commit it is about, and its place there: ``17.0``."""
    hook: str
    point: str
    kind: str
    """The agent's; empty where none was at work."""
    key: str
    correlation: int
    time: float
    """When it was stored: seconds since the epoch."""
    reason: str
    """Why it waits; empty for one that is about to be made."""


def calls_in(
    store: StoreReader, reason: Callable[[Row], str], after: str | None = None
) -> Iterator[DeferredCall]:
    """Iterate over the calls that are stored, those of the oldest commits first."""
    place: Row | None = placed(after)
    while rows := store.page(HOOK_QUEUE, _UP, place, PAGE):
        for row in rows:
            yield call_of(row, reason(row))
        place = rows[-1][:2]


def call_of(row: Row, reason: str = "") -> DeferredCall:
    """Return a stored call."""
    sequence, position, time, hook, point, details = row
    try:
        told = msgspec.json.decode(str(details), type=_Told)
    except msgspec.MsgspecError:
        told = _Told()  # of a point of a program's own
    return DeferredCall(
        f"{sequence!s}.{position!s}", str(hook), str(point), told.kind, told.agent,
        told.correlation, float(str(time)), reason,
    )  # fmt: skip
