"""What sessions need of the system around them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ...persistence.errors import StateError
from ..ledger.unit import Unit
from ..scopes.rows import Calls

LARGEST_META: Final = 65_536
"""Characters of JSON."""
LONGEST_NOTE: Final = 2_000
"""Bytes."""
LONGEST_NAME: Final = 256
"""Bytes."""


class SessionCalls(Calls, Protocol):
    """Know what a call belongs to, and commit what belongs to nothing else."""

    def turn(self) -> object:
        """Return the turn under way; None outside of turns."""
        ...

    def commit(self, unit: Unit, *, name: str = "(shared)") -> None:
        """End a unit that is no turn's, and wait until it is durable."""
        ...

    def appended(self) -> int:
        """Return the sequence of the newest commit."""
        ...


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
