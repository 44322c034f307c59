"""What hooks add to a turn: nobody listening, and one before-hook that does nothing."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

BURSTS = Size(60, 10)
TURNS = Size(150, 20)
ASKS = Size(60, 8)


def _measure(name: str, function: str, slices: Size, **parameters: object) -> Measure:
    target = f"benchmarks.ours.hooks:{function}"
    return Measure(name, target, {"slices": slices, **parameters})


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
        _measure("nobody", "nobody", TURNS),
        _measure("lone", "lone", ASKS, record=False),
        _measure("lone recorded", "lone", ASKS, record=True),
        _measure("bursts", "bursts", BURSTS, record=False),
        _measure("bursts recorded", "bursts", BURSTS, record=True),
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
