"""Handle messages again that failed, a little later each time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ...persistence.options import Options
from ..details import CallErrorDetails, ErrorDetails
from ..hook import Declared, HookOptions
from ..results import Retry
from ..sets import HookHost
from .choice import WORK, check_names, check_work

_STEPS: Final = 60
_FACTOR: Final = 1e4


@dataclass(frozen=True, slots=True)
class Retrying:
    """Undo a message whose handler raised one of ``errors``, and handle it again.

    At tools and models it is the call alone that is made again, in the same turn.

    Args:
        errors: classes of errors; subclasses count.
        attempts: in all, the first one among them.
        delay: seconds before the second attempt.
        factor: by which each later delay is longer.
        longest: seconds that no delay exceeds.
        on: methods, tools or models that are tried again; empty: all.
        at: "messages", or calls of "tools" or "models".
        name: of this hook.
    """

    errors: tuple[type[BaseException], ...] = (OSError, TimeoutError)
    attempts: int = 3
    delay: float = 0.1
    factor: float = 2.0
    longest: float = 60.0
    on: str | tuple[str, ...] = ()
    at: str = "messages"
    name: str = "retrying"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        errors: object = self.errors
        if not (
            isinstance(errors, tuple)
            and errors
            and all(isinstance(each, type) and issubclass(each, BaseException) for each in errors)
        ):
            raise options.wrong("errors", "a tuple of classes of errors, as in (OSError,)")
        options.whole("attempts", least=2)
        options.seconds("delay", zero=True)
        options.number("factor", "a factor, above 0")
        options.seconds("longest", zero=True)
        check_names(options, self.on)
        check_work(options, self.at)

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return the hook."""
        yield Declared(WORK[self.at].error, self._again, HookOptions(on=self.on), self.name)

    def _again(self, details: ErrorDetails | CallErrorDetails) -> Retry | None:
        if not isinstance(details.error, self.errors) or details.attempt >= self.attempts:
            return None
        # Bounded, so that no number of attempts makes a number too large for a float.
        steps = min(details.attempt - 1, _STEPS)
        delay = self.delay * min(self.factor, _FACTOR) ** steps
        return Retry(min(delay, self.longest), self.attempts)
