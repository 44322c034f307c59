"""Who is in a store: agents with a head, and those of whom there is only mail or a dead letter."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final, TypeAlias

from ..lifecycle.status import Status
from ..persistence.records.records import AgentRow, DeadLetter
from ..persistence.store.store import StoreReader

Name: TypeAlias = tuple[str, str]

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
