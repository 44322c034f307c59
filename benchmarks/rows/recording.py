"""What it costs to record whole turns."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

_SECONDS = Size(4, 1)
_TURNS = "benchmarks.ours.turns:open_turns"

RECORDING = Experiment(
    name="recording",
    title="Recorded turns",
    measures=(
        Measure("unrecorded", _TURNS, {"seconds": _SECONDS}),
        Measure("recorded", _TURNS, {"seconds": _SECONDS, "recorded": True}),
    ),
    rows=(
        Row(
            "recorded",
            "durable turns/s of agents whose turns are recorded, as a share of those that are not",
            ours=Value("recorded", "per_second"),
            peers=(Value("unrecorded", "per_second"),),
            compare=Compare.RATIO,
            floor=0.6,
            aim=0.8,
        ),
    ),
)
