"""The words of the benchmarks: sizes, measures, rows, experiments and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Size:
    """A parameter with one value for a real run and a smaller one for ``--quick``."""

    full: float | str
    quick: float | str


@dataclass(frozen=True, slots=True)
class Measure:
    """One function to run in a child process.

    Args:
        name: How rows refer to it; unique within its experiment.
        target: ``module:function``. The function takes a folder and the parameters as keywords, and
            returns a dictionary of figures.
        parameters: Keywords of the function; a `Size` becomes its full or its quick value.
        repeats: Overrides the number of rounds of the experiment, for measures that take minutes.
        timeout: Seconds until the child is killed and the round counts as failed.
    """

    name: str
    target: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    repeats: int | None = None
    timeout: float = 300.0

    def arguments(self, *, quick: bool) -> dict[str, object]:
        """Resolve the sizes among the parameters."""
        return {
            key: (value.quick if quick else value.full) if isinstance(value, Size) else value
            for key, value in self.parameters.items()
        }


@dataclass(frozen=True, slots=True)
class Value:
    """A figure of a measure: which measure, and which key of its result."""

    measure: str
    key: str


class Compare(StrEnum):
    """How a row's figure is made from our value and the peer's."""

    PLAIN = "plain"
    """Our value as it is."""
    RATIO = "ratio"
    """Our value divided by the peer's."""
    CHANGE = "change"
    """Our value against the peer's, as a change in per cent."""
    ADDED = "added"
    """What our value has more than the peer's, in their unit."""


class Better(StrEnum):
    """Which direction is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Args:
        name: What ``--only`` takes.
        title: What people read.
        ours: Our value.
        peers: The peer's set-ups; the row is judged against the fastest of them.
        compare: How the figure is made.
        better: Which direction is good, for the figure and for choosing the fastest peer.
        value_unit: The unit of our value and of the peer's.
        unit: The unit of the figure.
        floor: What we promise; a row without one is information.
        aim: What we work towards.
    """

    name: str
    title: str
    ours: Value
    peers: tuple[Value, ...] = ()
    compare: Compare = Compare.PLAIN
    better: Better = Better.HIGHER
    value_unit: str = "/s"
    unit: str = "x"
    floor: float | None = None
    aim: float | None = None

    @property
    def measures(self) -> frozenset[str]:
        """The measures without which this row has no figure."""
        return frozenset(value.measure for value in (self.ours, *self.peers))


@dataclass(frozen=True, slots=True)
class Experiment:
    """Measures whose rounds are interleaved, and the rows made from them."""

    name: str
    title: str
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    repeats: int = 5


class Verdict(StrEnum):
    """What became of a row."""

    AIM = "aim met"
    FLOOR = "floor met"
    BELOW = "NOT MET"
    INFORMATION = "information"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row with its figures: medians over the rounds, and the range of the figure."""

    experiment: str
    row: Row
    verdict: Verdict
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    ours: float | None = None
    peer: float | None = None
    peer_name: str | None = None
    rounds: int = 0
    note: str = ""
