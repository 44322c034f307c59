"""The departures of January's first week, as lines and as legs."""

import csv
from itertools import groupby

import msgspec

from examples.flights.data import JANUARY, MISSING, open_text

DAYS = range(1, 8)


class Leg(msgspec.Struct, frozen=True, array_like=True):
    """One flight from New York that left, and when it arrived."""

    tail: str
    carrier: str
    flight: str
    departure_delay: int
    """Minutes; negative when early."""
    arrival_delay: int | None
    """Minutes; None when it was diverted."""


def lines(day: int) -> list[str]:
    """Return the lines of the file for one day, in the order in which the flights left."""
    with open_text(JANUARY) as file:
        next(file)
        days = groupby(file, lambda line: line.split(",", 2)[1])
        return next(([line.rstrip() for line in own] for key, own in days if key == str(day)), [])


def parse(text: list[str]) -> list[Leg]:
    """Return the legs of some lines; flights that were cancelled have none."""
    return [
        Leg(tail, carrier, f"{carrier}{number} {origin}-{destination}", int(left), _minutes(came))
        for _, _, left, came, carrier, number, tail, origin, destination, _ in csv.reader(text)
        if MISSING not in {left, tail}
    ]


def _minutes(text: str) -> int | None:
    return None if text == MISSING else int(text)
