"""A recorded turn as it stands in a store: what it was given, and what it made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..hooks.history.record import HookRecord
from ..hooks.history.recording import POINT, Recording, recording_in
from ..persistence.errors import UnknownAgent, UnknownHook
from ..persistence.store.store import StoreReader
from ..persistence.upkeep.states import StateCopy, States

_OTHER: Final = frozenset({"rows", "gone", "schemas"})
"""What a delta says of others, and of the class that made it."""


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A turn that was recorded."""

    id: str
    kind: str
    key: str
    name: str
    """The method it called; ``on_receive`` for a message to that."""
    recording: Recording
    delta: dict[str, Any] | None
    """What it changed of its agent's state; None where the journal does not know it any more."""

    def state_in(self, states: States) -> StateCopy:
        """Return the state before it from those of who has its agent's name; UnknownAgent."""
        if self.recording.agent not in (0, states.agent):
            raise UnknownAgent(gone(f"{self.kind}/{self.key}", str(self)))
        return states.at(self.recording.version)

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}.{self.name} ({self.id})"


def gone(agent: str, what: str) -> str:
    """Say that an agent was deleted since it did something, and that another has its name."""
    return (
        f"the {agent} of {what} was deleted, and with it its earlier states; another has its name"
        " now"
    )


def turn_of(store: StoreReader, record: HookRecord) -> RecordedTurn:
    """Return the turn a record of the history holds; UnknownHook if it is of another point."""
    if record.point != POINT:
        raise UnknownHook(f"{record.id} is an execution of {record.hook!r} and no recorded turn")
    recording = recording_in(record)
    delta: dict[str, Any] | None = {}
    if not recording.failed:
        # By its number alone: an agent's entries are found from its newest one back.
        entries = store.journal(after=record.sequence - 1, limit=1)
        place = (record.sequence, record.kind, record.key)
        found = entries and (entries[0].sequence, entries[0].kind, entries[0].key) == place
        delta = _own(entries[0].delta) if found else None
    return RecordedTurn(record.id, record.kind, record.key, record.name, recording, delta)


def _own(delta: str) -> dict[str, Any]:
    """Return the part of a delta that is its agent's state."""
    parts: dict[str, Any] = msgspec.json.decode(delta)
    return {verb: part for verb, part in parts.items() if verb not in _OTHER}
