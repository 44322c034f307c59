"""Futures of asks in recorded turns."""

from __future__ import annotations

from typing import TypeVar

from ...hooks.history.record import as_json
from ..pool.future import Future

T = TypeVar("T")


class RecordedFuture(Future[T]):
    """Keep the reply as it was when the turn looked at it first: it may change it afterwards."""

    told: str = ""
    """JSON; empty until then."""

    def get(self, *, timeout: float | None = None) -> T:
        """Return the reply, waiting for it up to ``timeout`` seconds."""
        value = super().get(timeout=timeout)
        if not self.told:
            self.told = as_json(value)
        return value
