"""Put what agents do into the audit, beside the decisions about access."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...persistence.errors import told
from ...persistence.options import Options
from ..details import ErrorDetails, OutcomeDetails
from ..hook import Declared, HookOptions
from ..points import ERROR, MESSAGE_AFTER
from ..sets import HookHost
from .choice import check_names


@dataclass(frozen=True, slots=True)
class Auditing:
    """Have the audit say which agent handled what: ``allowed``, or ``refused`` with the error.

    What was handled is stored with its turn and noted once, also over a crash; each attempt that
    failed is noted at once. The entry's operation is ``handle``, its key the method's name;
    arguments do not stand there, the history of hooks has them.

    Args:
        on: methods that are audited; empty: all.
        name: of these hooks.
    """

    on: str | tuple[str, ...] = ()
    name: str = "auditing"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        check_names(Options(self), self.on)

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return a deferred hook for what was handled, and one for errors."""

        def handled(details: OutcomeDetails) -> None:
            host.note(details, "handle", "handled", allowed=True)

        def failed(details: ErrorDetails) -> None:
            host.note(details, "handle", told(details.error), allowed=False)

        after = HookOptions(on=self.on, deferred=True, record=False)
        yield Declared(MESSAGE_AFTER, handled, after, self.name)
        error = HookOptions(on=self.on, priority=0, budget=None, record=False)
        yield Declared(ERROR, failed, error, f"{self.name}.error")
