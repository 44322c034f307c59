"""Backups, against reading the file, and against a writer that is left alone."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

_PERIOD = {"period": Size("year", "month")}
_LEVELS = (0, 1, 3, 5, 6, 9)

BACKUP = Experiment(
    name="backup",
    title="Backups of the flights store",
    measures=(
        Measure("rates", "benchmarks.ours.backup:rates", _PERIOD, timeout=1_800),
        Measure(
            "levels",
            "benchmarks.ours.backup:levels",
            {**_PERIOD, "tried": _LEVELS},
            timeout=1_800,
        ),
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
        *(
            Row(
                f"backup-{name}{end}",
                f"MiB/s {what}, vs reading the file from {where}",
                ours=Value("rates", f"{value}_{how}"),
                peers=(Value("rates", f"read_{how}"),),
                compare=Compare.RATIO,
                value_unit=" MiB/s",
                floor=0.5 if how == "cold" else None,
                aim=1.0,
            )
            for name, value, what in (
                ("create", "create", "backed up"),
                ("plain", "none", "backed up without compression"),
            )
            for end, how, where in (("", "cold", "the disk"), ("-warm", "warm", "memory"))
        ),
        *(
            Row(
                f"backup-cpu-{name}",
                f"processor time for a MiB {what}",
                ours=Value("levels", f"ms_{value}"),
                better=Better.LOWER,
                unit="ms",
            )
            for name, value, what in (
                *((f"level-{level}", level, f"backed up at level {level}") for level in _LEVELS),
                ("incremental", "again", "of which nothing has changed, in an incremental backup"),
                ("restore", "restore", "brought back, checked and examined by SQLite"),
            )
        ),
        *(
            Row(
                f"backup-saved-level-{level}",
                f"bytes saved by compression at level {level}",
                ours=Value("levels", f"saved_{level}"),
                unit="%",
            )
            for level in _LEVELS
        ),
        Row(
            "backup-incremental",
            "MiB/s in an incremental backup of which nothing has changed, vs reading the file from"
            " memory",
            ours=Value("rates", "again"),
            peers=(Value("rates", "read_warm"),),
            compare=Compare.RATIO,
            value_unit=" MiB/s",
        ),
        Row(
            "backup-restore",
            "MiB/s brought back, checked and examined by SQLite, vs reading the file from the disk",
            ours=Value("rates", "restore"),
            peers=(Value("rates", "read_cold"),),
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
            "backup-one-agent-cpu",
            "processor time of that: its backup, the store as it was, and the agent",
            ours=Value("one", "cpu"),
            better=Better.LOWER,
            unit="s",
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
            "backup-quiet",
            "longest commit of the same writer without a backup",
            ours=Value("stall", "quiet_longest"),
            better=Better.LOWER,
            unit="ms",
        ),
        Row(
            "backup-busy",
            "MiB/s backed up beside that writer, over and over",
            ours=Value("stall", "backup_rate"),
            unit=" MiB/s",
        ),
        *(
            Row(
                f"backup-stall-{name}",
                f"{name} of its commits meanwhile, vs without a backup",
                ours=Value("stall", f"busy_{name}"),
                peers=(Value("stall", f"quiet_{name}"),),
                compare=Compare.RATIO,
                better=Better.LOWER,
                value_unit=" ms",
            )
            for name in ("p50", "p99")
        ),
        Row(
            "backup-stall-over",
            "commits that took more than 50 ms meanwhile",
            ours=Value("stall", "busy_over"),
            better=Better.LOWER,
            unit="%",
        ),
        Row(
            "backup-quiet-over",
            "the same without a backup",
            ours=Value("stall", "quiet_over"),
            better=Better.LOWER,
            unit="%",
        ),
    ),
    repeats=1,
)
