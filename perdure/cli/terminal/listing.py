"""What the commands that list have in common: a page, and a word about what it does not show."""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Any, Generic, TypeVar

from ...persistence.errors import ConfigurationError
from .options import Listing
from .screen import ColumnStyle, Screen, print_json

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Lines(Generic[R]):
    """How one kind of thing stands in a list."""

    columns: Sequence[tuple[str, ColumnStyle]]
    cells: Callable[[R], Sequence[object]]
    """The row of a table, for people."""
    record: Callable[[R], dict[str, object]]
    """The line of JSON, for programs."""
    place: Callable[[R], object]
    """What --after takes to go on behind it."""
    none: str
    """What to say when there are none."""
    spare: bool = False
    """The last column is left out where it is empty in all rows."""


def show(
    found: Iterable[R], listing: Listing, lines: Lines[R], *, tail: bool = False
) -> Sequence[R]:
    """Print a page of what is found, and say aloud if there are more; return a table's rows.

    With ``tail`` the newest are found first, and printed with the newest last.
    """
    rows = iter(found)
    page = islice(rows, listing.limit)
    shown: list[R] = []
    last: R | None = None
    if listing.json and not tail:
        for last in page:  # as they come: a page may be as large as the store
            print_json(lines.record(last))
    else:
        shown = list(page)[:: -1 if tail else 1]
        last = shown[0 if tail else -1] if shown else None
        _print(shown, lines, json=listing.json)
    if last is not None and next(rows, None) is not None:
        _tell_more(lines.place(last), tail=tail)
    return shown


def latest(
    rows: Iterable[R], listing: Listing, moment: Callable[[R], Any], behind: object
) -> list[R]:
    """Return the newest of rows that come in another order: a page of them, and one more.

    ``behind`` is the moment of the row before, None for the first page.
    """
    older = (row for row in rows if behind is None or moment(row) < behind)
    return heapq.nlargest(listing.limit + 1, older, key=moment)


def behind(rows: Iterable[R], listing: Listing, place: Callable[[R], object]) -> Iterable[R]:
    """Leave out all up to the row of a place; for lists that stand in no order of their places."""
    if listing.after is None:
        return rows
    found = dropwhile(lambda row: str(place(row)) != listing.after, rows)
    if next(iter(found), None) is None:
        message = f"--after {listing.after!r:.40}: there is none of that name in the list"
        raise ConfigurationError(message)
    return found


def refuse_times(listing: Listing, what: str, order: str) -> None:
    """Refuse to sort by time what has none."""
    if listing.newest is not None:
        message = f"{what} have no time: they come {order}, and take no --newest or --oldest"
        raise ConfigurationError(message)


def _print(rows: Sequence[R], lines: Lines[R], *, json: bool) -> None:
    if json:
        for row in rows:
            print_json(lines.record(row))
    elif rows:
        cells = [lines.cells(row) for row in rows]
        empty = lines.spare and not any(row[-1] for row in cells)
        kept = len(lines.columns) - empty
        Screen().table(lines.columns[:kept], [row[:kept] for row in cells])
    else:
        Screen(error=True).say(lines.none)


def _tell_more(place: object, *, tail: bool) -> None:
    """Say on stderr which option shows the others, for programs too."""
    how = f"{'--newest ' if tail else ''}--after {shlex.quote(str(place))}"
    Screen(error=True).say(f"there are {'older ones' if tail else 'more'}; {how} shows them", "dim")
