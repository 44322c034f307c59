"""Count turns and measure them, for Prometheus or OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..details import ErrorDetails, OutcomeDetails
from ..hook import Declared, HookOptions
from ..points import ERROR, MESSAGE_AFTER
from ..sets import HookHost
from .needed import needed

_LAST: Final = HookOptions(priority=1000, record=False)
_FIRST: Final = HookOptions(priority=0, record=False)  # before one that answers the error


class PrometheusMetrics:
    """Count turns by kind, method and outcome; measure handlers in a histogram.

    The metrics are ``perdure_turns_total`` and ``perdure_turn_seconds``. Needs prometheus-client:
    ``pip install "perdure[prometheus]"``. They belong to this object: register it as often as
    needed, and make one only for each ``registry`` (by default the one of prometheus-client).
    """

    def __init__(self, registry: object = None, *, name: str = "prometheus") -> None:
        """Make the metrics in a CollectorRegistry; ConfigurationError without the library."""
        client = needed("prometheus_client", "prometheus", "PrometheusMetrics")
        where = client.REGISTRY if registry is None else registry
        self.name = name
        self._turns = client.Counter(
            "perdure_turns", "Turns", ("kind", "method", "outcome"), registry=where
        )
        self._seconds = client.Histogram(
            "perdure_turn_seconds", "Seconds that handlers take", ("kind", "method"), registry=where
        )
        self._held: dict[tuple[str, str], tuple[Any, Any]] = {}

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return a hook for results and one for errors."""
        yield Declared(MESSAGE_AFTER, self._handled, _LAST, self.name)
        yield Declared(ERROR, self._failed, _FIRST, f"{self.name}.error")

    def _handled(self, details: OutcomeDetails) -> None:
        place = (details.kind, details.name)
        held = self._held.get(place)
        if held is None:  # held, because finding them by their labels costs more than counting
            held = self._held[place] = (
                self._turns.labels(*place, "handled"), self._seconds.labels(*place),
            )  # fmt: skip
        held[0].inc()
        held[1].observe(details.seconds)

    def _failed(self, details: ErrorDetails) -> None:
        self._turns.labels(details.kind, details.name, "failed").inc()


class OpenTelemetryMetrics:
    """Count turns by kind, method and outcome; measure handlers in a histogram.

    The instruments are ``perdure.turns`` and ``perdure.turn.duration`` (seconds). Needs the API of
    OpenTelemetry: ``pip install "perdure[opentelemetry]"``; what exports them is up to the program.
    """

    def __init__(self, provider: object = None, *, name: str = "opentelemetry") -> None:
        """Make the instruments of a MeterProvider; by default of the one the program has set."""
        api: Any = needed("opentelemetry.metrics", "opentelemetry", "OpenTelemetryMetrics")
        meter = api.get_meter("perdure", meter_provider=provider)
        self.name = name
        self._turns = meter.create_counter("perdure.turns", unit="{turn}", description="Turns")
        self._seconds = meter.create_histogram(
            "perdure.turn.duration", unit="s", description="Seconds that handlers take"
        )

    def hooks(self, host: HookHost) -> Iterable[Declared]:  # noqa: ARG002 - as HookSet has it
        """Return a hook for results and one for errors."""
        yield Declared(MESSAGE_AFTER, self._handled, _LAST, self.name)
        yield Declared(ERROR, self._failed, _FIRST, f"{self.name}.error")

    def _handled(self, details: OutcomeDetails) -> None:
        where = {"kind": details.kind, "method": details.name}
        self._turns.add(1, {**where, "outcome": "handled"})
        self._seconds.record(details.seconds, where)

    def _failed(self, details: ErrorDetails) -> None:
        where = {"kind": details.kind, "method": details.name}
        self._turns.add(1, {**where, "outcome": "failed"})
