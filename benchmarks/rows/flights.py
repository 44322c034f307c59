"""A year of real departures through the agents of the example."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

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
        Measure("micro", "benchmarks.ours.turns:open_turns", {"seconds": Size(4, 1)}),
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
            "same: durable turns/s, vs turns/s of 1,000 desks that only count",
            ours=Value("year", "per_second"),
            peers=(Value("micro", "per_second"),),
            compare=Compare.RATIO,
            floor=0.3,
            aim=0.5,
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
