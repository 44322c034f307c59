"""Log turns, with the standard library or with structlog."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...persistence.errors import told
from ...persistence.options import Options
from ..details import ErrorDetails, MessageDetails, OutcomeDetails
from ..hook import Declared, HookOptions
from ..points import ERROR, MESSAGE_AFTER
from ..sets import HookHost
from .choice import check_names
from .needed import needed


@dataclass(frozen=True, slots=True)
class Logging:
    """Log every message that was handled, and every attempt that failed, without its values.

    Args:
        logger: its name.
        level: of what was handled; what failed is a warning.
        structured: log events with fields through structlog (``pip install "perdure[structlog]"``).
            The standard records have the same fields as attributes, such as ``agent_kind``.
        on: methods that are logged; empty: all.
        name: of these hooks.
    """

    logger: str = "perdure.turns"
    level: int = logging.INFO
    structured: bool = False
    on: str | tuple[str, ...] = ()
    name: str = "logging"

    def __post_init__(self) -> None:
        """Refuse options that make no sense; ConfigurationError without structlog, if wanted."""
        options = Options(self)
        options.kind("logger", str, '"desk.turns"')
        options.whole("level", least=0)
        options.flag("structured")
        check_names(options, self.on)
        if self.structured:
            needed("structlog", "structlog", "Logging(structured=True)")

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return a hook for results and one for errors."""
        log = self._structured() if self.structured else self._standard()

        def handled(details: OutcomeDetails) -> None:
            log(self.level, "handled", _fields(details) | {"seconds": details.seconds})

        def failed(details: ErrorDetails) -> None:
            log(logging.WARNING, "failed", _fields(details) | {"error": told(details.error)})

        after = HookOptions(on=self.on, priority=1000, record=False)
        yield Declared(MESSAGE_AFTER, handled, after, self.name)
        error = HookOptions(on=self.on, priority=0, record=False)
        yield Declared(ERROR, failed, error, f"{self.name}.error")

    def _standard(self) -> Any:  # noqa: ANN401 - a function
        logger = logging.getLogger(self.logger)

        def log(level: int, event: str, fields: dict[str, object]) -> None:
            if logger.isEnabledFor(level):
                words = " ".join(f"{name}={value}" for name, value in fields.items())
                extra = {f"agent_{name}": value for name, value in fields.items()}
                logger.log(level, "%s %s", event, words, extra=extra)

        return log

    def _structured(self) -> Any:  # noqa: ANN401 - same
        logger = needed("structlog", "structlog", "Logging").get_logger(self.logger)

        def log(level: int, event: str, fields: dict[str, object]) -> None:
            logger.log(level, event, **fields)

        return log


def _fields(details: MessageDetails) -> dict[str, object]:
    return {
        "kind": details.kind, "key": details.key, "method": details.name,
        "correlation": details.correlation, "attempt": details.attempt,
    }  # fmt: skip
