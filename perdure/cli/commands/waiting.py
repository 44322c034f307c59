"""``perdure mail`` and ``perdure timers``: what waits in a store for its agents."""

from __future__ import annotations

import json
from contextlib import closing
from operator import attrgetter
from typing import Final

import msgspec

from ...persistence.errors import ConfigurationError
from ...persistence.records.records import Message, Timer
from ...persistence.store.store import TimerPlace
from ...url import open_reader
from ..terminal.listing import Lines, show
from ..terminal.options import Listing
from ..terminal.text import moment
from ..terminal.values import call, parse
from .census import AgentFilter


def list_mail(store: str, wanted: AgentFilter, listing: Listing) -> None:
    """Print the messages that wait for handling."""
    with closing(open_reader(store)) as reader:
        found = reader.mailbox(
            *wanted.name, after=listing.number(), limit=listing.limit + 1,
            newest=bool(listing.newest),
        )  # fmt: skip
    show(found, listing, _MAIL)


def message(row: Message) -> dict[str, object]:
    """Return a message for programs."""
    return {**row._asdict(), "body": parse(row.body, f"message {row.id}")}


def _message(row: Message) -> tuple[object, ...]:
    body = call(row.name, parse(row.body, f"message {row.id}"))
    agent = f"{row.kind}/{row.key}"
    return row.id, moment(row.sent), agent, row.name or "on_receive", body


_MAIL: Final = Lines(
    columns=[
        ("ID", "number"), ("SENT (UTC)", "word"), ("AGENT", "name"), ("FOR", "name"),
        ("ARGUMENTS", "value"),
    ],
    cells=_message, record=message, place=attrgetter("id"), none="no such mail waits",
)  # fmt: skip


def list_timers(store: str, wanted: AgentFilter, listing: Listing) -> None:
    """Print the durable timers, by when they are due."""
    place = None if listing.after is None else _place(listing.after)
    with closing(open_reader(store)) as reader:
        found = reader.timers(
            *wanted.name, after=place, limit=listing.limit + 1, newest=bool(listing.newest)
        )
    show(found, listing, _TIMERS)


def timer(row: Timer) -> dict[str, object]:
    """Return a timer for programs."""
    return {**row._asdict(), "body": parse(row.body, f"timer {row.name}")}


def _timer(row: Timer) -> tuple[object, ...]:
    body = call(row.method, parse(row.body, f"timer {row.name}"))
    agent = f"{row.kind}/{row.key}"
    return moment(row.due), agent, row.name, row.method, row.interval or "once", body


def _place_of(row: Timer) -> str:
    return json.dumps([row.due, row.kind, row.key, row.name])


def _place(after: str) -> TimerPlace:
    try:
        place: TimerPlace = msgspec.json.decode(after.encode(), type=TimerPlace)
    except msgspec.DecodeError:
        message = f"--after {after!r:.40}: give what the page before has named"
        raise ConfigurationError(message) from None
    return place


_TIMERS: Final = Lines(
    columns=[
        ("DUE (UTC)", "word"), ("AGENT", "name"), ("NAME", "name"), ("CALLS", "name"),
        ("EVERY (S)", "number"), ("ARGUMENTS", "value"),
    ],
    cells=_timer, record=timer, place=_place_of, none="no such timers",
)  # fmt: skip
