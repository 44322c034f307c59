"""A long conversation: what it leaves on the disk, and whether its turns become slower."""

from __future__ import annotations

from ..model import Better, Experiment, Measure, Row, Size, Value

TURNS = Size(2_000, 400)

PEERS: dict[str, tuple[str, str, dict[str, object]]] = {
    "langgraph list": (
        "LangGraph, list reducer",
        "benchmarks.peers.langgraph:conversation",
        {"turns": TURNS, "durability": "exit"},
    ),
    "langgraph list async": (
        "LangGraph, list reducer, default mode",
        "benchmarks.peers.langgraph:conversation",
        {"turns": TURNS, "durability": "async"},
    ),
    "langgraph delta": (
        "LangGraph, DeltaChannel (beta)",
        "benchmarks.peers.langgraph:conversation",
        {"turns": TURNS, "durability": "exit", "delta": True},
    ),
    "eventsourcing": (
        "eventsourcing",
        "benchmarks.peers.eventsourcing:conversation",
        {"turns": TURNS},
    ),
}


def _bytes(
    name: str, title: str, measure: str, floor: float | None = None, aim: float | None = None
) -> Row:
    return Row(
        name,
        title,
        ours=Value(measure, "per_payload"),
        better=Better.LOWER,
        value_unit="x",
        floor=floor,
        aim=aim,
    )


def _slowdown(
    name: str, title: str, measure: str, floor: float | None = None, aim: float | None = None
) -> Row:
    return Row(
        name,
        title,
        ours=Value(measure, "slowdown"),
        better=Better.LOWER,
        value_unit="x",
        floor=floor,
        aim=aim,
    )


CONVERSATION = Experiment(
    name="conversation",
    title="A conversation of 2,000 turns of 200 bytes",
    measures=(
        Measure("perdure", "benchmarks.ours.turns:conversation", {"turns": TURNS}),
        *(
            Measure(name, target, parameters, repeats=3)
            for name, (_, target, parameters) in PEERS.items()
        ),
    ),
    rows=(
        _bytes(
            "conversation-bytes",
            "2,000-turn conversation: bytes on disk vs payload",
            "perdure",
            floor=3.0,
            aim=2.0,
        ),
        *(
            _bytes(f"conversation-bytes-{name.replace(' ', '-')}", f"same: {title}", name)
            for name, (title, _, _) in PEERS.items()
        ),
        _slowdown(
            "conversation-time",
            "2,000-turn conversation: time of turn 2,000 vs turn 100",
            "perdure",
            floor=1.1,
            aim=1.0,
        ),
        *(
            _slowdown(f"conversation-time-{name.replace(' ', '-')}", f"same: {title}", name)
            for name, (title, _, _) in PEERS.items()
        ),
    ),
)
