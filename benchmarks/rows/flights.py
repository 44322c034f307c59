"""A year of real departures through the agents of the example."""

from __future__ import annotations

from ..model import Better, Experiment, Measure, Row, Size, Value

FLIGHTS = Experiment(
    name="flights",
    title="336,776 departures of 2013, every number compared with a plain count",
    measures=(
        Measure(
            "year",
            "benchmarks.ours.flights:fly",
            {"period": Size("year", "month")},
            timeout=1_800,
        ),
    ),
    rows=(
        Row(
            "flights-seconds",
            "the flights year, from the first flight to the last",
            ours=Value("year", "seconds"),
            better=Better.LOWER,
            unit="s",
        ),
        Row(
            "flights-turns",
            "same: durable turns/s",
            ours=Value("year", "per_second"),
            unit="/s",
            floor=20_000,
            aim=30_000,
        ),
        Row(
            "flights-disk",
            "same: on disk",
            ours=Value("year", "disk_mib"),
            better=Better.LOWER,
            unit="MiB",
        ),
        Row(
            "flights-peak",
            "same: peak resident memory",
            ours=Value("year", "peak_mib"),
            better=Better.LOWER,
            unit="MiB",
        ),
    ),
    repeats=1,
)
