"""Futures of asks in recorded turns."""

from __future__ import annotations

from typing import TypeVar

from ...hooks.history.outside import is_same, returned
from ...hooks.history.record import as_json
from ..pool.future import Future

T = TypeVar("T")


class RecordedFuture(Future[T]):
    """Keep the reply as it was when the turn looked at it first: it may change it afterwards."""

    told: str = ""
    """JSON; empty until then."""
    exact: bool = True
    """Whether a replay can give it back."""
    method: object = None
    """Which was called: what it declares to return is what a replay gives."""

    def get(self, *, timeout: float | None = None) -> T:
        """Return the reply, waiting for it up to ``timeout`` seconds."""
        value = super().get(timeout=timeout)
        if not self.told:
            self.told = as_json(value)
            self.exact = is_same(self.told, value, returned(self.method))
        return value
