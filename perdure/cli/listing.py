"""What the commands that list have in common: the table, and a word about what was not shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from .screen import ColumnStyle, Screen, print_json

R = TypeVar("R")


def page(rows: Iterator[R], limit: int) -> tuple[list[R], bool]:
    """Take up to ``limit`` rows; tell whether there are more."""
    found = list(islice(rows, limit))
    return found, len(found) == limit and next(rows, None) is not None


def show(
    rows: Sequence[R],
    columns: Sequence[tuple[str, ColumnStyle]],
    *,
    cells: Callable[[R], Sequence[object]],
    record: Callable[[R], dict[str, object]],
    none: str,
    json: bool,
) -> None:
    """Print rows for people or for programs; ``none`` says that there are none."""
    if json:
        for row in rows:
            print_json(record(row))
    elif rows:
        Screen().table(columns, [cells(row) for row in rows])
    else:
        Screen(error=True).say(none)


def tell_more(how: str) -> None:
    """Say aloud that there are more, and which option shows them; on stderr, for programs too."""
    Screen(error=True).say(f"there are more; {how} shows them", "dim")
