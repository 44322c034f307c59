"""At which version an agent was when a hook ran for it outside of a recorded turn."""

from __future__ import annotations

from typing import Final

import msgspec

from ..hooks import points
from ..hooks.history.record import HookRecord
from ..persistence.errors import StateUnknown, UnknownAgent
from ..persistence.store.store import StoreReader
from .turn import gone

_BEFORE: Final = {point.name for point in (points.MESSAGE_BEFORE, points.LIFECYCLE_BEFORE)}
"""Points at which it is as its last commit has left it."""
_MADE: Final = {point.name for point in (points.STATE_BEFORE, points.SAVE_BEFORE)}
"""Points at which it is as the commit of the turn will leave it."""
_LEFT: Final = {
    point.name for point in (points.STATE_AFTER, points.SAVE_AFTER, points.LOAD_AFTER)
}  # fmt: skip
"""Points that tell the version."""


def version_when(store: StoreReader, record: HookRecord) -> int:
    """Return the version; StateUnknown where the agent was in the middle of a turn.

    UnknownAgent where it was deleted since, and another has its name.
    """
    version = _version_when(store, record)
    stored = store.load(record.kind, record.key) if version else None
    if stored is not None:
        since = max(0, stored.head.version - version + 1)
        entries = store.journal(record.kind, record.key, newest=True, limit=since)
        if entries and len(entries) == since and entries[-1].sequence > record.sequence:
            raise UnknownAgent(gone(f"{record.kind}/{record.key}", record.id))
    return version


def _version_when(store: StoreReader, record: HookRecord) -> int:
    kind, key, at = record.kind, record.key, record.sequence
    behind = store.journal(kind, key, after=at - 1, limit=1)
    committed = record.cause is None and bool(behind) and behind[0].sequence == at
    if record.point in _BEFORE or (record.point == "lifecycle.after" and not committed):
        if behind:
            return behind[0].version - 1
        stored = store.load(kind, key)
        return 0 if stored is None else stored.head.version
    if record.point == points.MESSAGE_AFTER.name and committed:
        return behind[0].version
    if record.point in _LEFT or (record.point in _MADE and committed):
        return int(msgspec.json.decode(record.context)["version"])
    message = (
        f"{record.id} cannot run again: {record.hook} is a method, and at {record.point} its agent"
        " was in the middle of a turn whose state nobody kept; set record = True in its class"
    )
    raise StateUnknown(message)
