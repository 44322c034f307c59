"""Text that came out of a store, made harmless for a terminal.

Keys, values and reasons hold whatever somebody sent to an agent. Shown as they are they could move
the cursor, recolour the screen, forge a line of output or turn the reading direction. So every
character that is not plainly visible is written as an escape.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from ...persistence.errors import ConfigurationError

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (reading direction, joiners), surrogates, private, unassigned, line breaks."""
_MARKS: Final = frozenset({"Mn", "Me"})
MOST_MARKS: Final = 3
"""Marks on one letter: languages need no more, and a heap of them covers the lines around it."""
_PLAIN: Final = re.compile(r"[ -~]*").fullmatch


def safe(value: object, *, encoding: str = "utf-8", limit: int | None = None) -> str:
    """Return one line that shows ``value`` and does nothing else.

    What ``encoding`` cannot express is escaped too. Longer than ``limit`` characters, it is cut
    and ends in ``...``.
    """
    text = str(value)
    if limit is not None and len(text) > limit:
        # Cut first: a value may be megabytes long. Escapes then cannot be cut in half.
        text = text[: max(0, limit - 3)] + "..."
    if _PLAIN(text):
        return text
    shown = "".join(_shown(text))
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _shown(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if category in _HIDDEN or marks > MOST_MARKS:
            yield character.encode("unicode_escape", "surrogatepass").decode("ascii")
        else:
            yield character


def size(number: float) -> str:
    """Return a number of bytes as people read it."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.95:  # noqa: PLR2004 - what one decimal would show as 1000.0
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def count(number: int, one: str, many: str) -> str:
    """Return a number of things."""
    return f"{number:,} {one if number == 1 else many}"


def moment(seconds: float) -> str:
    """Return a time in UTC; a number that is no time of this calendar is returned as it is."""
    try:
        when = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    except (OverflowError, ValueError, OSError):
        return str(seconds)
    return when.strftime("%Y-%m-%d %H:%M:%S")


def seconds_of(text: str | None, what: str) -> float | None:
    """Return the seconds since the epoch of a time in UTC, or of a number of such seconds.

    ConfigurationError for what is neither; None where nothing is given.
    """
    if text is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        when = dt.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return seconds
    form = "give a time, as 2031-05-07 or 2031-05-07 18:00:00 (UTC)"
    message = f"{what} {text!r:.40}: {form}; this is no time"
    raise ConfigurationError(message)
