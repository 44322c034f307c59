"""Durable, acknowledged turns: against the peers, beside a computing thread, from many callers."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

SECONDS = Size(4, 1)

OURS = Measure("perdure", "benchmarks.ours.turns:open_turns", {"seconds": SECONDS})
PEERS = (
    Measure(
        "langgraph exit",
        "benchmarks.peers.langgraph:turns",
        {"seconds": SECONDS, "durability": "exit"},
    ),
    Measure(
        "langgraph async",
        "benchmarks.peers.langgraph:turns",
        {"seconds": SECONDS, "durability": "async"},
    ),
    Measure("dbos wal", "benchmarks.peers.dbos:turns", {"seconds": SECONDS, "journal": "wal"}),
    Measure(
        "dbos delete", "benchmarks.peers.dbos:turns", {"seconds": SECONDS, "journal": "delete"}
    ),
    Measure("eventsourcing", "benchmarks.peers.eventsourcing:turns", {"seconds": SECONDS}),
    Measure("bare sqlite", "benchmarks.peers.bare_sqlite:grouped", {"seconds": SECONDS}),
)


def _burning(measure: Measure) -> Measure:
    """Return the same measure beside a thread that computes."""
    return Measure(
        f"{measure.name} + burner",
        measure.target,
        {**measure.parameters, "burning": True},
        repeats=3,
    )


BURNING = tuple(
    _burning(measure)
    for measure in (OURS, *PEERS)
    if measure.name not in {"langgraph async", "dbos delete"}
)


def _against(name: str, title: str, *peers: str, floor: float | None, aim: float | None) -> Row:
    return Row(
        name,
        title,
        ours=Value("perdure", "per_second"),
        peers=tuple(Value(peer, "per_second") for peer in peers),
        compare=Compare.RATIO,
        floor=floor,
        aim=aim,
    )


def _beside_burner(measure: str, *, floor: float | None = None, aim: float | None = None) -> Row:
    return Row(
        f"burner-{measure.partition(' ')[0]}",
        f"durable turns/s beside one computing thread, share of quiet: {measure}",
        ours=Value(f"{measure} + burner", "per_second"),
        peers=(Value(measure, "per_second"),),
        compare=Compare.RATIO,
        floor=floor,
        aim=aim,
    )


OPEN_LOOP = Experiment(
    name="durable",
    title="Durable, acknowledged turns to 1,000 agents",
    measures=(
        OURS,
        *PEERS,
        Measure(
            "eventsourcing batch", "benchmarks.peers.eventsourcing:batched", {"seconds": SECONDS}
        ),
        *BURNING,
        Measure(
            "perdure process",
            "benchmarks.ours.turns:open_turns",
            {"seconds": SECONDS, "sync": "process"},
        ),
        Measure(
            "perdure bounded", "benchmarks.ours.turns:open_turns", {"seconds": SECONDS, "keep": 500}
        ),
    ),
    rows=(
        _against(
            "durable-langgraph",
            "durable turns/s, 1,000 agents, vs LangGraph invoke with SqliteSaver, fastest mode",
            "langgraph exit",
            "langgraph async",
            floor=80,
            aim=200,
        ),
        _against(
            "durable-langgraph-default",
            "same, vs LangGraph's default mode",
            "langgraph async",
            floor=None,
            aim=None,
        ),
        _against(
            "durable-dbos",
            "same, vs a DBOS one-step workflow on SQLite, fastest set-up",
            "dbos wal",
            "dbos delete",
            floor=150,
            aim=300,
        ),
        _against(
            "durable-dbos-default",
            "same, vs DBOS as it comes",
            "dbos delete",
            floor=None,
            aim=None,
        ),
        _against(
            "durable-eventsourcing",
            "same, vs eventsourcing save on SQLite",
            "eventsourcing",
            floor=15,
            aim=25,
        ),
        _against(
            "durable-eventsourcing-batch",
            "same, vs eventsourcing saving 100 aggregates in one call",
            "eventsourcing batch",
            floor=None,
            aim=None,
        ),
        _against(
            "durable-bare",
            "same, as a share of bare SQLite inserting the same rows in groups",
            "bare sqlite",
            floor=0.2,
            aim=0.5,
        ),
        Row(
            "durable-process",
            "durable turns/s with sync=process (survives kill -9), vs sync=power",
            ours=Value("perdure process", "per_second"),
            peers=(Value("perdure", "per_second"),),
            compare=Compare.RATIO,
        ),
        Row(
            "durable-bounded",
            "durable turns/s while the journal is kept at its bound, vs a journal that grows",
            ours=Value("perdure bounded", "per_second"),
            peers=(Value("perdure", "per_second"),),
            compare=Compare.RATIO,
            floor=0.7,
            aim=0.9,
        ),
        _beside_burner("perdure", floor=0.6, aim=0.8),
        _beside_burner("langgraph exit"),
        _beside_burner("dbos wal"),
        _beside_burner("eventsourcing"),
        _beside_burner("bare sqlite"),
    ),
)

CLOSED_LOOP = Experiment(
    name="callers",
    title="Durable turns from callers that wait for each answer",
    measures=(
        Measure("one caller", "benchmarks.ours.turns:sequential", {"seconds": SECONDS}),
        *(peer for peer in PEERS if peer.name != "bare sqlite"),
        *(
            Measure(
                f"{callers} callers",
                "benchmarks.ours.turns:callers",
                {"callers": callers, "seconds": SECONDS},
            )
            for callers in (8, 64)
        ),
    ),
    rows=(
        *(
            Row(
                f"caller-{peers[0].partition(' ')[0]}",
                f"durable turns/s from one caller that waits for each, vs {against}",
                ours=Value("one caller", "per_second"),
                peers=tuple(Value(peer, "per_second") for peer in peers),
                compare=Compare.RATIO,
                floor=floor,
                aim=aim,
            )
            for peers, against, floor, aim in (
                (("langgraph exit", "langgraph async"), "LangGraph invoke, fastest mode", 4, 6),
                (("dbos wal", "dbos delete"), "a DBOS workflow, fastest set-up", 8, 12),
                (("eventsourcing",), "eventsourcing save", 1, 1.3),
            )
        ),
        *(
            Row(
                f"callers-{callers}",
                f"durable turns/s, closed loop, {callers} callers",
                ours=Value(f"{callers} callers", "per_second"),
                unit="/s",
            )
            for callers in (8, 64)
        ),
    ),
    repeats=3,
)
