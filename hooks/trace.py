"""W3C trace context: a ``traceparent`` read and written. https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from ..persistence.errors import ConfigurationError

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NOTHING: Final = frozenset({"0" * 32, "0" * 16})


class TraceContext(NamedTuple):
    """What a traceparent says."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits: what led here."""
    flags: str
    """2 hexadecimal digits; 01 says that the trace is kept."""

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{self.flags}"

    def below(self, name: str) -> TraceContext:
        """Return the context of a part of the trace: a span that its name tells from all others.

        The same in every process and at every attempt.
        """
        digest = hashlib.sha256(f"{self.trace} {name}".encode()).hexdigest()[:16]
        return self._replace(span=digest if digest not in _NOTHING else "1".zfill(16))


class Spanned(NamedTuple):
    """Where a turn stands in the trace of its chain."""

    context: TraceContext
    """The trace, and the span of the turn: the same as ``self.turn.traceparent`` says."""
    parent: str
    """The span of the turn that led to it, or the one that was given; empty where it begins."""
    last: bool
    """No other attempt can come after this one, if it fails."""


def read_traceparent(text: str) -> TraceContext:
    """Return what a ``traceparent`` says; ConfigurationError if it is none."""
    found = _FORM.fullmatch(str(text))
    if found is not None:
        version, trace, span, flags, more = found.groups()
        known = version != "ff" and (version != "00" or more is None)
        if known and not {trace, span} & _NOTHING:
            return TraceContext(trace, span, flags)
    message = (
        f"traceparent={text!r:.80} is no W3C trace context; give the header's value, as"
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    )
    raise ConfigurationError(message)
