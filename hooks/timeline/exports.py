"""A timeline for other programs: JSON, Mermaid, the trace format of Chrome and Perfetto."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from .event import Event
from .kinds import EventKind
from .tree import Tree

_encode: Final = msgspec.json.Encoder().encode
_SHAPES: Final = {
    EventKind.TURN: ('["', '"]'), EventKind.HOOK: ('{{"', '"}}'), EventKind.DECISION: ('{"', '"}'),
    EventKind.ARTIFACT: ('[("', '")]'), EventKind.LETTER: ('>"', '"]'),
}  # fmt: skip
MICRO: Final = 1_000_000


def as_json(tree: Tree) -> str:
    """Return the events with their parents, spans and leaves: one JSON object."""
    events = []
    for event in tree.events:
        parent, span = tree.parent(event), tree.span(event)
        events.append(
            {**event.record(), "parent": None if parent is None else parent.id,
             "begin": span.begin, "end": span.end}
        )  # fmt: skip
    roots = [event.id for event in tree.roots]
    return _encode({"format": "perdure-timeline-1", "roots": roots, "events": events}).decode()


def as_mermaid(tree: Tree) -> str:
    """Return a Mermaid flowchart: an arrow leads from each cause to what it led to.

    A dotted one where a turn asked for another, and got its answer before it was done itself.
    """
    lines = ["flowchart TD"]
    for number, event in enumerate(tree.events):
        before, behind = _SHAPES[event.what]
        label = f"{event.agent or 'edge'}\n{event.name}\n#{event.id}"
        lines.append(f"    e{number}{before}{_label(label)}{behind}")
    numbers = {event.id: number for number, event in enumerate(tree.events)}
    for event in tree.events:
        parent = tree.parent(event)
        if parent is not None:
            arrow = "-.->" if event.cause < 0 else "-->"
            lines.append(f"    e{numbers[parent.id]} {arrow} e{numbers[event.id]}")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """Return a text such that nothing in it is Mermaid's, or HTML's: a label takes entity codes."""
    return "".join(map(_sign, text))


def _sign(sign: str) -> str:
    if sign == "\n":
        return "<br/>"
    return sign if sign.isalnum() or sign in " /._-" else f"#{ord(sign)};"


def as_chrome(tree: Tree) -> str:
    """Return the trace event format, as chrome://tracing and ui.perfetto.dev open it.

    A row for each agent, a slice for each event, an arrow for each cause.
    """
    rows = {agent: row for row, agent in enumerate(dict.fromkeys(e.agent for e in tree.events), 1)}
    found: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": "perdure"}}
    ]
    for agent, row in rows.items():
        name = {"name": agent or "edge"}
        found.append({"ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": name})
    for event in tree.events:
        found += _slices(tree, event, rows)
    return _encode({"traceEvents": found, "displayTimeUnit": "ms"}).decode()


def _slices(tree: Tree, event: Event, rows: dict[str, int]) -> Iterator[dict[str, Any]]:
    span, row = tree.span(event), rows[event.agent]
    yield {
        "ph": "X", "pid": 1, "tid": row, "name": event.name, "cat": str(event.what),
        "ts": span.begin * MICRO, "dur": max(1.0, span.seconds * MICRO), "args": event.record(),
    }  # fmt: skip
    parent = tree.parent(event)
    if parent is None:
        return
    arrow = {"pid": 1, "cat": "cause", "name": "cause", "id": event.id}
    begin = tree.span(parent)
    yield {**arrow, "ph": "s", "tid": rows[parent.agent], "ts": begin.begin * MICRO}
    yield {**arrow, "ph": "f", "bp": "e", "tid": row, "ts": span.end * MICRO}
