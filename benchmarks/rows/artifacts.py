"""Artifacts, against copying files and flushing them."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

_MEGABYTES = {"megabytes": Size(256, 16)}
_SMALL = {"callers": 8, "seconds": Size(3, 0.5), "size": 4096}


def _row(
    name: str,
    title: str,
    key: str,
    peer: str = "",
    *,
    small: bool = False,
    floor: float | None = None,
    aim: float | None = None,
) -> Row:
    suffix = " small" if small else ""
    return Row(
        name,
        title,
        ours=Value(f"perdure{suffix}", key),
        peers=(Value(f"file{suffix}", peer or key),),
        compare=Compare.RATIO,
        value_unit="/s" if small else " MiB/s",
        floor=floor,
        aim=aim,
    )


ARTIFACTS = Experiment(
    name="artifacts",
    title="Artifacts",
    measures=(
        Measure("perdure", "benchmarks.ours.artifacts:large", _MEGABYTES),
        Measure("file", "benchmarks.peers.files:copies", _MEGABYTES),
        Measure("perdure small", "benchmarks.ours.artifacts:small", _SMALL),
        Measure("file small", "benchmarks.peers.files:small", _SMALL),
    ),
    rows=(
        _row("artifact-save", "MiB/s saved as one artifact, vs file copy and fsync", "save"),
        _row("artifact-read", "MiB/s read back, verified, vs file copy and fsync", "read"),
        _row(
            "artifact-again", "MiB/s saved that are stored already, vs file copy", "again", "save"
        ),
        _row(
            "artifact-small",
            "artifacts of 4 KiB/s from 8 callers, vs files with fsync",
            "per_second",
            small=True,
            floor=1.0,
            aim=2.0,
        ),
    ),
    repeats=3,
)
