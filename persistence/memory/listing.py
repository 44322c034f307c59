"""Pages of what a store in memory holds: behind a place, forwards or backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from ..records.records import JournalEntry, Timer
from ..store.store import TimerPlace


class Owned(Protocol):
    """Have the kind and the key of an agent."""

    @property
    def kind(self) -> str:
        """The agent's kind."""
        ...

    @property
    def key(self) -> str:
        """The agent's key."""
        ...


R = TypeVar("R", bound=Owned)


def page(
    rows: Iterable[R],
    whose: tuple[str | None, str | None],
    place: Callable[[R], Any],
    after: object,
    limit: int,
    *,
    newest: bool,
) -> list[R]:
    """Return up to ``limit`` rows behind ``after`` in the order of their places."""
    found = sorted((row for row in rows if belongs(row, whose)), key=place, reverse=newest)
    if after is not None:
        found = [r for r in found if (place(r) < after if newest else place(r) > after)]
    return found[: max(limit, 0)]


def belongs(row: Owned, whose: tuple[str | None, str | None]) -> bool:
    """Tell whether a row is of a kind and key; None for any."""
    kind, key = whose
    return (kind is None or row.kind == kind) and (key is None or row.key == key)


def chained(entry: JournalEntry, correlation: int | None, led_from: int | None) -> bool:
    """Tell whether a commit is of a chain, and caused by a commit outside of it; None for any."""
    if correlation is not None and entry.correlation != correlation:
        return False
    leads = entry.correlation == entry.message or entry.correlation < 0
    return led_from is None or (entry.cause == led_from > 0 and leads)


def due_place(timer: Timer) -> TimerPlace:
    """Return where a timer stands among those that are due."""
    return timer.due, timer.kind, timer.key, timer.name
