"""How much a session may hold, and which texts it takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...persistence.errors import StateError

LARGEST_META: Final = 65_536
"""Characters of JSON."""
LONGEST_NOTE: Final = 2_000
"""Bytes."""
LONGEST_NAME: Final = 256
"""Bytes."""
MOST_NOTES: Final = 100_000
"""Tags and sources that the artifacts in one file have together."""
NAME: Final = "the name of a session"
"""What is stored in the plain of a session, as the detector names it; and the next three."""
NOTE: Final = "the note of a session"
META_OF: Final = "meta of a session"
HISTORY: Final = "the history of a session"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a session may hold of a system's."""

    largest: int
    """Characters of a value."""
    number: Callable[[], int]
    """Gives the next number of a letter; a session's correlation is its negative."""


def checked_text(text: str, what: str, longest: int) -> str:
    """Return a text for people; StateError if it cannot be stored or is too long."""
    try:
        size = len(text.encode())
    except (UnicodeEncodeError, AttributeError):
        raise StateError(what, f"{text!r:.40} cannot be stored as text") from None
    if size > longest:
        raise StateError(what, f"takes {size:,} bytes; {longest:,} are allowed")
    return text


def refuse_control(text: str, what: str) -> None:
    """Raise StateError for a line of text that would do something to a terminal."""
    if not text.isprintable() and any(unicodedata.category(sign) == "Cc" for sign in text):
        raise StateError(what, f"{text!r:.40} holds a control character; leave it out")
