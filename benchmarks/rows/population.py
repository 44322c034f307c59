"""Many agents: activation, memory, a million of them."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

ACTIVATION = Experiment(
    name="activation",
    title="Dormant agents coming back",
    measures=(
        Measure(
            "perdure",
            "benchmarks.ours.population:activation",
            {"actors": Size(20_000, 2_000), "samples": Size(5_000, 500)},
        ),
    ),
    rows=(
        Row(
            "activation",
            "cold activation of a dormant agent, p50",
            ours=Value("perdure", "p50_ms"),
            better=Better.LOWER,
            unit="ms",
            floor=0.3,
            aim=0.05,
        ),
        Row(
            "activation-p99",
            "same, p99",
            ours=Value("perdure", "p99_ms"),
            better=Better.LOWER,
            unit="ms",
        ),
    ),
)

MEMORY = Experiment(
    name="memory",
    title="Live idle agents",
    measures=(
        Measure("perdure", "benchmarks.ours.population:memory", {"actors": Size(50_000, 5_000)}),
        Measure("pykka", "benchmarks.peers.pykka:memory", {"actors": Size(4_000, 1_000)}),
    ),
    rows=(
        Row(
            "memory",
            "memory per live idle agent",
            ours=Value("perdure", "kib"),
            better=Better.LOWER,
            unit="KiB",
            floor=4,
            aim=2,
        ),
        Row(
            "memory-pykka",
            "same: pykka ThreadingActor",
            ours=Value("pykka", "kib"),
            better=Better.LOWER,
            unit="KiB",
        ),
    ),
    repeats=3,
)

CREATED = Experiment(
    name="created",
    title="New agents against those that exist",
    measures=(
        Measure(
            "created",
            "benchmarks.ours.population:created",
            {"actors": Size(100_000, 5_000)},
        ),
        Measure("existing", "benchmarks.ours.turns:open_turns", {"seconds": Size(4, 1)}),
    ),
    rows=(
        Row(
            "created",
            "agents/s created, each with one durable turn, vs turns/s of 1,000 that exist",
            ours=Value("created", "per_second"),
            peers=(Value("existing", "per_second"),),
            compare=Compare.RATIO,
            floor=0.35,
            aim=0.6,
        ),
    ),
)

MILLION = Experiment(
    name="million",
    title="A million agents",
    measures=(
        Measure(
            "perdure",
            "benchmarks.ours.population:million",
            {"actors": Size(1_000_000, 20_000)},
            timeout=1_800,
        ),
    ),
    rows=(
        Row(
            "open",
            "open a store with 1,000,000 dormant agents",
            ours=Value("perdure", "open_s"),
            better=Better.LOWER,
            unit="s",
            floor=0.1,
            aim=0.01,
        ),
        Row(
            "million-rate",
            "agents/s created, each with one durable turn",
            ours=Value("perdure", "per_second"),
            unit="/s",
        ),
        Row(
            "million-peak",
            "peak resident memory meanwhile",
            ours=Value("perdure", "peak_mib"),
            better=Better.LOWER,
            unit="MiB",
        ),
        Row(
            "million-bytes",
            "bytes on disk per agent",
            ours=Value("perdure", "bytes_per_agent"),
            better=Better.LOWER,
            unit="B",
        ),
    ),
    repeats=1,
)
