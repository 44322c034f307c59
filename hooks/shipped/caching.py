"""Answer calls from their last result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...persistence.options import Options
from ..details import MessageDetails
from ..history.record import as_json
from ..hook import Declared, HookOptions
from ..points import MESSAGE_BEFORE
from ..results import Cache
from ..sets import HookHost
from .choice import check_names


@dataclass(frozen=True, slots=True)
class Caching:
    """Answer calls of some methods with the last result for the same arguments.

    Results are kept in memory: a new process begins without. Only for methods that change nothing:
    a call that is answered so does not run.

    Args:
        on: the methods.
        seconds: how old a result may be, on the system's clock.
        shared: one result for all agents of a kind, instead of one for each.
        most: results that are kept; those that were not used for longest go first.
        name: of this hook.
    """

    on: str | tuple[str, ...]
    seconds: float = 60.0
    shared: bool = False
    most: int = 1024
    name: str = "caching"

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        options = Options(self)
        check_names(options, self.on)
        if not self.on:
            raise options.wrong("on", "the methods whose results may be used again")
        options.seconds("seconds")
        options.flag("shared")
        options.whole("most", least=1)

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return the hook, which is the last one before the handler."""
        options = HookOptions(on=self.on, priority=900, record=False)
        yield Declared(MESSAGE_BEFORE, self._look, options, self.name)

    def _look(self, details: MessageDetails) -> Cache:
        whose = details.kind if self.shared else f"{details.kind}/{details.key}"
        key = as_json((whose, details.name, details.args, details.kwargs))
        return Cache(self.seconds, key, self.most)
