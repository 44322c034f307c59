"""How one agent stands, for people who look for a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...lifecycle.status import Status, stored_status
from ...persistence.records.records import StoredAgent
from ...persistence.store.store import StoreReader
from ..pool.cell import Cell


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """How an agent stood at one moment; taken without waking it or waiting for it."""

    kind: str
    key: str
    status: str
    """Its status; "active" for an agent that never had a message."""
    version: int
    """Count of its commits, durable or on their way; 0 for one that never changed."""
    live: bool
    """Whether its state is in memory."""
    busy: bool
    """Whether it handles a message now, or could at once."""
    waiting: int
    """Messages that wait for it."""
    holds: tuple[str, ...]
    """Why its mail waits: "paused", "quarantined", "backoff" (before a restart), "unsaved",
    "isolated", "ended" (the store was lost)."""
    reason: str
    """Why it has this status, where that is not its own wish."""
    error: str
    """What its latest failure was while its cell has been in memory; "" if there was none."""
    tallies: Mapping[str, Any] = field(default_factory=dict)
    """Of one that thinks: what its calls came to as far as that is durable and whole, each a
    ``Tally``, by "model" or "tool", a slash and the name."""


def describe(
    store: StoreReader,
    kind: str,
    key: str,
    cell: Cell | None,
    load: Callable[[], StoredAgent | None],
) -> AgentDescription:
    """Describe an agent from its cell, and from the store where that does not know better.

    ``load`` loads what the store has of it.
    """
    activation = cell.activation if cell is not None else None
    status, version, reason = Status.ACTIVE, 0, ""
    if activation is None:
        stored = load()
        if stored is not None:
            status = stored_status(f"{kind}/{key}", stored.head.status)
            version = stored.head.version
            reason = stored.head.reason
    if cell is None:
        waiting = len(store.mail(kind, key))
        return AgentDescription(
            kind, key, status, version,
            live=False, busy=False, waiting=waiting, holds=(), reason=reason, error="",
        )  # fmt: skip
    if activation is not None:
        version = activation.writer.version
    if activation is not None or cell.last_sequence or cell.holds:
        # Ahead of the store, or told by the store already.
        status, reason = cell.status, cell.reason
    return AgentDescription(
        kind, key, status, version, cell.live, cell.mailbox.busy(),
        len(cell.mailbox), cell.holds, reason, cell.error,
    )  # fmt: skip
