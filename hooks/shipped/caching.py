"""Answer calls from their last result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...persistence.options import Options
from ..details import CallDetails, MessageDetails
from ..history.record import exact_json
from ..hook import Declared, HookOptions
from ..results import Cache
from ..sets import HookHost
from .choice import WORK, check_names, check_work


@dataclass(frozen=True, slots=True)
class Caching:
    """Answer calls of some methods, tools or models with the last result for the same arguments.

    Results are kept in memory: a new process begins without. Calls with arguments that JSON cannot
    tell apart, such as secrets, are always made. Only for what changes nothing: a call
    that is answered so does not run.

    Args:
        on: the methods, tools or models.
        seconds: how old a result may be, on the system's clock.
        shared: one result for all agents of a kind, instead of one for each.
        most: results that are kept; those that were not used for longest go first.
        at: "messages", or calls of "tools" or "models".
        name: of this hook.
    """

    on: str | tuple[str, ...]
    seconds: float = 60.0
    shared: bool = False
    most: int = 1024
    at: str = "messages"
    name: str = "caching"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        check_names(options, self.on)
        check_work(options, self.at)
        if not self.on:
            raise options.wrong("on", "the methods whose results may be used again")
        options.seconds("seconds")
        options.flag("shared")
        options.whole("most", least=1)

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return the hook, which is the last one before the handler."""
        options = HookOptions(on=self.on, priority=900, record=False)
        yield Declared(WORK[self.at].before, self._look, options, self.name)

    def _look(self, details: MessageDetails | CallDetails) -> Cache | None:
        whose = details.kind if self.shared else f"{details.kind}/{details.key}"
        by_name = details.kwargs if isinstance(details, MessageDetails) else {}
        key = exact_json((whose, details.name, details.args, by_name))
        return None if key is None else Cache(self.seconds, key, self.most)
