"""``perdure timeline``: what happened, and what caused what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from ...hooks.timeline.event import Event
from ...hooks.timeline.formats import written
from ...hooks.timeline.kinds import EventKind
from ...hooks.timeline.timeline import Timeline
from ...hooks.timeline.tree import Tree
from ...hooks.timeline.wanted import selection_of
from ...persistence.errors import UnknownSession
from ...url import open_reader
from ..terminal.exits import NotFound
from ..terminal.files import STANDARD, new_file
from ..terminal.listing import Lines, show
from ..terminal.options import Listing, TimelineFormat
from ..terminal.screen import Screen
from ..terminal.text import moment, seconds_of
from ..terminal.values import changes, parse, short
from .census import AgentFilter

_STYLES: Final = {
    EventKind.TURN: "", EventKind.HOOK: "cyan", EventKind.DECISION: "yellow",
    EventKind.ARTIFACT: "green", EventKind.LETTER: "red",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line selects."""

    whose: AgentFilter
    correlation: int | None
    session: str | None
    since: str | None
    until: str | None
    what: Sequence[EventKind]
    text: str

    def of(self, timeline_of: Callable[..., Timeline]) -> Timeline:
        """Make the timeline."""
        between = (seconds_of(self.since, "--since"), seconds_of(self.until, "--until"))
        try:
            return self._of(timeline_of, between)
        except UnknownSession as error:
            raise NotFound(f"{error}; see `perdure sessions`") from None

    def _of(
        self, timeline_of: Callable[..., Timeline], between: tuple[float | None, float | None]
    ) -> Timeline:
        kind, key = self.whose.name
        named = key is not None
        return timeline_of(
            agent=(kind, key) if named else None, kind=None if named else kind,
            correlation=self.correlation,
            session=self.session, between=between, what=self.what or None, text=self.text,
        )  # fmt: skip


def show_timeline(store: str, asked: Asked, listing: Listing) -> None:
    """Print a page of events."""
    with closing(open_reader(store)) as reader:
        timeline = asked.of(lambda **how: Timeline(reader, selection_of(reader, **how)))
        newest = bool(listing.newest)
        # A page that is full is told of more.
        show(
            timeline.list(after=listing.after, newest=newest, limit=listing.limit + 1),
            listing,
            _LINES,
        )


def draw_timeline(store: str, asked: Asked, most: int) -> None:
    """Draw what caused what among up to ``most`` events."""
    tree = _tree(store, asked, most)
    screen = Screen()
    for depth, event in tree.walk():
        span = tree.span(event).seconds
        took = f"  {span * 1000:,.1f} ms" if span else ""
        agent = f"{event.agent}  " if event.is_turn else ""
        line = f"{'  ' * depth}{event.id}  {agent}{event.name}{took}  {_told(event)}"
        screen.say(line.rstrip(), _STYLES[event.what])
    if not tree.events:
        Screen(error=True).say("no such events")


def export_timeline(
    store: str, asked: Asked, most: int, form: TimelineFormat, output: str | None
) -> None:
    """Write the events in a format for other programs, to a new file or to standard output."""
    text = written(_tree(store, asked, most), form.value)
    with new_file(output or STANDARD) as file:
        file.write((text if text.endswith("\n") else text + "\n").encode())


def _tree(store: str, asked: Asked, most: int) -> Tree:
    with closing(open_reader(store)) as reader:
        timeline = asked.of(lambda **how: Timeline(reader, selection_of(reader, **how)))
        return timeline.tree(most)


def _cells(event: Event) -> tuple[object, ...]:
    cause: object = event.cause if event.is_turn else ""
    if not event.cause_known:
        cause = "not known"
    what = event.name if event.is_turn else f"{event.what} {event.name}"
    return (
        event.id, moment(event.time), event.agent, what, cause or "", event.correlation or "",
        _told(event),
    )  # fmt: skip


def _told(event: Event) -> str:
    detail = parse(event.detail, f"event {event.id}")
    if event.is_turn:
        return changes(detail)
    if event.what is EventKind.ARTIFACT:
        return f"{detail['size']} bytes"
    return short(detail.get("reason") or detail.get("error") or detail.get("answer") or "")


_LINES: Final = Lines(
    columns=[
        ("ID", "number"), ("TIME (UTC)", "word"), ("AGENT", "name"), ("WHAT", "name"),
        ("CAUSE", "number"), ("CHAIN", "number"), ("CHANGES", "value"),
    ],
    cells=_cells, record=Event.record, place=attrgetter("id"), none="no such events",
)  # fmt: skip
