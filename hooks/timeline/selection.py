"""Which events of a store a timeline shows, and to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ...persistence.names.scope import Principal
from .event import Event
from .kinds import EventKind

_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
Who = Callable[[str, str], bool]
"""Tells whether an agent's events may be seen, by its kind and key."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and at whose events it may."""

    principal: Principal
    may_see: Who

    def sees(self, event: Event) -> bool:
        """Tell whether an event may be shown: its own, and of agents it may read.

        Decisions about others are for the system alone, and so is what no agent did.
        """
        if event.what is EventKind.DECISION and not self.is_own(event):
            return False
        return bool(event.kind) and (self.is_own(event) or self.may_see(event.kind, event.key))

    def shown(self, event: Event) -> Event:
        """Return an event as the viewer may see it: of others, what they changed of their own.

        What they wrote of what is shared needs a right of its own, on its scope.
        """
        if self.is_own(event) or not ('"rows":' in event.detail or '"gone":' in event.detail):
            return event
        if event.what is not EventKind.TURN:
            return event
        try:
            parts = _parts(event.detail)
        except msgspec.DecodeError:
            return dataclasses.replace(event, detail="{}")
        kept = {verb: raw for verb, raw in parts.items() if verb not in ("rows", "gone")}
        return dataclasses.replace(event, detail=msgspec.json.encode(kept).decode())

    def is_own(self, event: Event) -> bool:
        """Tell whether it is the viewer's own."""
        who = self.principal
        return who.kind == "agent" and (who.id, who.part) == (event.kind, event.key)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events are wanted; what is left out does not matter."""

    correlation: int | None = None
    kind: str | None = None
    key: str | None = None
    since: float | None = None
    until: float | None = None
    what: frozenset[EventKind] = frozenset(EventKind)
    where: Callable[[Event], bool] | None = None
    text: str = ""
    """What they hold somewhere, in their names or what they changed; in any case of letters."""

    def wants(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        return (
            event.what in self.what
            and (self.correlation is None or event.correlation == self.correlation)
            and (self.kind is None or event.kind == self.kind)
            and (self.key is None or event.key == self.key)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time <= self.until)
            and (not self.text or holds(event, self.text))
            and (self.where is None or self.where(event))
        )


def holds(event: Event, text: str) -> bool:
    """Tell whether an event has a text in its names or in what it changed."""
    return text.casefold() in folded(event)


def folded(event: Event) -> str:
    """Return all texts of an event, a line each, in one case of letters."""
    return f"{event.agent}\n{event.name}\n{event.detail}".casefold()
