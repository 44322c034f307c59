"""Migrations over a chain of five versions, against SQLite rewriting the same rows."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value


def _rate(name: str, title: str, value: str) -> Row:
    return Row(
        name,
        title,
        ours=Value("rates", value),
        peers=(Value("rates", "bare"),),
        compare=Compare.RATIO,
        value_unit="/s",
    )


MIGRATING = Experiment(
    name="migrating",
    title="Agents migrated over five versions of their class",
    measures=(
        Measure(
            "rates",
            "benchmarks.ours.migrating:rates",
            {"agents": Size(100_000, 2_000)},
            timeout=1_800,
        ),
    ),
    rows=(
        _rate(
            "migrate-eager",
            "agents migrated at once, tried first, vs SQLite decoding and updating the same rows",
            "eager",
        ),
        _rate("migrate-lazy", "agents migrated when they wake up and reply, vs the same", "lazy"),
        Row(
            "schema-check",
            "classes compared with what is stored, at an opening",
            ours=Value("rates", "check"),
            better=Better.LOWER,
            unit="ms",
            floor=1.0,
        ),
    ),
    repeats=1,
)
