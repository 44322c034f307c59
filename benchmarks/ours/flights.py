"""The departures from New York through the agents of ``examples/flights``: a month or the year."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from examples.flights import data, reference
from examples.flights.agents import FEED
from examples.flights.audit import audit
from examples.flights.worker import work

from ..memory import peak_resident
from ..workload import bytes_in


def fly(folder: Path, *, period: Literal["month", "year"]) -> dict[str, float]:
    """Work through the file without being killed; every number is compared with a plain count."""
    source = data.year() if period == "year" else data.JANUARY
    store = folder / "flights.db"
    start = time.perf_counter()
    work(store, source, lambda _: None)
    taken = time.perf_counter() - start
    peak = peak_resident()
    size = bytes_in(folder)
    found = audit(store)
    differences = reference.compare(reference.count(source, FEED), found.numbers)
    if differences:
        raise ValueError(f"{len(differences)} numbers differ, the first: {differences[0]}")
    turns = sum(found.turns.values())
    return {
        "seconds": taken,
        "turns": turns,
        "per_second": turns / taken,
        "disk_mib": size / 2**20,
        "peak_mib": peak / 2**20,
    }
