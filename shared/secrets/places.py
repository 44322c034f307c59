"""Where the secrets of stored texts stand, by the tables and keys of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias, cast

from ...persistence.records.shared_tables import SCOPED, TOMBSTONES
from ...persistence.records.tables import Order
from ...persistence.records.texts import StoredText
from ...persistence.secrets.moving import standing
from ...persistence.secrets.place import (
    IN_CALLS,
    Place,
    in_mail,
    in_scope,
    in_state,
    texts_in,
)
from ...persistence.secrets.tokens import TOKEN
from ...persistence.store.store import StoreReader

_PAGE: Final = 1000

Located: TypeAlias = Iterable[tuple[Place, str]]
Owner: TypeAlias = tuple[str, str]


class Places:
    """Tell where tokens stand that are bound to no place yet.

    The agents of a store are read once, when the first such token of an agent is met: whatever
    agents are made afterwards binds its tokens itself.
    """

    def __init__(self, reader: StoreReader) -> None:
        """Look agents up in ``reader``."""
        self._reader = reader
        self._owners: dict[int, Owner] | None = None

    def of(self, stored: StoredText) -> list[Place]:
        """Return the place of each token in a text, in order.

        One where no value is read as a secret is a place of its own.
        """
        own = ("text", stored.table, stored.column)
        try:
            found = standing(stored.text, lambda value: self._located(stored, value))
        except (ValueError, RecursionError):  # damaged, as in quarantine
            return [own for _ in TOKEN.finditer(stored.text)]
        return [place or own for _, place in found]

    def _located(self, stored: StoredText, value: object) -> Located:
        locate = self._TABLES.get(stored.table)
        return () if locate is None else locate(self, stored, value)

    def _owner(self, number: object) -> Owner:
        if self._owners is None:
            self._owners = {row.agent: (row.kind, row.key) for row in self._reader.agents()}
            order, after = Order(("agent",)), None
            while rows := self._reader.page(TOMBSTONES, order, after, _PAGE):
                for row in rows:
                    self._owners[cast("int", row[0])] = str(row[1]), str(row[2])
                after = rows[-1][:1]
        return self._owners.get(cast("int", number), ("", ""))

    def _field(self, stored: StoredText, value: object) -> Located:
        agent, field, *part = stored.key
        return texts_in(value, (*in_state(*self._owner(agent), str(field)), *map(str, part)))

    def _call(self, stored: StoredText, value: object) -> Located:
        kind, key, method = map(str, stored.about if len(stored.key) == 1 else _timed(stored))
        return texts_in(value, in_mail(kind, key, method), IN_CALLS if method else 0)

    def _scoped(self, stored: StoredText, value: object) -> Located:
        return texts_in(value, in_scope(*map(str, stored.key)))

    def _entry(self, stored: StoredText, value: object) -> Iterator[tuple[Place, str]]:
        """Give what a journal entry has set, appended, put, and written into scopes."""
        owner = self._owner(stored.about[0])
        delta = cast("dict[str, dict[str, Any]]", value)
        for field, put in delta.get("set", {}).items():
            yield from texts_in(put, in_state(*owner, field))
        for field, (start, items) in delta.get("append", {}).items():
            for position, item in enumerate(items, start):
                yield from texts_in(item, (*in_state(*owner, field), str(position)))
        for field, entries in delta.get("put", {}).items():
            for key, entry in entries:
                yield from texts_in(entry, (*in_state(*owner, field), str(key)))
        for row in delta.get("rows", {}).get(SCOPED.name, []):
            yield from texts_in(row[4], in_scope(*row[:4]))

    def _bad(self, stored: StoredText, value: object) -> Located:
        agent, place = stored.about
        return texts_in(value, in_state(*self._owner(agent), str(place)))

    _TABLES: Final[dict[str, Callable[[Places, StoredText, object], Located]]] = {
        **dict.fromkeys(("fields", "log_items", "map_entries", "base_fields"), _field),
        **dict.fromkeys(("mailbox", "timers", "dead_letters"), _call),
        "journal": _entry,
        "quarantine": _bad,
        SCOPED.name: _scoped,
    }


def _timed(stored: StoredText) -> tuple[object, object, object]:
    return stored.key[0], stored.key[1], stored.about[0]
