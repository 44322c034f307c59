"""How much a shared thing may hold, and the counts that it is held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from ...persistence.errors import ConfigurationError
from .amounts import is_count, is_duration

DEFAULT_ITEMS: Final = 10_000
DEFAULT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a topic, a pipeline, a board of requests or a document may hold.

    A full one refuses its senders with QuotaExceeded. Nothing is trimmed to make room but what has
    outlived its ``ttl``.
    """

    items: int = DEFAULT_ITEMS
    bytes: int = DEFAULT_BYTES
    """Of the values' JSON text."""
    ttl: float | None = None
    """Seconds after which what nobody took is gone; None: never."""

    def __post_init__(self) -> None:
        """Refuse what could never hold anything, and what cannot be stored as it is."""
        lasting = self.ttl is None or is_duration(self.ttl)
        if not (is_count(self.items) and is_count(self.bytes) and lasting):
            message = f"{self!s:.100} makes no sense; give whole numbers from 1 for items and bytes"
            raise ConfigurationError(f"{message}, and for ttl None or seconds below 10,000,000,000")

    def until(self, now: float) -> float | None:
        """Return when what comes now is gone."""
        return None if self.ttl is None else now + self.ttl

    def overrun(self, items: int, size: int) -> str:
        """Say what is too much; nothing if there is room."""
        if items > self.items:
            return f"its quota of {self.items:,} items"
        if size > self.bytes:
            return f"its quota of {self.bytes:,} bytes"
        return ""


class Counts:
    """Add to a row of numbers by name.

    Additions commute, so none of them makes a turn begin again, however many add at once.
    """

    def __init__(self, changes: Mapping[str, int]) -> None:
        """Remember what to add to which number."""
        self._changes = changes

    def __call__(self, text: str | None) -> str:
        """Return the sums as JSON text."""
        sums = counted(text)
        for name, change in self._changes.items():
            sums[name] = sums.get(name, 0) + change
        return msgspec.json.encode(sums).decode()


def counted(text: str | None) -> dict[str, int]:
    """Return a row of numbers by name."""
    return {} if text is None else msgspec.json.decode(text, type=dict[str, int])


def size_of(text: str) -> int:
    """Return the bytes of a text."""
    return len(text) if text.isascii() else len(text.encode())
