"""Looking for secrets in plain fields."""

from __future__ import annotations

from ..model import Compare, Experiment, Measure, Row, Size, Value

SECONDS = Size(4, 1)

DETECTOR = Experiment(
    name="detector",
    title="Looking for secrets in plain fields",
    measures=(
        *(
            Measure(kind, "benchmarks.ours.secrets:look", {"kind": kind})
            for kind in ("text", "json", "id")
        ),
        Measure("watched", "benchmarks.ours.secrets:turns", {"seconds": SECONDS, "watched": True}),
        Measure("plain", "benchmarks.ours.secrets:turns", {"seconds": SECONDS, "watched": False}),
    ),
    rows=(
        Row(
            "detector-text",
            "a look for secrets in 200 characters of text",
            ours=Value("text", "us"),
            unit="us",
        ),
        Row(
            "detector-json",
            "same, in as much JSON with names in it",
            ours=Value("json", "us"),
            unit="us",
        ),
        Row(
            "detector-id",
            "same, in text with an id of 36 characters, which could be a token",
            ours=Value("id", "us"),
            unit="us",
        ),
        Row(
            "detector-turns",
            "durable turns/s with a text of 200 characters, looked at vs not",
            ours=Value("watched", "per_second"),
            peers=(Value("plain", "per_second"),),
            compare=Compare.CHANGE,
            unit="%",
        ),
    ),
    repeats=3,
)
