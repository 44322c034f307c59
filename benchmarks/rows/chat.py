"""A web service that keeps conversations, beside the same one on plain sqlite3."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

CALLERS = (1, 16, 128)
SECONDS = Size(4, 1)


def _measure(side: str, target: str, callers: int) -> Measure:
    parameters = {"callers": callers, "seconds": SECONDS}
    return Measure(f"{side} {callers}", f"benchmarks.{target}.chat:serve", parameters)


def _per_second(callers: int, *, floor: float, aim: float) -> Row:
    return Row(
        f"chat-{callers}",
        f"same, requests/s of {callers} callers",
        ours=Value(f"perdure {callers}", "per_second"),
        peers=(Value(f"plain sqlite3 {callers}", "per_second"),),
        compare=Compare.RATIO,
        floor=floor,
        aim=aim,
    )


CHAT = Experiment(
    name="chat",
    title="A chat service on FastAPI",
    measures=tuple(
        _measure(side, target, callers)
        for callers in CALLERS
        for side, target in (("perdure", "ours"), ("plain sqlite3", "peers"))
    ),
    rows=(
        Row(
            "chat-1",
            "a chat service on FastAPI, p50 of 1 caller, vs the same on plain sqlite3 (WAL, FULL)",
            ours=Value("perdure 1", "p50_ms"),
            peers=(Value("plain sqlite3 1", "p50_ms"),),
            compare=Compare.RATIO,
            better=Better.LOWER,
            value_unit="ms",
            floor=1.3,
            aim=1.1,
        ),
        _per_second(16, floor=1.0, aim=1.3),
        _per_second(128, floor=1.0, aim=1.5),
    ),
)
