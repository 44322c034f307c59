"""Backups, against reading the file, and against a writer that is left alone."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

_PERIOD = {"period": Size("year", "month")}

BACKUP = Experiment(
    name="backup",
    title="Backups of the flights store",
    measures=(
        Measure("rates", "benchmarks.ours.backup:rates", _PERIOD, timeout=1_800),
        Measure(
            "stall",
            "benchmarks.ours.backup:stall",
            {**_PERIOD, "seconds": Size(10, 2)},
            timeout=1_800,
        ),
        Measure(
            "one",
            "benchmarks.ours.backup:one_agent",
            {"actors": Size(1_000_000, 10_000)},
            timeout=3_600,
        ),
    ),
    rows=(
        Row(
            "backup-create",
            "MiB/s backed up, vs reading the file from the disk",
            ours=Value("rates", "create"),
            peers=(Value("rates", "read"),),
            compare=Compare.RATIO,
            value_unit=" MiB/s",
            floor=0.5,
            aim=1.0,
        ),
        Row(
            "backup-restore",
            "MiB/s brought back, checked and examined by SQLite, vs the same",
            ours=Value("rates", "restore"),
            peers=(Value("rates", "read"),),
            compare=Compare.RATIO,
            value_unit=" MiB/s",
            floor=0.5,
        ),
        Row(
            "backup-saved",
            "bytes saved by compression",
            ours=Value("rates", "saved"),
            unit="%",
            floor=70,
            aim=85,
        ),
        Row(
            "backup-one-agent",
            "seconds to bring one agent of many back to a commit, vs restoring all of them",
            ours=Value("one", "seconds"),
            peers=(Value("one", "restore"),),
            compare=Compare.RATIO,
            better=Better.LOWER,
            value_unit=" s",
        ),
        Row(
            "backup-stall",
            "longest commit of a writer while backups are made",
            ours=Value("stall", "busy_longest"),
            better=Better.LOWER,
            unit="ms",
            floor=50,
            aim=10,
        ),
        Row(
            "backup-stall-p99",
            "p99 of its commits meanwhile, vs without a backup",
            ours=Value("stall", "busy_p99"),
            peers=(Value("stall", "quiet_p99"),),
            compare=Compare.RATIO,
            better=Better.LOWER,
            value_unit=" ms",
        ),
        Row(
            "backup-quiet",
            "longest commit of the same writer without a backup",
            ours=Value("stall", "quiet_longest"),
            better=Better.LOWER,
            unit="ms",
        ),
    ),
    repeats=1,
)
