"""What a run of a simulation costs."""

from __future__ import annotations

from ..model import Better, Experiment, Measure, Row, Size, Value

SIMULATING = Experiment(
    name="simulating",
    title="Simulated runs of 50 messages, each with a crash and its recovery",
    measures=(Measure("runs", "benchmarks.ours.simulating:simulated", {"runs": Size(1_000, 50)}),),
    rows=(
        Row(
            "simulated-runs",
            "processor time of 1,000 runs",
            ours=Value("runs", "cpu_seconds"),
            better=Better.LOWER,
            value_unit="s",
            unit="s",
            floor=60.0,  # 30 s on two cores
        ),
    ),
    repeats=1,
)
