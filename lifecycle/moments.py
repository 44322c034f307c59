"""When something falls due: once at a moment, every so often, or by cron."""

from __future__ import annotations

import math
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ..hooks.shipped.needed import needed
from ..persistence.errors import ConfigurationError
from ..persistence.options import Options, by_keyword

SHORTEST: Final = 1.0
"""Seconds between two moments at least."""
EARLY: Final = 0.001
"""Seconds by which a wait may be too short: clocks count in fractions that do not add up."""
_FORM: Final = 'minute, hour, day, month and weekday, as in "0 3 * * *"'


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """When something is done: at one moment, every so often, or by a cron expression."""

    at: float | None = None
    """Once, at this moment: seconds since the epoch."""
    every: float | None = None
    """Every so many seconds, counted from when it was made."""
    cron: str | None = None
    """By a cron expression: ``0 3 * * *``."""
    zone: str = "UTC"
    """The time zone of ``cron``."""
    made: float = 0.0
    due: float | None = None
    """When it runs next; None once its one moment is over."""

    def check_moments(self, call: str, name: str) -> None:
        """Raise ConfigurationError for a time that makes no sense; ``call`` is how it was given."""
        options = Options(self, by_keyword(call))
        if sum(each is not None for each in (self.at, self.every, self.cron)) != 1:
            message = f"{call}({name!r}): give one of at=, every= and cron="
            raise ConfigurationError(message)
        options.number("at", "seconds since the epoch", zero=True, none="another time")
        options.number("every", f"seconds, {SHORTEST:g} or more", none="another time")
        if self.every is not None and self.every < SHORTEST:
            raise options.wrong("every", f"seconds, {SHORTEST:g} or more")
        self._zone(call)

    def put_off(self, now: float) -> bool:
        """Tell whether it waits for more than its period, because the clock was set back."""
        if self.due is None or self.every is None:
            return False  # by cron and at a moment it is due when the clock says so
        return self.due - now > self.every + SHORTEST

    def next_after(self, now: float, call: str) -> float | None:
        """Return the first moment after ``now``, however many were missed; None if there is none.

        ConfigurationError for a cron expression that has none, or where its library is missing.
        """
        if self.every is not None:
            begun = self.made if self.due is None else self.due
            return begun + self.every * (math.floor((now + EARLY - begun) / self.every) + 1)
        if self.cron is not None:
            return self._by_cron(now if self.due is None else max(now, self.due), call)
        return self.at if self.due is None else None

    def _by_cron(self, after: float, call: str) -> float:
        cronsim: Any = needed("cronsim", "cron", f"{call}(cron=...)")
        begin = datetime.fromtimestamp(after, UTC).astimezone(self._zone(call))
        try:
            found = next(cronsim.CronSim(self.cron, begin), None)
        except (cronsim.CronSimError, AttributeError) as error:
            raise Options(self, by_keyword(call)).wrong("cron", _FORM) from error
        if found is None:
            raise Options(self, by_keyword(call)).wrong("cron", f"{_FORM} that comes some day")
        moment: float = found.timestamp()
        return moment

    def _zone(self, call: str) -> tzinfo:
        if self.zone == "UTC":
            return UTC  # also on a machine that knows no zones
        try:
            return ZoneInfo(self.zone)
        except (LookupError, ValueError, OSError, TypeError, AttributeError) as error:
            form = 'a time zone of this machine, as "Europe/Paris"'
            raise Options(self, by_keyword(call)).wrong("zone", form) from error
