"""What scripts cost: a call of the host from each language, and the start of a script."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

CALLS = Size(4_000, 200)
STARTS = Size(40, 5)
LANGUAGES = {"lua": ("Lua", 1.0), "javascript": ("JavaScript", 1.0), "python": ("Python", 5.0)}
"""By their names: how they are written, and the floor of a call in milliseconds."""


def _row(key: str, name: str, title: str, floor: float, aim: float) -> Row:
    return Row(
        f"script-{key}-{name}",
        title,
        ours=Value(name, key),
        compare=Compare.PLAIN,
        better=Better.LOWER,
        value_unit="ms",
        unit="ms",
        floor=floor,
        aim=aim,
    )


SCRIPTS = Experiment(
    name="scripts",
    title="What scripts cost",
    measures=tuple(
        Measure(
            name,
            "benchmarks.ours.scripts:costs",
            {"language": name, "calls": CALLS, "starts": STARTS},
        )
        for name in LANGUAGES
    ),
    rows=tuple(
        row
        for name, (title, floor) in LANGUAGES.items()
        for row in (
            _row("call", name, f"a save from {title}", floor, floor / 10),
            _row(
                "warm",
                name,
                f"a script in {title} with one save, in a warm worker, until it is durable",
                50.0,
                5.0,
            ),
        )
    ),
    repeats=3,
)
