"""What caused what among some events: roots, leaves, spans of time, what ran at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .event import Event
from .kinds import EventKind


class Span(NamedTuple):
    """From when to when something was under way, in seconds since the epoch."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.begin


class Gap(NamedTuple):
    """What passed between an event and one it led to: waiting and handling together."""

    cause: Event
    effect: Event
    seconds: float


@dataclass(frozen=True, slots=True)
class Tree:
    """Events as what caused what. A cause that was not selected, or is gone, makes a root."""

    events: tuple[Event, ...]
    """In the order of commits."""
    parents: dict[str, Event]
    """What led to each event, by its id; roots have none."""
    children: dict[str, tuple[Event, ...]]
    """What each event led to, by its id, in order; leaves have none."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> Tree:
        """Link events by their causes."""
        turns = {e.sequence: e for e in events if e.is_turn}
        askers = {e.message: e for e in events if e.is_turn and e.message}
        parents: dict[str, Event] = {}
        children: dict[str, list[Event]] = {}
        for event in events:
            cause = turns.get(event.cause) if event.cause > 0 else askers.get(-event.cause)
            if cause is not None and cause is not event and event.cause:
                parents[event.id] = cause
                children.setdefault(cause.id, []).append(event)
        return cls(tuple(events), parents, {name: tuple(found) for name, found in children.items()})

    @property
    def roots(self) -> tuple[Event, ...]:
        """Events that nothing here has led to."""
        return tuple(event for event in self.events if event.id not in self.parents)

    @property
    def leaves(self) -> tuple[Event, ...]:
        """Events that led to nothing here."""
        return tuple(event for event in self.events if event.id not in self.children)

    def parent(self, event: Event) -> Event | None:
        """Return what led to an event; None for a root."""
        return self.parents.get(event.id)

    def effects(self, event: Event) -> tuple[Event, ...]:
        """Return what an event led to directly."""
        return self.children.get(event.id, ())

    def path(self, event: Event) -> tuple[Event, ...]:
        """Return the events from a root to this one, this one last."""
        path = [event]
        while (above := self.parent(path[-1])) is not None and len(path) <= len(self.events):
            path.append(above)
        return tuple(reversed(path))

    def walk(self) -> Iterator[tuple[int, Event]]:
        """Iterate over all events with their depth: each before what it led to."""
        waiting = [(0, root) for root in reversed(self.roots)]
        while waiting:
            depth, event = waiting.pop()
            yield depth, event
            waiting += [(depth + 1, each) for each in reversed(self.effects(event))]

    def span(self, event: Event) -> Span:
        """Return from when to when an event was under way: since its cause was done, waiting too.

        One that asked was under way at least since what it asked was. A hook took its own time.
        """
        if event.seconds is not None:
            return Span(event.time - event.seconds, event.time)
        begin, asked = event.time, event
        while (above := self.parent(asked)) is not None:
            if asked.cause > 0 and asked.is_turn:
                begin = min(begin, above.time)
                break
            if not asked.is_turn:
                break
            asked = above
        times = [each.time for each in self.effects(event) if each.is_turn and each.cause < 0]
        return Span(min([begin, *times]), event.time)

    def concurrent(self, event: Event) -> tuple[Event, ...]:
        """Return the turns that were under way at the same time, and neither led to the other."""
        span = self.span(event)
        related = {each.id for each in self.path(event)} | {each.id for each in self._below(event)}
        found = []
        for other in self.events:
            if other.id in related or other.what is not EventKind.TURN:
                continue
            theirs = self.span(other)
            if theirs.begin <= span.end and span.begin <= theirs.end:
                found.append(other)
        return tuple(found)

    def _below(self, event: Event) -> Iterator[Event]:
        waiting = [event]
        while waiting:
            for each in self.effects(waiting.pop()):
                yield each
                waiting.append(each)

    def gaps(self) -> tuple[Gap, ...]:
        """Return what passed between each turn and each it led to, the longest first."""
        found = []
        for event in self.events:
            cause = self.parent(event)
            if event.is_turn and cause is not None and event.cause > 0:
                found.append(Gap(cause, event, event.time - cause.time))
        return tuple(sorted(found, key=lambda gap: -gap.seconds))

    @property
    def seconds(self) -> float:
        """From the beginning of the first event to the end of the last."""
        spans = [self.span(event) for event in self.events]
        return max(s.end for s in spans) - min(s.begin for s in spans) if spans else 0.0
