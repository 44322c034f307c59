"""A timeline among a million events, and what its indexes cost."""

from __future__ import annotations

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

_EVENTS = Size(200_000, 20_000)
_OF = {"hook": "executions of hooks", "letter": "dead letters", "decision": "decisions"}

TIMELINE = Experiment(
    name="timeline",
    title="A timeline among a million events",
    measures=(
        Measure(
            "perdure",
            "benchmarks.ours.timeline:pages",
            {"events": Size(1_000_000, 20_000), "samples": Size(50, 5)},
            repeats=1,
            timeout=900,
        ),
        *(
            Measure(
                what,
                "benchmarks.ours.timeline:searches",
                {"events": Size(100_000, 5_000), "what": what},
                repeats=1,
                timeout=900,
            )
            for what in _OF
        ),
        Measure(
            "indexed", "benchmarks.ours.timeline:commits", {"events": _EVENTS, "indexed": True}
        ),
        Measure("bare", "benchmarks.ours.timeline:commits", {"events": _EVENTS, "indexed": False}),
    ),
    rows=(
        *(
            Row(
                name,
                title,
                ours=Value("perdure", key),
                better=Better.LOWER,
                unit="ms",
                floor=50.0,
                aim=10.0,
            )
            for name, title, key in (
                ("timeline", "a page of 100 among 1,000,000 events, of a chain, p50", "chain_ms"),
                ("timeline-newest", "same: the newest of all", "newest_ms"),
                ("timeline-agent", "same: the newest of an agent", "agent_ms"),
                ("timeline-search", "same: those that hold a text", "search_ms"),
            )
        ),
        Row(
            "timeline-first-search",
            "same: the first search of all, which makes the index",
            ours=Value("perdure", "first_search_s"),
            better=Better.LOWER,
            unit="s",
        ),
        *(
            Row(
                f"timeline-{first}search-{what}s",
                f"processor time of {which} that finds nothing among 100,000 {each}",
                ours=Value(what, key),
                better=Better.LOWER,
                unit=unit,
            )
            for what, each in _OF.items()
            for first, which, key, unit in (
                ("", "a search", "ms", "ms"),
                ("first-", "the first search, without an index,", "first_s", "s"),
            )
        ),
        Row(
            "timeline-commits",
            "journal rows per second of processor time with the indexes, over those without",
            ours=Value("indexed", "per_second"),
            peers=(Value("bare", "per_second"),),
            compare=Compare.RATIO,
            floor=0.9,
            aim=0.97,
        ),
    ),
    repeats=3,
)
