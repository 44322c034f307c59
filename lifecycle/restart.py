"""Restart policy: how often, how fast, and when to give up.

Source of the ideas: Erlang/OTP supervisors (strategies, restart intensity, escalation).
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass, field

from ..persistence.options import Options
from .backoff import Backoff


class Strategy(enum.StrEnum):
    """Who is restarted when one member of a group fails."""

    ONE_FOR_ONE = "one_for_one"
    """The one that failed."""
    ONE_FOR_ALL = "one_for_all"
    """All members."""
    REST_FOR_ONE = "rest_for_one"
    """The one that failed and those that joined after it."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Restart at most ``restarts`` times ``within`` seconds; more often is given up.

    A message whose handler raised is tried ``attempts`` times in all, then goes to the dead
    letters.
    """

    attempts: int = 3
    restarts: int = 30
    within: float = 60.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.05, longest=10.0))

    def __post_init__(self) -> None:
        """Refuse a policy that would never try a message."""
        options = Options(self)
        options.whole("attempts", least=1)
        options.whole("restarts", least=0)
        options.number("within", "seconds above 0", most=math.inf)
        options.kind("backoff", Backoff, "Backoff(first=0.1)")


class Intensity:
    """Count restarts within a sliding period. Not thread-safe."""

    __slots__ = ("_moments", "_policy")

    def __init__(self, policy: RestartPolicy) -> None:
        """Begin with no restarts."""
        self._policy = policy
        # No more moments are kept than it takes to see that there were too many.
        self._moments: deque[float] = deque(maxlen=policy.restarts + 1)

    def record(self, now: float) -> int | None:
        """Count a restart; return how many there were in the period, None if too many."""
        moments = self._moments
        moments.append(now)
        while moments[0] <= now - self._policy.within:
            moments.popleft()
        return None if len(moments) > self._policy.restarts else len(moments)

    def count(self, now: float) -> int:
        """Return how many restarts were counted in the period that ends ``now``."""
        return sum(moment > now - self._policy.within for moment in self._moments)

    def clear(self) -> None:
        """Forget all restarts."""
        self._moments.clear()
