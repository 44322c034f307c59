"""What the isolation of agents from each other costs a call to shared state."""

from __future__ import annotations

from ..model import Better, Experiment, Measure, Row, Size, Value

ACCESS = Experiment(
    name="access",
    title="Deciding about access",
    measures=(
        Measure(
            "decide",
            "benchmarks.ours.access:decided",
            {"tenants": Size(1_000, 100), "grants": 100, "seconds": Size(2, 0.2)},
        ),
    ),
    rows=(
        Row(
            "access-check",
            "a decision among 1,000 tenants with 100 grants each, half of them refused",
            ours=Value("decide", "microseconds"),
            better=Better.LOWER,
            value_unit="us",
            unit="us",
            floor=5.0,
        ),
        Row(
            "access-load",
            "same: reading those 100,000 grants when a system opens",
            ours=Value("decide", "loading_seconds"),
            better=Better.LOWER,
            value_unit="s",
            unit="s",
        ),
    ),
    repeats=3,
)
