"""What callers give as seconds and as counts: refused before it is stored, if it makes no sense.

JSON has neither infinity nor NaN. Whoever stored one would store what nobody can read any more.
"""

from __future__ import annotations

from typing import Final

from ...persistence.errors import ConfigurationError

LONGEST: Final = 10**10
"""Seconds; over 300 years."""
LARGEST: Final = 2**63 - 1


def is_duration(seconds: object) -> bool:
    """Tell whether something is a time in seconds: a number above 0, and one that ends."""
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return number and 0 < seconds < LONGEST  # type: ignore[operator]


def is_count(number: object) -> bool:
    """Tell whether something is a whole number from 1."""
    whole = isinstance(number, int) and not isinstance(number, bool)
    return whole and 1 <= number <= LARGEST  # type: ignore[operator]


def checked_seconds(seconds: float, what: str) -> float:
    """Return a time in seconds; ConfigurationError if it is none."""
    if not is_duration(seconds):
        message = f"{what} of {seconds!r:.40} seconds makes no sense; give a number above 0 and"
        raise ConfigurationError(f"{message} below 10,000,000,000")
    return float(seconds)


def checked_limit(limit: int, whose: str) -> int:
    """Return how many somebody wants; ConfigurationError unless that is one or more."""
    if not is_count(limit):
        message = f"{whose}: a limit of {limit!r:.40} makes no sense; give a whole number from 1"
        raise ConfigurationError(message)
    return limit
