"""Work that is nobody's turn, done by a worker."""

from __future__ import annotations

from collections.abc import Callable


class Chore:
    """Call a function once, on a worker."""

    def __init__(self, function: Callable[[], None]) -> None:
        """Call ``function``."""
        self._function = function

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Do it."""
        self._function()
        return True
