"""Give an agent's collections their durable items."""

from __future__ import annotations

from collections.abc import Callable

from ...persistence.store.store import Store


class Collections:
    """Read one agent's logs and maps from the store."""

    __slots__ = ("_agent", "_settle", "_store")

    def __init__(self, store: Store, agent: int, settle: Callable[[], None]) -> None:
        """``settle`` waits until everything the agent committed is durable."""
        self._store = store
        self._agent = agent
        self._settle = settle

    def log(self, field: str) -> _LogReader:
        """Return the reader of a log field."""
        return _LogReader(self._store, self._agent, field)

    def map(self, field: str) -> _MapReader:
        """Return the reader of a map field."""
        return _MapReader(self._store, self._agent, field, self._settle)


class _LogReader:
    __slots__ = ("_agent", "_field", "_store")

    def __init__(self, store: Store, agent: int, field: str) -> None:
        self._store = store
        self._agent = agent
        self._field = field

    def items(self, start: int, stop: int) -> list[str]:
        return self._store.log_items(self._agent, self._field, start, stop)


class _MapReader:
    __slots__ = ("_agent", "_field", "_settle", "_store")

    def __init__(self, store: Store, agent: int, field: str, settle: Callable[[], None]) -> None:
        self._store = store
        self._agent = agent
        self._field = field
        self._settle = settle

    def entry(self, key: str | int) -> str | None:
        return self._store.map_entry(self._agent, self._field, key)

    def page(self, after: str | int | None, limit: int) -> list[tuple[str | int, str]]:
        return self._store.map_page(self._agent, self._field, after, limit)

    def count(self) -> int:
        # Only the store can count, so what was committed must be there first.
        self._settle()
        return self._store.map_count(self._agent, self._field)
