"""W3C trace context: both its headers read and written. https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from ..persistence.errors import ConfigurationError

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
LONGEST: Final = 512
"""Characters of a ``tracestate`` that are handed on."""
_MOST: Final = 32
"""Members of a ``tracestate``."""
_LARGE: Final = 128
"""Characters of a member; longer ones go first where there are too many."""
_KEY: Final = r"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(f"({_KEY})={_VALUE}")
_NOTHING: Final = frozenset({"0" * 32, "0" * 16})


class TraceContext(NamedTuple):
    """What a traceparent says."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits: what led here."""
    flags: str
    """2 hexadecimal digits; 01 says that the trace is kept."""
    state: str = ""
    """What tracing systems have told each other: a ``tracestate``."""

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{self.flags}"

    def below(self, name: str) -> TraceContext:
        """Return the context of a part of the trace: a span that its name tells from all others.

        The same in every process and at every attempt.
        """
        digest = hashlib.sha256(f"{self.trace} {name}".encode()).hexdigest()[:16]
        return self._replace(span=digest if digest not in _NOTHING else "1".zfill(16))

    def stored(self) -> str:
        """Return it as it is stored."""
        return f"{self} {self.state}" if self.state else str(self)


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


def read_tracestate(text: str) -> str:
    """Return a ``tracestate`` as it is handed on; empty for one that is none.

    Of one that is too long whole members are left out: long ones first, then the last.
    """
    members = [each.strip(" \t") for each in text.split(",")]
    members = [each for each in members if each]
    found = [_MEMBER.fullmatch(each) for each in members]
    keys = {each[1] for each in found if each is not None}
    if len(members) > _MOST or len(keys) < len(members):
        return ""
    if len(",".join(members)) > LONGEST:
        members = [each for each in members if len(each) <= _LARGE]
    while len(",".join(members)) > LONGEST:
        members.pop()
    return ",".join(members)


def stored_trace(text: str) -> TraceContext:
    """Return the context that is stored as ``text``."""
    parent, _, state = text.partition(" ")
    return read_traceparent(parent)._replace(state=state)
