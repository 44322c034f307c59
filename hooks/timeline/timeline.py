"""A timeline: events of a store in the order of commits, listed page by page, or as a tree."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator

from ...persistence.errors import ConfigurationError
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...persistence.store.store import StoreReader
from . import links
from .event import Event, Place, place_of
from .formats import written
from .selection import Selection, Viewer
from .sources import SOURCES, reach_of
from .tree import Tree

MOST: int = 10_000
"""Events of a tree, unless it is asked for more: a tree is kept in memory."""


def _all() -> None:
    """Let everything be seen."""


class Timeline:
    """Events that were selected: listed, counted, and seen as what caused what.

    Reads what is durable, also what an earlier process did. Secrets are ``***``.
    """

    def __init__(
        self, store: StoreReader, selection: Selection, viewer: Callable[[], Viewer | None] = _all
    ) -> None:
        """Show of ``store`` what is selected.

        ``viewer`` returns who looks, and is asked for each page: a right may be revoked between
        two of them. None sees all.
        """
        self._store = store
        self._selection = selection
        self._viewer = viewer

    def list(
        self, *, after: str | None = None, limit: int = LIMIT, newest: bool = False
    ) -> Page[Event]:
        """Return a page of the events, oldest first; with ``newest`` newest first.

        ``after`` is the id of the event before.
        """
        return page_of(self._found(place_of(after), newest=newest), limit, _id)

    def each(self, *, after: str | None = None, newest: bool = False) -> Iterator[Event]:
        """Iterate over all events in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(after=place, newest=newest, limit=1000), after)

    def count(self) -> int:
        """Return how many events there are; takes the time that reading them takes."""
        return sum(1 for _ in self._found(None, newest=False))

    def tree(self, most: int = MOST) -> Tree:
        """Return what caused what among the events, as they are now.

        ConfigurationError where they are more than ``most``: narrow the selection, or ask for more.
        """
        events: list[Event] = []
        for event in self._found(None, newest=False):
            if len(events) >= most:
                message = (
                    f"there are more than {most:,} events; select fewer, as by a time or a chain,"
                    " or ask for more: tree(most=...), export(form, most=...), --most"
                )
                raise ConfigurationError(message)
            events.append(event)
        return Tree.of(events)

    def export(self, form: str, most: int = MOST) -> str:
        """Return the events for another program: ``json``, ``mermaid``, ``chrome`` or ``html``.

        ``chrome`` opens in Perfetto and chrome://tracing; ``html`` is one page that loads nothing.
        ConfigurationError as ``tree``, and for another format.
        """
        return written(self.tree(most), form)

    def causes(self, event: Event) -> tuple[Event, ...]:
        """Return what led to an event, from the edge of the system on; the nearest is the last.

        Also in other chains. It ends early where the journal was trimmed, or where an asker changed
        nothing and so left no commit.
        """
        return tuple(self._visible(links.causes(self._store, event)))

    def effects(self, event: Event) -> tuple[Event, ...]:
        """Return the turns that an event led to directly, in its own chain and in others."""
        return tuple(self._visible(links.effects(self._store, event)))

    def _found(self, after: Place | None, *, newest: bool) -> Iterator[Event]:
        reach = reach_of(self._store, self._selection, after, newest=newest)
        sources = [
            source(self._store, reach)
            for source, kinds in SOURCES.items()
            if kinds & self._selection.what
        ]
        merged = heapq.merge(*sources, key=lambda event: event.place, reverse=newest)
        return filter(reach.holds, self._visible(merged))

    def _visible(self, events: Iterable[Event]) -> Iterator[Event]:
        """Leave out what the viewer may not see, and the parts of others that it may not."""
        viewer = self._viewer()
        return iter(events) if viewer is None else viewer.visible(events)

    def __repr__(self) -> str:
        return f"<Timeline of {self._store.location}: list(), each(), count(), tree()>"


def _id(event: Event) -> str:
    return event.id
