"""Turns as spans of OpenTelemetry, by its real SDK, compared with the timeline."""

import itertools
from contextlib import nullcontext
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from perdure import (
    Agent,
    AgentSystem,
    Log,
    OpenTelemetrySpans,
    RestartPolicy,
    Retrying,
    State,
    VirtualClock,
)
from perdure.hooks.timeline.tree import Tree
from perdure.hooks.trace import TraceContext, read_traceparent
from tests.kit.deadline import DEADLINE

GIVEN = read_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


class Told(State):
    traces: Log[str] = Log.field()


class Node(Agent[Told]):
    """One that tells, asks and waits, so often as it is told to."""

    restarts = RestartPolicy(attempts=2)

    def go(self, depth: int) -> None:
        self.state.traces.append(self.turn.traceparent)
        if depth:
            below = self.system.agent(Node, f"{self.key}.{depth}")
            below.cast(Node.go, depth - 1)
            below.call(Node.go, 0).get()
            self.after(10.0, self.go, 0, name="later")

    def fail(self) -> None:
        raise ValueError("the line is down")

    def traces(self) -> list[str]:
        return list(self.state.traces)


class Spans:
    """An exporter in memory, and the provider that feeds it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def of(self, method: str) -> list[ReadableSpan]:
        """Return the spans of a method's turns."""
        return [each for each in self.exporter.get_finished_spans() if each.name.endswith(method)]


def ids(span: ReadableSpan) -> tuple[str, str, str]:
    """Return trace, span and parent as a traceparent has them."""
    assert span.context is not None
    parent = "" if span.parent is None else f"{span.parent.span_id:016x}"
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent


@pytest.mark.parametrize("given", [GIVEN, None])
def test_each_turn_has_a_span_below_that_of_its_cause(
    given: TraceContext | None, tmp_path: Path
) -> None:
    """Tell, ask and timers, over a restart: spans make the tree that the timeline makes."""
    spans, path, tree = Spans(), tmp_path / "s.db", Tree.of([])
    for restarted in (False, True):
        clock = VirtualClock()
        with AgentSystem.open(path, agents=[Node], clock=clock) as system:
            system.hooks.add(OpenTelemetrySpans(spans.provider))
            if not restarted:
                with nullcontext() if given is None else system.trace(str(given)):
                    system.agent(Node, "a").call(Node.go, 2).get(timeout=DEADLINE)
            assert system.idle(DEADLINE)
            clock.advance(100.0 * restarted)
            assert system.idle(DEADLINE)
            tree = system.timeline().tree()
    found = {int(each.attributes["perdure.message"]): ids(each) for each in spans.of("go")}  # type: ignore[index, arg-type]
    assert len(found) == len(tree.events) == len(spans.of("go")) == 7
    (trace,) = {trace for trace, _, _ in found.values()}
    for event in tree.events:
        parent = tree.parent(event)
        above = "" if given is None else given.span
        assert found[event.message][2] == (found[parent.message][1] if parent else above)
    assert given is None or trace == given.trace


def test_a_span_has_the_id_that_the_turn_gives_out() -> None:
    """What a handler passes on to the outside world leads back to the span of its turn."""
    spans = Spans()
    with AgentSystem.open("memory://", agents=[Node]) as system:
        system.hooks.add(OpenTelemetrySpans(spans.provider))
        node = system.agent(Node, "a")
        with system.trace(str(GIVEN), "vendor=1"):
            node.call(Node.go, 0).get(timeout=DEADLINE)
        (passed_on,) = node.call(Node.traces).get(timeout=DEADLINE)
    (span,) = spans.of("go")
    assert str(read_traceparent(passed_on)) == f"00-{'-'.join(ids(span)[:2])}-01"
    context = span.get_span_context()
    assert context is not None
    assert context.trace_state.to_header() == "vendor=1"
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= span.end_time


def test_each_failed_attempt_has_a_span_that_says_so() -> None:
    """All of them stand below the same cause, each with an id of its own and the error."""
    spans = Spans()
    with AgentSystem.open("memory://", agents=[Node]) as system:
        system.hooks.add(OpenTelemetrySpans(spans.provider))
        with system.trace(str(GIVEN)):
            system.agent(Node, "a").cast(Node.fail)
        assert system.idle(DEADLINE)
    failed = spans.of("fail")
    assert [each.attributes["perdure.attempt"] for each in failed] == [1, 2]  # type: ignore[index]
    assert {ids(each)[2] for each in failed} == {GIVEN.span}
    assert all(ids(one)[1] != ids(other)[1] for one, other in itertools.pairwise(failed))
    assert {each.status.status_code.name for each in failed} == {"ERROR"}
    assert {event.name for each in failed for event in each.events} == {"exception"}


def test_attempts_of_an_asked_turn_have_spans_of_their_own() -> None:
    """Also where a hook has it handled again: no two spans have one id."""
    spans = Spans()
    with AgentSystem.open("memory://", agents=[Node]) as system:
        system.hooks.add(OpenTelemetrySpans(spans.provider))
        system.hooks.add(Retrying((ValueError,), attempts=3, delay=0))
        with pytest.raises(ValueError, match="line is down"):
            system.agent(Node, "a").call(Node.fail).get(timeout=DEADLINE)
    assert len({ids(each)[1] for each in spans.of("fail")}) == len(spans.of("fail")) == 3
