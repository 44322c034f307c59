"""The same numbers in one pass over the file, without any agent."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from examples.flights.data import JANUARY, open_text

from .agents import LATE


@dataclass
class Plain:
    """What the agents have to agree with."""

    days: dict[int, Counter[str]] = field(default_factory=dict)
    carriers: Counter[str] = field(default_factory=Counter)

    @property
    def week(self) -> Counter[str]:
        """All days together."""
        return sum(self.days.values(), Counter())


def count(days: Iterable[int]) -> Plain:
    """Count the turnarounds of some days."""
    plain = Plain(days={day: Counter() for day in days})
    came: dict[str, bool] = {}
    with open_text(JANUARY) as file:
        for row in csv.DictReader(file):
            day, tail = int(row["day"]), row["tailnum"]
            if day not in plain.days or "NA" in (tail, row["dep_delay"]):
                continue
            left_late = int(row["dep_delay"]) >= LATE
            if tail in came:
                kind = {
                    (False, False): "on time",
                    (False, True): "arose",
                    (True, False): "recovered",
                    (True, True): "handed on",
                }[came.pop(tail), left_late]
                plain.days[day][kind] += 1
                plain.carriers[row["carrier"]] += kind == "handed on"
            if row["arr_delay"] != "NA":
                came[tail] = int(row["arr_delay"]) >= LATE
    plain.carriers = +plain.carriers
    return plain
