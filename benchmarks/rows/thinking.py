"""What durable runs of language models cost, beside plain ones and those of durable peers."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

TURNS = Size(200, 20)
HALF = Size(100, 10)
"""The question in which it is killed."""
NAMES = {
    "perdure": "benchmarks.ours.thinking:conversation",
    "pydantic-ai": "benchmarks.ours.thinking:plain",
    "dbos": "benchmarks.peers.thinking:dbos",
    "langgraph": "benchmarks.peers.thinking:langgraph",
}
KILLED = {
    "perdure-killed": "benchmarks.ours.thinking:resumed",
    "dbos-killed": "benchmarks.peers.thinking:dbos_resumed",
    "langgraph-killed": "benchmarks.peers.thinking:langgraph_resumed",
}


def _against(
    name: str, title: str, key: str, peers: tuple[str, ...], unit: str, *, ours: str = "perdure"
) -> Row:
    return Row(
        name,
        title,
        ours=Value(ours, key),
        peers=tuple(Value(peer, key) for peer in peers),
        compare=Compare.RATIO,
        better=Better.LOWER,
        value_unit=unit,
        floor=1.0,
        aim=0.5,
    )


THINKING = Experiment(
    name="thinking",
    title="A conversation of 200 questions to a model, each with two tools",
    measures=(
        *(Measure(name, target, {"turns": TURNS}) for name, target in NAMES.items()),
        *(Measure(name, target, {"turns": HALF}) for name, target in KILLED.items()),
    ),
    rows=(
        _against(
            "thinking-step", "a step, beside durable peers", "step", ("dbos", "langgraph"), "ms"
        ),
        Row(
            "thinking-plain",
            "added to a step of pydantic-ai alone",
            ours=Value("perdure", "step"),
            peers=(Value("pydantic-ai", "step"),),
            compare=Compare.ADDED,
            better=Better.LOWER,
            value_unit="ms",
            unit="ms",
            floor=1.0,
            aim=0.3,
        ),
        _against("thinking-bytes", "bytes on disk a question", "bytes", ("dbos", "langgraph"), "B"),
        _against(
            "thinking-resume",
            "killed in the middle: open again until the next step runs",
            "resume",
            ("dbos-killed", "langgraph-killed"),
            "ms",
            ours="perdure-killed",
        ),
    ),
    repeats=2,
)
