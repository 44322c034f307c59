"""When which recorded turns are replayed: once at a moment, every so often, or by cron."""

from __future__ import annotations

from typing import Final

import msgspec

from ..lifecycle.moments import Moments
from ..persistence.options import Options, by_keyword
from .comparison import ReplayRules
from .selection import TurnSelection

KEEP: Final = 20
"""Results kept of one schedule unless it says otherwise."""
CALL: Final = "replay.schedule"


class ReplaySchedule(Moments, frozen=True, kw_only=True):
    """Recorded turns that are replayed at a moment, every so often, or by cron."""

    name: str
    against: str | None = None
    """``MODULE:NAME`` of the classes they run under; None for those of the system."""
    which: TurnSelection = msgspec.field(default_factory=TurnSelection)
    """Which turns."""
    rules: ReplayRules = ReplayRules()
    workers: int = 2
    keep: int = KEEP
    """Results kept; older ones are removed."""

    def check(self) -> None:
        """Raise ConfigurationError for a time, or an option, that makes no sense."""
        options = Options(self, by_keyword(CALL))
        self.check_moments(CALL, self.name)
        if self.against is not None:
            options.kind("against", str, '"desk:Desk"')
        options.kind("rules", ReplayRules, "ReplayRules()")
        options.whole("workers", least=1)
        options.whole("keep", least=1)

    def following(self, now: float) -> float | None:
        """Return the first moment after ``now``, however many were missed; None if there is none.

        ConfigurationError for a cron expression that has none, or where its library is missing.
        """
        return self.next_after(now, CALL)
