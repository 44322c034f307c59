"""``perdure mail`` and ``perdure timers``: what waits in a store for its agents."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from ..persistence.errors import ConfigurationError
from ..persistence.records.records import Message, Timer
from ..persistence.store.store import TimerPlace
from ..url import open_reader
from .listing import page, show, tell_more
from .screen import ColumnStyle
from .text import moment
from .values import call, parse

_MAIL: Final[list[tuple[str, ColumnStyle]]] = [
    ("ID", "number"), ("SENT (UTC)", "word"), ("AGENT", "name"), ("FOR", "name"),
    ("ARGUMENTS", "value"),
]  # fmt: skip
_TIMERS: Final[list[tuple[str, ColumnStyle]]] = [
    ("DUE (UTC)", "word"), ("AGENT", "name"), ("NAME", "name"), ("CALLS", "name"),
    ("EVERY (S)", "number"), ("ARGUMENTS", "value"),
]  # fmt: skip


def list_mail(
    store: str,
    *,
    kind: str | None,
    key: str | None,
    after: int | None,
    newest: bool,
    limit: int,
    json: bool,
) -> None:
    """Print the messages that wait for handling."""
    with closing(open_reader(store)) as reader:
        found = reader.mailbox(kind, key, after=after, limit=limit + 1, newest=newest)
    rows, more = page(iter(found), limit)
    show(rows, _MAIL, cells=_message, record=message, none="no such mail waits", json=json)
    if more:
        tell_more(f"--after {rows[-1].id}")


def message(row: Message) -> dict[str, object]:
    """Return a message for programs."""
    return {**row._asdict(), "body": parse(row.body, f"message {row.id}")}


def _message(row: Message) -> tuple[object, ...]:
    body = call(row.name, parse(row.body, f"message {row.id}"))
    agent = f"{row.kind}/{row.key}"
    return row.id, moment(row.sent), agent, row.name or "on_receive", body


def list_timers(
    store: str,
    *,
    kind: str | None,
    key: str | None,
    after: str | None,
    newest: bool,
    limit: int,
    json: bool,
) -> None:
    """Print the durable timers, by when they are due."""
    place = None if after is None else _place(after)
    with closing(open_reader(store)) as reader:
        found = reader.timers(kind, key, after=place, limit=limit + 1, newest=newest)
    rows, more = page(iter(found), limit)
    show(rows, _TIMERS, cells=_timer, record=timer, none="no such timers", json=json)
    if more:
        last = rows[-1]
        tell_more(f"--after '{last.due!r} {last.kind} {last.key} {last.name}'")


def timer(row: Timer) -> dict[str, object]:
    """Return a timer for programs."""
    return {**row._asdict(), "body": parse(row.body, f"timer {row.name}")}


def _timer(row: Timer) -> tuple[object, ...]:
    body = call(row.method, parse(row.body, f"timer {row.name}"))
    agent = f"{row.kind}/{row.key}"
    return moment(row.due), agent, row.name, row.method, row.interval or "once", body


def _place(after: str) -> TimerPlace:
    due, _, rest = after.partition(" ")
    kind, _, rest = rest.partition(" ")
    key, _, name = rest.rpartition(" ")
    try:
        return float(due), kind, key, name
    except ValueError:
        message = f"--after {after!r:.40}: give what the page before has named"
        raise ConfigurationError(message) from None
