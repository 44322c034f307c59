"""How much of the history is kept, and which of it goes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...persistence.options import Options
from ...persistence.records.tables import Row


@dataclass(frozen=True, slots=True)
class HistoryRetention:
    """Keep executions of hooks for ``seconds``, at most ``runs`` of them and ``size`` bytes packed.

    ``None`` is no limit. Where there is too much, segments in which nothing intervened go first,
    the oldest of them first; the newest segment and what is pinned stay.
    """

    seconds: float | None = 30 * 86400.0
    runs: int | None = 10_000_000
    size: int | None = 500_000_000

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        options = Options(self)
        options.seconds("seconds", none="no limit")
        options.whole("runs", least=1, none="no limit")
        options.whole("size", least=1, none="no limit")


def outdated(segments: Sequence[Row], retention: HistoryRetention, now: float) -> list[int]:
    """Return the first sequences of the segments that go; ``segments`` as far as their data."""
    kept = list(segments[:-1])
    gone = []
    if retention.seconds is not None:
        gone = [row for row in kept if float(str(row[3])) < now - retention.seconds]
        kept = [row for row in kept if row not in gone]
    by_importance = sorted(kept, key=lambda row: (int(str(row[6])), int(str(row[0]))))
    runs = sum(int(str(row[4])) for row in (*kept, *segments[-1:]))
    size = sum(int(str(row[5])) for row in (*kept, *segments[-1:]))
    for row in by_importance:
        over = (retention.runs is not None and runs > retention.runs) or (
            retention.size is not None and size > retention.size
        )
        if not over:
            break
        gone.append(row)
        runs -= int(str(row[4]))
        size -= int(str(row[5]))
    return sorted(int(str(row[0])) for row in gone)
