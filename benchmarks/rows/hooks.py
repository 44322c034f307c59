"""What hooks add to a turn: nobody listening, and one before-hook that does nothing.

The floor and the aim of a no-op hook are of the one that is not kept in the history: what that
costs is a row for a lone caller, and a part of one in a burst.
"""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

BURSTS = Size(60, 10)
BESIDE = Size(30_000, 1_000)
ASKS = Size(8_000, 500)


def _measure(name: str, function: str, **parameters: object) -> Measure:
    return Measure(name, f"benchmarks.ours.hooks:{function}", parameters)


def _row(
    name: str, title: str, measure: str, *, floor: float | None = None, aim: float | None = None
) -> Row:
    return Row(
        name,
        title,
        ours=Value(measure, "added"),
        compare=Compare.PLAIN,
        better=Better.LOWER,
        value_unit="%",
        unit="%",
        floor=floor,
        aim=aim,
    )


HOOKS = Experiment(
    name="hooks",
    title="What hooks add to a turn",
    measures=(
        _measure("nobody", "nobody", asks=BESIDE),
        _measure("lone", "lone", asks=ASKS, record=False),
        _measure("lone recorded", "lone", asks=ASKS, record=True),
        _measure("bursts", "bursts", slices=BURSTS, record=False),
        _measure("bursts recorded", "bursts", slices=BURSTS, record=True),
    ),
    rows=(
        _row(
            "hooks-nobody",
            "added to a volatile turn to which nobody listens, by hooks that listen elsewhere",
            "nobody",
            floor=1.0,
            aim=0.2,
        ),
        _row(
            "hooks-noop",
            "added to a lone durable ask by one no-op before-hook, not recorded",
            "lone",
            floor=2.0,
            aim=1.0,
        ),
        _row("hooks-noop-recorded", "same, each run kept in the history", "lone recorded"),
        _row(
            "hooks-burst",
            "added to durable turns in bursts by one no-op before-hook, not recorded",
            "bursts",
        ),
        _row("hooks-burst-recorded", "same, each run kept in the history", "bursts recorded"),
    ),
    repeats=3,
)
