"""Shared keys: reading, writing, a million of them."""

from __future__ import annotations

from dataclasses import replace

from ..model import Better, Compare, Experiment, Measure, Row, Size, Value

_TOGETHER = {"keys": Size(10_000, 2_000), "rounds": Size(20, 3)}


def _writing(what: str, threads: int) -> Measure:
    parameters = {"what": what, "threads": threads, "seconds": Size(4, 0.5)}
    return Measure(f"{what} x{threads}", "benchmarks.ours.scopes:writing", parameters)


def _rate(what: str, threads: int, title: str) -> Row:
    name = f"scoped-{what}-{threads}"
    return Row(name, title, ours=Value(f"{what} x{threads}", "per_second"), unit="/s")


def _time(name: str, title: str, measure: str, unit: str) -> Row:
    key = name.removeprefix("scoped-").replace("-", "_")
    return Row(name, title, ours=Value(measure, key), better=Better.LOWER, unit=unit)


def _cached(name: str, title: str) -> Row:
    row = _time(name, title, "reading", "us")
    return replace(row, floor=3.5, aim=2.0)


SCOPES = Experiment(
    name="scopes",
    title="Shared keys",
    measures=(
        Measure("reading", "benchmarks.ours.scopes:reading", {"rounds": Size(100_000, 5_000)}),
        *(_writing(what, threads) for what in ("set", "increment") for threads in (1, 64)),
        _writing("turns", 64),
        _writing("adding", 64),
        Measure("together", "benchmarks.ours.scopes:together", _TOGETHER),
        Measure("bare", "benchmarks.peers.bare_sqlite:keys_together", _TOGETHER),
    ),
    rows=(
        _cached("scoped-get-us", "read of a cached key"),
        _cached("scoped-own-us", "same, by a user in its own scope"),
        _cached("scoped-many-us", "same, each of 100 at once"),
        _rate("set", 1, "durable sets/s, one caller"),
        _rate("set", 64, "durable sets/s, 64 threads"),
        _rate("increment", 1, "durable increments/s of one key, one caller"),
        _rate("increment", 64, "durable increments/s of one key, 64 threads"),
        _rate("turns", 64, "durable turns/s that increment one key, 64 agents"),
        _rate("adding", 64, "durable turns/s that add to one key, 64 agents"),
        Row(
            "scoped-together",
            "keys/s set in one transaction of 10,000, vs bare SQLite",
            ours=Value("together", "per_second"),
            peers=(Value("bare", "per_second"),),
            compare=Compare.RATIO,
            floor=0.2,
            aim=0.5,
        ),
    ),
    repeats=3,
)

MILLION_KEYS = Experiment(
    name="million-keys",
    title="A million shared keys",
    measures=(
        Measure(
            "perdure",
            "benchmarks.ours.scopes:million",
            {"keys": Size(1_000_000, 20_000)},
            timeout=1_800,
        ),
    ),
    rows=(
        _time("scoped-open-ms", "open a store with 1,000,000 keys", "perdure", "ms"),
        _time("scoped-page-ms", "its first page of 100 keys, cold", "perdure", "ms"),
        _time("scoped-middle-ms", "a page in the middle", "perdure", "ms"),
        _time("scoped-count-s", "count them", "perdure", "s"),
        _time("scoped-growth-mib", "memory after reading 200,000 of them", "perdure", "MiB"),
        _time("scoped-bytes-per-key", "bytes on disk per key", "perdure", "B"),
        Row(
            "scoped-fill",
            "keys/s set in transactions of 10,000",
            ours=Value("perdure", "per_second"),
            unit="/s",
        ),
    ),
    repeats=1,
)
