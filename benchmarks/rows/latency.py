"""One durable ask at a time, against the least a durable commit can cost."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value


def _row(
    name: str,
    title: str,
    key: str,
    *,
    ours: str = "perdure",
    floor: float | None = None,
    aim: float | None = None,
) -> Row:
    return Row(
        name,
        title,
        ours=Value(ours, key),
        peers=(Value("bare sqlite", key),),
        compare=Compare.RATIO,
        better=Better.LOWER,
        value_unit="ms",
        floor=floor,
        aim=aim,
    )


LONE = Experiment(
    name="lone",
    title="A lone caller",
    measures=(
        Measure("perdure", "benchmarks.ours.turns:lone", {"turns": Size(4_000, 500)}),
        Measure("perdure awaited", "benchmarks.ours.turns:awaited", {"turns": Size(4_000, 500)}),
        Measure("bare sqlite", "benchmarks.peers.bare_sqlite:lone", {"turns": Size(4_000, 500)}),
    ),
    rows=(
        _row(
            "lone",
            "lone durable ask p50, vs one bare SQLite commit (WAL, FULL)",
            "p50_ms",
            floor=1.9,
            aim=1.3,
        ),
        _row("lone-p99", "same, p99", "p99_ms"),
        _row(
            "awaited",
            "lone awaited durable ask p50, vs the same",
            "p50_ms",
            ours="perdure awaited",
            floor=2.0,
            aim=1.4,
        ),
        _row("awaited-p99", "same, p99", "p99_ms", ours="perdure awaited"),
    ),
)
