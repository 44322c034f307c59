"""What other programs are given: it parses, it holds every event, and nothing in it acts."""

import html.parser
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest

from perdure import Agent, AgentSystem, State
from perdure.hooks.timeline.exports import as_chrome, as_json, as_mermaid
from perdure.hooks.timeline.picture import as_html
from perdure.hooks.timeline.tree import Tree
from tests.kit.deadline import DEADLINE

HOSTILE: Final = '</script><b>"x"] --> e0\n%%{init}%% #quot; `${1}` \u2028 --\x1b[31m'
NODE: Final = re.compile(
    r'    e(\d+)(\["|\{\{"|\{"|\[\("|>")((?:[\w /.-]|#\d+;|<br/>)*)("\]|"\}\}|"\}|"\)\])'
)
EDGE: Final = re.compile(r"    e(\d+) (?:-->|-\.->) e(\d+)")


class Note(State):
    text: str = ""


class Writer(Agent[Note]):
    def write(self, text: str, to: list[str]) -> int:
        self.state.text = text
        self.system.artifacts.save("page", text.encode())
        for key in to:
            self.system.agent(Writer, key).cast(Writer.write, text, [])
        asked = self.system.agent(Writer, "asked")
        if to:
            asked.call(Writer.write, text, []).get(timeout=DEADLINE)
        return len(to)


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    """Give a tree of events whose names and values try something."""
    with AgentSystem.open("memory://", agents=[Writer]) as system:
        first = system.agent(Writer, HOSTILE)
        first.call(Writer.write, HOSTILE, ["b", "c"]).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        yield system.timeline().tree()


def test_json_has_every_event_with_its_parent(tree: Tree) -> None:
    """The JSON decodes to the events in order, each with what led to it and its span."""
    found = json.loads(as_json(tree))
    assert [event["id"] for event in found["events"]] == [event.id for event in tree.events]
    for record, event in zip(found["events"], tree.events, strict=True):
        parent = tree.parent(event)
        assert record["parent"] == (parent.id if parent else None)
        assert record["begin"] <= record["end"]
    assert found["roots"] == [event.id for event in tree.roots]


def test_mermaid_follows_the_grammar_of_flowcharts(tree: Tree) -> None:
    """Every line is a node or an arrow between nodes; labels hold plain signs and entity codes."""
    first, *lines = as_mermaid(tree).splitlines()
    assert first == "flowchart TD"
    nodes: set[str] = set()
    arrows = []
    for line in lines:
        if (node := NODE.fullmatch(line)) is not None:
            nodes.add(node[1])
        else:
            arrow = EDGE.fullmatch(line)
            assert arrow is not None, line
            arrows.append((arrow[1], arrow[2]))
    assert len(nodes) == len(tree.events)
    assert len(arrows) == len(tree.parents)
    assert {name for arrow in arrows for name in arrow} <= nodes


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of the trace event format, as far as it is used here."""

    ph: str
    pid: int
    tid: int
    name: str
    cat: str = ""
    ts: float = 0
    dur: float | None = None
    id: str = ""
    bp: str = ""
    args: dict[str, Any] = {}


class Trace(msgspec.Struct, forbid_unknown_fields=True):
    """The trace event format."""

    traceEvents: list[Entry]  # noqa: N815 - its name
    displayTimeUnit: str  # noqa: N815 - same


def test_chrome_traces_have_slices_and_an_arrow_for_each_cause(tree: Tree) -> None:
    """Each event is a complete slice in its agent's row; arrows begin and end inside of slices."""
    trace = msgspec.json.decode(as_chrome(tree), type=Trace)
    by: dict[str, list[Entry]] = {}
    for entry in trace.traceEvents:
        by.setdefault(entry.ph, []).append(entry)
    assert set(by) == {"M", "X", "s", "f"}
    assert [entry.args["id"] for entry in by["X"]] == [event.id for event in tree.events]
    rows = {entry.tid for entry in by["M"]}
    assert {entry.tid for entry in by["X"]} <= rows
    assert [entry.id for entry in by["s"]] == [entry.id for entry in by["f"]] == list(tree.parents)
    for arrow in [*by["s"], *by["f"]]:
        assert any(
            slice_.tid == arrow.tid and slice_.ts <= arrow.ts <= slice_.ts + (slice_.dur or 0)
            for slice_ in by["X"]
        )


class Reader(html.parser.HTMLParser):
    """Note the elements and attributes of a page, and what its script says."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.script = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.script += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing_of_the_events(
    tree: Tree,
) -> None:
    """No element or address leads out; what stands in the events is data, and all is there."""
    page = as_html(tree)
    reader = Reader()
    reader.feed(page)
    assert not {"link", "img", "iframe", "object", "embed", "b", "a"} & set(reader.elements)
    assert reader.elements.count("script") == 1
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in reader.attributes}
    assert "default-src 'none'" in dict(reader.attributes)["content"]
    addresses = set(re.findall(r"\w+://[^\s\"']+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place
    data = reader.script.partition("const data = ")[2].partition(";\nconst SVG")[0]
    assert json.loads(data) == json.loads(as_json(tree))
