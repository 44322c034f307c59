"""Stop in a turn, to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...persistence.options import Options
from ..details import ErrorDetails, MessageDetails, OutcomeDetails
from ..hook import Declared, HookOptions, OnFailure
from ..points import ERROR, MESSAGE_AFTER, MESSAGE_BEFORE
from ..sets import HookHost
from .choice import check_names


def _always(_details: MessageDetails) -> bool:
    return True


def debug(details: MessageDetails) -> None:  # noqa: ARG001 - to be looked at
    """Begin Python's debugger in the turn; ``details`` say what is handled, ``up`` leads on."""
    breakpoint()  # noqa: T100 - this is what it is for


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Stop the turn's thread before a message, after it, or when its handler has raised.

    The agent's other messages wait meanwhile; other agents go on. Not for production: what stops
    holds a worker.

    Args:
        on: methods; empty: all.
        before, after, error: where to stop.
        when: whether to stop there, by the details.
        stop: what is done there; by default Python's ``breakpoint()``.
        name: of these hooks.
    """

    on: str | tuple[str, ...] = ()
    before: bool = True
    after: bool = False
    error: bool = False
    when: Callable[[MessageDetails], bool] = _always
    stop: Callable[[MessageDetails], None] = debug
    name: str = "breakpoint"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        check_names(options, self.on)
        for flag in ("before", "after", "error"):
            options.flag(flag)
        for function in ("when", "stop"):
            options.methods(function, ("__call__",), "a function of the details")
        if not (self.before or self.after or self.error):
            raise options.wrong("before", "True, unless after=True or error=True")

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return a hook for each place."""
        options = HookOptions(
            on=self.on, priority=0, budget=None, on_failure=OnFailure.OPEN, record=False
        )
        if self.before:
            yield Declared(MESSAGE_BEFORE, self._before, options, self.name)
        if self.after:
            yield Declared(MESSAGE_AFTER, self._after, options, f"{self.name}.after")
        if self.error:
            yield Declared(ERROR, self._error, options, f"{self.name}.error")

    def _before(self, details: MessageDetails) -> None:
        if self.when(details):
            self.stop(details)

    def _after(self, details: OutcomeDetails) -> None:
        self._before(details)

    def _error(self, details: ErrorDetails) -> None:
        self._before(details)
