"""What is done outside of turns and follows from one: by hooks behind it, or by deferred ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final, NamedTuple

from .acting import refuse_replayed


class Followed(NamedTuple):
    """What led to the work that is under way here, outside of turns."""

    home: object
    """The system in which; to another it is from outside."""
    correlation: int
    cause: int
    """As the journal has it."""


FOLLOWED: Final[ContextVar[Followed | None]] = ContextVar("perdure_followed", default=None)
"""What is sent or written here, outside of turns, goes on with this; None where it begins."""


@contextlib.contextmanager
def following(home: object, correlation: int, cause: int) -> Iterator[None]:
    """Have what the block sends and writes in a system go on with a chain of messages."""
    token = FOLLOWED.set(Followed(home, correlation, cause))
    try:
        yield
    finally:
        FOLLOWED.reset(token)


def led_to(home: object) -> tuple[int, int]:
    """Return the correlation and the cause of what is done here, outside of turns; 0 for none."""
    refuse_replayed("a message or a change")
    followed = FOLLOWED.get()
    return followed[1:] if followed is not None and followed.home is home else (0, 0)
