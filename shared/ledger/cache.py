"""Durable rows in memory: never ahead of the store, and bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from ...persistence.records.tables import Key, Row, Table

DEFAULT_CACHE_BYTES: Final = 64 * 1024 * 1024
_OVERHEAD: Final = 640
"""Bytes a row takes besides the characters of its texts, about: measured for scoped keys."""
_UNKNOWN: Final = object()

Rows = dict[tuple[Table, Key], Row | None]


class RowCache:
    """Remember rows as the store has them, absent ones as well.

    Two generations: when the young one holds half of the bytes, the old one is dropped and the
    young one takes its place. Loads use leases (Nishtala et al., "Scaling Memcache at Facebook",
    2013): a row that a commit changes while it is being loaded is not remembered by the loader.
    """

    def __init__(self, load: Callable[[Table, Key], Row | None], limit: int) -> None:
        """Fetch rows with ``load``; remember about ``limit`` bytes of them."""
        self._load = load
        self._half = limit // 2
        self._lock = threading.Lock()
        self._young: Rows = {}
        self._old: Rows = {}
        self._weight = 0
        self._leases: dict[tuple[Table, Key], object] = {}

    def get(self, table: Table, key: Key) -> Row | None:
        """Return a durable row; None if there is none."""
        place = (table, key)
        row = self._young.get(place, _UNKNOWN)
        if row is not _UNKNOWN:
            return row  # type: ignore[return-value]
        with self._lock:
            if place in self._old:
                row = self._old[place]
                self._put(place, row)
                return row
            lease = self._leases[place] = object()
        try:
            loaded = self._load(table, key)
        except BaseException:
            with self._lock:
                if self._leases.get(place) is lease:
                    del self._leases[place]
            raise
        with self._lock:
            if self._leases.get(place) is lease:
                del self._leases[place]
                self._put(place, loaded)
        return loaded

    def unknown(self, places: Iterable[tuple[Table, Key]]) -> list[tuple[Table, Key]]:
        """Return those of some places of which nothing is remembered at this moment."""
        young, old = self._young, self._old
        return [place for place in places if place not in young and place not in old]

    def took(self, table: Table, changed: dict[Key, Row | None]) -> None:
        """Take over what a commit has made durable."""
        with self._lock:
            for key, row in changed.items():
                place = (table, key)
                if self._leases:
                    self._leases.pop(place, None)
                self._put(place, row)

    def forget(self) -> None:
        """Drop everything."""
        with self._lock:
            self._leases.clear()
            self._young, self._old, self._weight = {}, {}, 0

    def _put(self, place: tuple[Table, Key], row: Row | None) -> None:
        if self._old:
            self._old.pop(place, None)
        table = place[0]
        weight = _weight(table, row)
        if place in self._young:
            self._weight -= _weight(table, self._young[place])
        if weight > self._half:  # it would drive out everything else
            self._young.pop(place, None)
            return
        self._young[place] = row
        self._weight += weight
        if self._weight > self._half:
            self._old, self._young, self._weight = self._young, {}, 0


def _weight(table: Table, row: Row | None) -> int:
    # For every row that is written: by C alone.
    return _OVERHEAD if row is None else _OVERHEAD + sum(map(len, table.sized(row)))
