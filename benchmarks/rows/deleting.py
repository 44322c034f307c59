"""How long an agent with very many rows holds others up when it is deleted."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

_DELETED = "benchmarks.ours.deleting:deleted"
_ENTRIES = Size(500_000, 20_000)
_SECONDS = Size(3, 0.5)


def _measure(name: str, *, erase: bool) -> Measure:
    parameters = {"entries": _ENTRIES, "erase": erase, "seconds": _SECONDS}
    return Measure(name, _DELETED, parameters)


DELETING = Experiment(
    name="deleting",
    title="Agents deleted",
    measures=(_measure("delete", erase=False), _measure("erase", erase=True)),
    rows=tuple(
        Row(
            f"{name}-stall",
            f"longest durable turn, ms, while an agent of 500,000 entries is {what}, vs before",
            ours=Value(name, "stall"),
            peers=(Value(name, "quiet"),),
            compare=Compare.RATIO,
        )
        for name, what in (("delete", "deleted"), ("erase", "erased"))
    ),
)
