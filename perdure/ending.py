"""How the end of a system went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_NAMED: Final = 3
"""Agents that are named; of the others it is said how many there are."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What had not ended when a system was closed; nothing if all of it had."""

    busy: tuple[str, ...] = ()
    """Agents whose turns went on."""
    lost: int = 0
    """Commits that were taken and could not be saved."""
    cause: Exception | None = None
    """Why they could not."""
    threads_left: bool = False
    """A handler goes on in a thread."""

    @property
    def complete(self) -> bool:
        """Whether everything had ended."""
        return not (self.busy or self.lost or self.threads_left)

    @property
    def told(self) -> str:
        """The reasons why closing was not complete, for people."""
        reasons = []
        if self.busy:
            more = len(self.busy) - _NAMED
            names = ", ".join(self.busy[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            reasons.append(f"{names} did not end in time")
        if self.lost:
            commits = "1 commit is" if self.lost == 1 else f"{self.lost} commits are"
            reasons.append(f"{commits} not saved ({self.cause or 'time was up'})")
        if self.threads_left:
            reasons.append("a handler goes on in a thread")
        return "; ".join(reasons)
