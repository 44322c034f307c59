"""Log records as lines that can be trusted, whatever is in them."""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

from .text import safe


class LineFormatter(logging.Formatter):
    """One line per record; a traceback is indented below it, so that nothing can forge a record."""

    converter = staticmethod(time.gmtime)

    def __init__(self, *, terminal: bool) -> None:
        """Write times in UTC; on a terminal no dates and no names of loggers."""
        if terminal:
            super().__init__("%(asctime)sZ %(levelname)s %(message)s", "%H:%M:%S")
        else:
            super().__init__(
                "%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
            )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the record's first line, control characters escaped."""
        return safe(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """Return the traceback, indented and harmless."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join("    " + safe(part) for part in text.splitlines())


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Write to whatever stderr is at the moment: a live status line puts itself in its place."""

    def __init__(self) -> None:
        """Format records as lines."""
        logging.Handler.__init__(self)
        self.setFormatter(LineFormatter(terminal=sys.stderr.isatty()))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The stream to write to."""
        return sys.stderr


def set_up(level: str) -> logging.Handler | None:
    """Log to stderr from ``level`` up; not if the program has set up logging itself."""
    root = logging.getLogger()
    if root.handlers:
        return None
    handler = StandardErrorHandler()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler
