"""What falls due behind everybody's back: expired rows, ended sessions, freed bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

AT_ONCE: Final = 0.0
NEVER: Final = -1.0


class Sweep(ABC):
    """Delete or end what is due, in slices, each a commit of its own.

    One attendant of the system owns it: calls ``slice`` on a worker, one call at a time, tries
    again after an error, and stops it when the system closes. A process that is killed half way
    leaves the rest to the next.
    """

    what: ClassVar[str]
    """What is not done while it fails, for the log."""
    first: ClassVar[float] = 30.0
    """Seconds from the opening of the system to the first slice."""

    exact: ClassVar[bool] = False
    """Whether people see the moment at which it is done: what others see may be late."""

    def __init__(self) -> None:
        """Begin without an attendant."""
        self.stopped = False
        """Set to begin no further slice."""
        self.due: Callable[[float], None] = _nobody
        """Asks the attendant for a slice in some seconds; may be called under any lock."""

    @abstractmethod
    def slice(self) -> float:
        """Do one slice; return in how many seconds the next is due: 0 at once, -1 for never."""


def _nobody(_seconds: float) -> None:
    pass
