"""One message handled by one agent, and everything it wants to happen if it succeeds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from pykka._envelope import Envelope

from ..persistence.records import Timer

if TYPE_CHECKING:
    from .future import PooledFuture


class Letter(Envelope[Any]):
    """An envelope to an agent: the message, and where it comes from."""

    __slots__ = (
        "attempts", "body", "cause", "correlation", "durable", "edge", "id", "name", "sent",
        "timer",
    )  # fmt: skip

    def __init__(
        self,
        message: object,
        reply_to: PooledFuture[Any] | None = None,
        *,
        edge: bool = True,
        letter_id: int = 0,
        cause: int = 0,
        correlation: int = 0,
    ) -> None:
        """Hold a message; one that is to survive a crash is made by ``Runtime.letter``."""
        self.message = message
        self.reply_to = reply_to
        self.edge = edge
        """The reply leaves the system: it waits until the turn is durable."""
        self.id = letter_id
        self.cause = cause
        self.correlation = correlation
        self.durable = False
        """There is, or will be, a row in the mailbox table that a commit must remove."""
        self.name = ""
        self.body = ""
        self.sent = 0.0
        self.attempts = 0
        self.timer: Timer | None = None


class Turn:
    """Collect the effects of a handler until it returns.

    Effects are kept only if the handler returns; a handler that raises sends nothing.
    """

    __slots__ = ("cancel", "cell", "letter", "overdue", "sends", "steps", "timers", "waits")

    def __init__(self, cell: Any, letter: Letter) -> None:  # noqa: ANN401 - AgentCell is above
        """Begin to handle ``letter``."""
        self.cell = cell
        self.letter = letter
        self.sends: list[tuple[Any, Letter]] = []
        self.timers: dict[str, Timer | None] = {}
        """By name; None for one that is cancelled."""
        self.steps: list[Letter] = []
        """Lifecycle steps the handler asked for, taken after the turn."""
        self.waits: list[Any] = []
        """Cells whose replies this turn is waiting for."""
        self.cancel: Callable[[], None] | None = None
        """Cancels an async handler that has a time limit."""
        self.overdue = ""
        """Why it was cancelled."""


current: Final[ContextVar[Turn | None]] = ContextVar("perdure_turn", default=None)
"""The turn whose handler is running in this context."""


@contextlib.contextmanager
def outside_turns() -> Iterator[None]:
    """Run a block as if no turn was under way: what it sends is sent at once."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)
