"""Why the store inserts as it does: the statement's form, quiet and beside a computing thread."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

WAYS = ("values", "json", "many")


def _measure(way: str, *, burning: bool) -> Measure:
    name = f"{way} + burner" if burning else way
    parameters = {"way": way, "seconds": Size(2, 0.5), "burning": burning}
    return Measure(name, "benchmarks.ours.inserting:grouped", parameters)


def _row(other: str, *, burning: bool) -> Row:
    suffix = " + burner" if burning else ""
    beside = " beside one computing thread" if burning else ""
    return Row(
        f"insert-{other}{'-burner' if burning else ''}",
        f"turns/s inserted as VALUES lists, vs {other}{beside}",
        ours=Value(f"values{suffix}", "per_second"),
        peers=(Value(f"{other}{suffix}", "per_second"),),
        compare=Compare.RATIO,
    )


INSERT = Experiment(
    name="insert",
    title="Ways to insert",
    measures=tuple(_measure(way, burning=burning) for burning in (False, True) for way in WAYS),
    rows=tuple(_row(other, burning=burning) for burning in (False, True) for other in WAYS[1:]),
    repeats=3,
)
