"""What saving did so far, counted where it happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SaveStatistics:
    """What the supervisor did; counts rise only for what really happened.

    ``attempted == succeeded + failed`` at every moment.
    """

    attempted: int
    """Transactions tried."""
    succeeded: int
    failed: int
    commits: int
    """Commits made durable."""
    backlog: int
    """Commits not durable yet."""
    oldest_unsaved: float
    """Seconds since the oldest of them was made; 0.0 if all are durable."""
    seconds: float
    """Time spent in transactions that succeeded."""
    slowest: float
    """Seconds the slowest of them took."""
    opened: int
    """Times the breaker opened."""
    breaker: str
    swamped: bool
    """Too much is unsaved: agents are held until half of it is durable."""
    last_error: str
    """Why the latest attempt failed; empty after one that did not."""

    @property
    def mean(self) -> float:
        """Seconds a transaction that succeeded took on average."""
        return self.seconds / self.succeeded if self.succeeded else 0.0


class SaveCounts:
    """Count saves. Not thread-safe; its owner calls it under a lock."""

    __slots__ = ("commits", "failed", "last_error", "opened", "seconds", "slowest", "succeeded")

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.succeeded = 0
        self.failed = 0
        self.commits = 0
        self.opened = 0
        self.seconds = 0.0
        self.slowest = 0.0
        self.last_error: Exception | None = None

    def count_success(self, commits: int, seconds: float) -> None:
        """Count a transaction that made ``commits`` durable."""
        self.succeeded += 1
        self.commits += commits
        self.seconds += seconds
        self.slowest = max(self.slowest, seconds)
        self.last_error = None

    def count_failure(self, error: Exception) -> None:
        """Count a transaction that failed."""
        self.failed += 1
        self.last_error = error

    def statistics(
        self, *, backlog: int, oldest_unsaved: float, breaker: str, swamped: bool
    ) -> SaveStatistics:
        """Return the counts with how things stand."""
        return SaveStatistics(
            attempted=self.succeeded + self.failed,
            succeeded=self.succeeded,
            failed=self.failed,
            commits=self.commits,
            backlog=backlog,
            oldest_unsaved=oldest_unsaved,
            seconds=self.seconds,
            slowest=self.slowest,
            opened=self.opened,
            breaker=breaker,
            swamped=swamped,
            last_error=str(self.last_error or ""),
        )
