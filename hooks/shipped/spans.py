"""Turns as spans of OpenTelemetry."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final

from ..details import ErrorDetails, MessageDetails, OutcomeDetails
from ..hook import Declared, HookOptions
from ..points import ERROR, MESSAGE_AFTER
from ..sets import HookHost
from ..trace import Spanned, TraceContext
from .needed import needed

_LAST: Final = HookOptions(priority=1000, record=False)
_FIRST: Final = HookOptions(priority=0, record=False)
_wanted: Final[ContextVar[TraceContext | None]] = ContextVar("perdure_span", default=None)
"""The ids of the span that is being made here."""


class OpenTelemetrySpans:
    """Make a span of each turn that was handled, below that of the turn which led to it.

    Also over restarts, timers and threads: spans stand in the trace that was given at the edge
    (``system.trace``), and have the ids that ``self.turn.traceparent`` gives out. A turn that is
    begun again has a span for each attempt. Needs the API of OpenTelemetry:
    ``pip install "perdure[opentelemetry]"``; what exports them is up to the program.
    """

    def __init__(self, provider: object = None, *, name: str = "spans") -> None:
        """Make spans by a TracerProvider; by default by the one the program has set."""
        self._api: Any = needed("opentelemetry.trace", "opentelemetry", "OpenTelemetrySpans")
        self._tracer = self._api.get_tracer("perdure", tracer_provider=provider)
        self.name = name
        random = getattr(self._tracer, "id_generator", None)
        if random is not None and not isinstance(random, _Ids):
            self._tracer.id_generator = _Ids(random)

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return a hook for results and one for errors."""
        turns = _Turns(self, host)
        yield Declared(MESSAGE_AFTER, turns.handled, _LAST, self.name)
        yield Declared(ERROR, turns.failed, _FIRST, f"{self.name}.error")

    def make(
        self, turn: Spanned, details: MessageDetails, seconds: float, error: BaseException | None
    ) -> None:
        """Make the span of a turn that ends now."""
        api, end = self._api, time.time_ns()
        # An attempt that is made again has a span of its own beside that of the turn.
        own = turn.context if error is None or turn.last else None
        token = _wanted.set(own)
        try:
            span = self._tracer.start_span(
                f"{details.kind}.{details.name}",
                context=self._above(turn.context, turn.parent),
                kind=api.SpanKind.CONSUMER,
                start_time=end - round(seconds * 1e9),
                attributes={
                    "perdure.kind": details.kind, "perdure.key": details.key,
                    "perdure.message": details.message, "perdure.correlation": details.correlation,
                    "perdure.attempt": details.attempt,
                },
            )  # fmt: skip
        finally:
            _wanted.reset(token)
        if error is not None:
            span.record_exception(error)
            span.set_status(api.StatusCode.ERROR, type(error).__name__)
        span.end(end)

    def _above(self, context: TraceContext, parent: str) -> Any:  # noqa: ANN401 - the API's
        """Return the context of a parent; an empty one where the trace begins."""
        api = self._api
        above = api.SpanContext(
            int(context.trace, 16), int(parent or "0", 16), is_remote=True,
            trace_flags=api.TraceFlags(int(context.flags, 16)),
            trace_state=api.TraceState.from_header([context.state] if context.state else []),
        )  # fmt: skip
        return api.set_span_in_context(api.NonRecordingSpan(above))


class _Turns:
    """What one registration does."""

    def __init__(self, spans: OpenTelemetrySpans, host: HookHost) -> None:
        self._spans = spans
        self._host = host

    def handled(self, details: OutcomeDetails) -> None:
        turn = self._host.spanned()
        if turn is not None:
            self._spans.make(turn, details, details.seconds, None)

    def failed(self, details: ErrorDetails) -> None:
        turn = self._host.spanned()
        if turn is not None:
            self._spans.make(turn, details, 0.0, details.error)


class _Ids:
    """Give spans of turns the ids that these have everywhere, and others random ones."""

    def __init__(self, random: Any) -> None:  # noqa: ANN401 - an IdGenerator
        self._random = random

    def generate_span_id(self) -> int:
        wanted = _wanted.get()
        return self._random.generate_span_id() if wanted is None else int(wanted.span, 16)

    def generate_trace_id(self) -> int:
        wanted = _wanted.get()
        return self._random.generate_trace_id() if wanted is None else int(wanted.trace, 16)

    def is_trace_id_random(self) -> bool:
        return bool(self._random.is_trace_id_random())
