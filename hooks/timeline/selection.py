"""Which events of a store a timeline shows, and to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from ...persistence.names.scope import Principal, Scope
from .event import Event
from .kinds import EventKind


class ScopeOf(msgspec.Struct):
    """Where an artifact stands, as its event says."""

    kind: str
    id: str
    part: str


_SHARED: Final = frozenset({"rows", "gone"})
_OF_HOOKS: Final = frozenset({"point", "hook", "version", "outcome"})
_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_artifact: Final = msgspec.json.Decoder(ScopeOf).decode
MaySee = Callable[[str, str], bool]
"""Tells whether an agent's events may be seen, by its kind and key."""
MayRead = Callable[[Scope], bool]
"""Tells whether what stands in a scope may be seen."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and at whose events it may: an agent, or a user. The system sees all."""

    principal: Principal
    may_see: MaySee
    may_read: MayRead

    def sees(self, event: Event) -> bool:
        """Tell whether an event may be shown: its own, and of agents it may read.

        Decisions about others are for the system alone, and so is what no agent did. An artifact
        of others shows to those who may read its scope as well.
        """
        if self.is_own(event):
            return True
        if event.what is EventKind.DECISION or not event.kind:
            return False
        if not self.may_see(event.kind, event.key):
            return False
        return event.what is not EventKind.ARTIFACT or self.may_read(_scope_of(event))

    def shown(self, event: Event) -> Event:
        """Return an event as the viewer may see it.

        Of others, what they changed of their own: what they wrote of what is shared needs a right
        of its own, on its scope. Of hooks, that they ran: what they were told may be what they
        kept from the viewer.
        """
        if event.what is EventKind.HOOK:
            return _only(event, lambda name: name in _OF_HOOKS)
        if event.what is EventKind.TURN and not self.is_own(event):
            return _only(event, lambda name: name not in _SHARED)
        return event

    def visible(self, events: Iterable[Event]) -> Iterator[Event]:
        """Iterate over those that may be seen, as the viewer may see them."""
        return (self.shown(event) for event in events if self.sees(event))

    def is_own(self, event: Event) -> bool:
        """Tell whether it is the viewer's own."""
        who = self.principal
        return who.kind == "agent" and (who.id, who.part) == (event.kind, event.key)


def _only(event: Event, kept: Callable[[str], bool]) -> Event:
    """Return an event with some parts of its detail."""
    try:
        parts = _parts(event.detail or "{}")
    except msgspec.DecodeError:
        parts = {}
    found = {name: raw for name, raw in parts.items() if kept(name)}
    return dataclasses.replace(event, detail=msgspec.json.encode(found).decode())


def _scope_of(event: Event) -> Scope:
    row = _artifact(event.detail)
    return Scope(row.kind, row.id, row.part)


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
