"""Messages without an answer: against pykka's threads, and with auto-save against without."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

TELLS = Experiment(
    name="tells",
    title="Tells to 2,000 volatile agents",
    measures=(
        Measure(
            "perdure",
            "benchmarks.ours.tells:tells",
            {"actors": 2_000, "messages": Size(400, 40)},
        ),
        Measure(
            "pykka",
            "benchmarks.peers.pykka:tells",
            {"actors": 2_000, "messages": Size(20, 5)},
        ),
    ),
    rows=(
        Row(
            "tells",
            "tells/s, 2,000 volatile agents, vs pykka ThreadingActor",
            ours=Value("perdure", "per_second"),
            peers=(Value("pykka", "per_second"),),
            compare=Compare.RATIO,
            floor=25,
            aim=60,
        ),
    ),
)

SNAPSHOT = Experiment(
    name="snapshot",
    title="1,000 agents saved every second, against the same agents without persistence",
    measures=(
        Measure(
            "snapshot",
            "benchmarks.ours.tells:saved",
            {"actors": 1_000, "seconds": Size(6, 2), "snapshot": True},
        ),
        Measure(
            "volatile",
            "benchmarks.ours.tells:saved",
            {"actors": 1_000, "seconds": Size(6, 2), "snapshot": False},
        ),
        Measure(
            "snapshot cast",
            "benchmarks.ours.tells:saved",
            {"actors": 1_000, "seconds": Size(6, 2), "snapshot": True, "typed": True},
        ),
        Measure(
            "volatile cast",
            "benchmarks.ours.tells:saved",
            {"actors": 1_000, "seconds": Size(6, 2), "snapshot": False, "typed": True},
        ),
    ),
    rows=(
        Row(
            "snapshot",
            "SNAPSHOT agents with auto-save every second vs no persistence",
            ours=Value("snapshot", "per_second"),
            peers=(Value("volatile", "per_second"),),
            compare=Compare.CHANGE,
            unit="%",
            floor=-10,
            aim=-3,
        ),
        Row(
            "snapshot-cast",
            "same, told by method: ref.cast(Counter.add, 1)",
            ours=Value("snapshot cast", "per_second"),
            peers=(Value("volatile cast", "per_second"),),
            compare=Compare.CHANGE,
            unit="%",
        ),
    ),
)
