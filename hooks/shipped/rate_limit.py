"""Refuse messages that come too fast: token buckets on the system's clock."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from ...persistence.options import Options
from ..details import Details
from ..hook import Declared, HookOptions
from ..results import Cancel
from ..sets import HookHost
from .choice import WORK, Counted, check_counted, check_names, check_work, counted_as


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Let through ``calls`` messages in ``seconds``, evenly, and ``burst`` of them at once.

    Or so many calls of tools or models.
    One that comes too fast is cancelled, with the seconds to wait in its reason; it takes nothing
    from the bucket. Buckets live in memory: after a restart they are full.

    Args:
        calls: messages let through in ``seconds``.
        seconds: on the system's clock.
        burst: how many may come at once; None: ``calls``.
        per: whose messages share a bucket: "agent", "kind", "all", or a function of the details
            that returns a name, as the caller's: ``lambda details: details.kwargs["user"]``.
        on: methods, tools or models that are limited; empty: all.
        most: buckets that are kept; those not used for longest go first.
        at: "messages", or calls of "tools" or "models".
        name: of this hook.
    """

    calls: float
    seconds: float = 1.0
    burst: int | None = None
    per: Counted = "agent"
    on: str | tuple[str, ...] = ()
    most: int = 10_000
    at: str = "messages"
    name: str = "rate_limit"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        options.number("calls", "messages, above 0")
        options.seconds("seconds")
        options.whole("burst", least=1, none="as many as calls")
        options.whole("most", least=1)
        check_counted(options, self.per)
        check_names(options, self.on)
        check_work(options, self.at)

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return the hook, with buckets of its own."""
        buckets = _Buckets(self, host)
        options = HookOptions(on=self.on, priority=20, record=False)
        yield Declared(WORK[self.at].before, buckets.take, options, self.name)


class _Buckets:
    def __init__(self, limit: RateLimit, host: HookHost) -> None:
        self._limit = limit
        self._rate = limit.calls / limit.seconds
        self._size = float(limit.burst or max(1, limit.calls))
        self._clock = host.monotonic
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left of each, and when that was."""

    def take(self, details: Details) -> Cancel | None:
        """Take one out of the bucket, or cancel."""
        whose, now = counted_as(self._limit.per, details), self._clock()
        with self._lock:
            left, then = self._buckets.get(whose, (self._size, now))
            left = min(self._size, left + (now - then) * self._rate)
            # A hair less than one is one: the sum of small steps never is exactly that.
            taken = left >= 1 - 1e-9
            self._buckets[whose] = (left - 1 if taken else left, now)
            self._buckets.move_to_end(whose)
            while len(self._buckets) > self._limit.most:
                self._buckets.popitem(last=False)
        if taken:
            return None
        wait = (1 - left) / self._rate
        return Cancel(f"too many {self._limit.at} of {whose}; the next in {wait:.3g} s")
