"""The plain count: one pass over the file, sharing no counting code with the agents."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from .data import MISSING, digest, open_text

Name: TypeAlias = tuple[str, str]
"""Kind and key of an agent."""
Numbers: TypeAlias = Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that is not what it should be."""

    kind: str
    key: str
    number: str
    """Which one; "agent" when the agent as a whole is missing or should not exist."""
    expected: int | str | None
    found: int | str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.key}: {self.number} is {self.found}, should be {self.expected}"


def count(path: Path, feed: str) -> dict[Name, Numbers]:
    """Return what each agent must know in the end, by its kind and key."""
    sums: defaultdict[Name, Counter[str]] = defaultdict(Counter)
    logs: defaultdict[Name, list[str]] = defaultdict(list)
    fleets: defaultdict[str, Counter[str]] = defaultdict(Counter)
    rows = 0
    with open_text(path) as file:
        for line in csv.DictReader(file):
            name = f"{rows} {line['carrier']}{line['flight']} {line['origin']}-{line['dest']}"
            gone, came = line["dep_delay"] != MISSING, line["arr_delay"] != MISSING
            late_out = int(line["dep_delay"]) if gone else 0
            late_in = int(line["arr_delay"]) if came else 0

            carrier = "Carrier", line["carrier"]
            owners: list[Name] = [carrier]
            if line["tailnum"] == MISSING:
                sums[carrier]["unassigned"] += 1
            else:
                aircraft = "Aircraft", line["tailnum"]
                owners.append(aircraft)
                sums[aircraft]["miles"] += int(line["distance"]) if gone else 0
                fleets[line["carrier"]][line["tailnum"]] += 1
            for owner in owners:
                sums[owner].update(
                    flights=1,
                    cancelled=int(not gone),
                    departure_delay=late_out,
                    arrival_delay=late_in,
                )
                logs[owner].append(f"{name} {line['arr_delay']}")

            origin, destination = ("Airport", line["origin"]), ("Airport", line["dest"])
            sums[origin].update(departures=1, cancelled=int(not gone), departure_delay=late_out)
            sums[destination].update(
                arrivals=int(came), missed=int(not came), arrival_delay=late_in
            )
            logs[origin].append(f"{name} {line['dep_delay']}")
            logs[destination].append(f"{name} {line['arr_delay']}")
            rows += 1

    expected: dict[Name, Numbers] = {("Feed", feed): {"flights": rows, "ended": 1}}
    for owner, log in logs.items():
        kind, key = owner
        numbers: dict[str, int | str] = {number: sums[owner][number] for number in _SUMS[kind]}
        if kind == "Carrier":
            fleet = fleets[key]
            numbers["aircraft"] = len(fleet)
            numbers["fleet"] = digest(
                f"{tail} {flights}" for tail, flights in sorted(fleet.items())
            )
        expected[owner] = numbers | {"movements": len(log), "log": digest(log)}
    return expected


_SUMS = {
    "Aircraft": ("flights", "cancelled", "departure_delay", "arrival_delay", "miles"),
    "Airport": (
        "departures",
        "cancelled",
        "departure_delay",
        "arrivals",
        "missed",
        "arrival_delay",
    ),
    "Carrier": ("flights", "cancelled", "departure_delay", "arrival_delay", "unassigned"),
}


def compare(expected: Mapping[Name, Numbers], found: Mapping[Name, Numbers]) -> list[Difference]:
    """Return every difference: none when the same agents exist and know the same numbers."""
    differences = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            differences.append(Difference(*name, "agent", "there", "missing"))
        elif name not in expected:
            differences.append(Difference(*name, "agent", "missing", "there"))
        else:
            numbers = sorted(expected[name].keys() | found[name].keys())
            for number in numbers:
                right, there = expected[name].get(number), found[name].get(number)
                if right != there:
                    differences.append(Difference(*name, number, right, there))
    return differences
