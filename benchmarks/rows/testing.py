"""The test kit: what a test pays for its system, and for time that passes."""

from __future__ import annotations

from ..model import Better, Experiment, Measure, Row, Size, Value

TESTING = Experiment(
    name="testing",
    title="The test kit, in memory",
    measures=(Measure("kit", "benchmarks.ours.testing:kit", {"timers": Size(10_000, 1_000)}),),
    rows=(
        Row(
            "kit-open",
            "a kit with a system, opened and closed",
            ours=Value("kit", "open_close"),
            better=Better.LOWER,
            unit="ms",
            floor=10.0,
        ),
        Row(
            "kit-hour",
            "an hour of virtual time in which 10,000 timers come, each a turn at its own moment",
            ours=Value("kit", "hour"),
            better=Better.LOWER,
            unit="s",
            floor=5.0,
        ),
    ),
    repeats=1,
)
