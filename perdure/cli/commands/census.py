"""Who is in a store: agents with a head, and those of whom there is only mail or a dead letter."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ...lifecycle.status import Status
from ...persistence.errors import ConfigurationError
from ...persistence.records.records import AgentRow, DeadLetter
from ...persistence.store.store import StoreReader

Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Whose mail, commits and so on are wanted; None for any."""

    kind: str | None = None
    key: str | None = None
    status: Status | None = None

    def __post_init__(self) -> None:
        """Refuse a key without a kind: keys of different kinds have nothing in common."""
        if self.key is not None and self.kind is None:
            raise ConfigurationError("--key goes with --kind, which says whose key it is")

    @property
    def name(self) -> tuple[str | None, str | None]:
        """The kind and the key."""
        return self.kind, self.key

    def fits(self, row: AgentRow) -> bool:
        """Tell whether an agent of the kind is wanted."""
        return self.key in (None, row.key) and self.status in (None, row.status)


_PAGE: Final = 1000


def everybody(reader: StoreReader, kind: str | None = None) -> Iterator[AgentRow]:
    """Iterate over all agents in (kind, key) order; version 0 is one that never committed."""
    letters = sorted({(letter.kind, letter.key) for letter in dead_letters(reader)})
    others = (
        newcomer(*name)
        for name in heapq.merge(_mailed(reader, kind), letters)
        if kind is None or name[0] == kind
    )
    before: Name | None = None
    # Of equal names the head comes first: merging keeps the order of its arguments.
    for row in heapq.merge(reader.agents(kind), others, key=_name):
        if _name(row) != before:
            before = _name(row)
            yield row


def newcomer(kind: str, key: str) -> AgentRow:
    """Return the head of an agent that never committed, as its description would be."""
    return AgentRow(0, kind, key, 0, 0, Status.ACTIVE.value, "")


def dead_letters(reader: StoreReader) -> Iterator[DeadLetter]:
    """Iterate over all dead letters."""
    after = 0
    while page := reader.dead_letters(after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def _mailed(reader: StoreReader, kind: str | None) -> Iterator[Name]:
    after = (kind or "", "")  # neither a kind nor a key is empty
    while page := reader.mailed(after, _PAGE):
        for name in page:
            if kind is not None and name[0] != kind:
                return
            yield name
        after = page[-1]


def _name(row: AgentRow) -> Name:
    return row.kind, row.key
