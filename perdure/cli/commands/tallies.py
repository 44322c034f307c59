"""What the calls of agents that think came to: ``perdure runs stats``, and in ``perdure show``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final, TypeAlias

import msgspec

from ...llm.stored import stored_tallies
from ...persistence.records.records import AgentRow
from ...persistence.store.store import StoreReader
from ...url import open_reader
from ..terminal.listing import Lines, behind, show
from ..terminal.options import Listing
from ..terminal.screen import Screen

CallRow: TypeAlias = dict[str, Any]
"""What the calls of one model or tool came to, made for one agent, as ``--json`` prints it."""
_OF_AGENT: Final = 2
"""How many columns say whose calls these are."""


def list_tallies(store: str, kind: str | None, key: str | None, listing: Listing) -> None:
    """Print what calls came to: of all agents, those of a kind, or one."""
    with closing(open_reader(store)) as reader:
        agents = (row for row in reader.agents(kind) if key in (None, row.key))
        rows = (call for agent in agents for call in calls_of(reader, agent))
        show(behind(rows, listing, _place), listing, _LINES)


def calls_of(reader: StoreReader, agent: AgentRow) -> Iterator[CallRow]:
    """Iterate over what the calls of an agent came to; nothing of one that does not think."""
    for place, tally in stored_tallies(reader, agent.agent).items():
        op, _, name = place.partition("/")
        whose = {"kind": agent.kind, "key": agent.key, "op": op, "name": name}
        yield {**whose, **msgspec.structs.asdict(tally)}


def print_calls(calls: list[CallRow], screen: Screen) -> None:
    """Print those of one agent."""
    if calls:
        screen.title("calls of models and tools")
        screen.table(_LINES.columns[_OF_AGENT:], [_cells(row)[_OF_AGENT:] for row in calls])


def _cells(row: CallRow) -> tuple[object, ...]:
    mean = row["seconds"] / row["calls"] if row["calls"] else 0.0
    return (
        row["kind"], row["key"], row["op"], row["name"], row["calls"], row["failures"],
        row["doubts"], f"{mean:.3f}", row["tokens_in"], row["tokens_out"], f"{row['cost']:.6g}",
    )  # fmt: skip


def _place(row: CallRow) -> str:
    return f"{row['kind']}/{row['key']}/{row['op']}/{row['name']}"


_LINES: Final[Lines[CallRow]] = Lines(
    columns=[("KIND", "name"), ("KEY", "name"), ("OF", "word"), ("NAME", "name"),
             ("CALLS", "number"), ("FAILED", "number"), ("IN DOUBT", "number"),
             ("MEAN (S)", "number"), ("TOKENS IN", "number"), ("TOKENS OUT", "number"),
             ("COST", "number")],
    cells=_cells, record=lambda row: row, place=_place,
    none="no agent has called a model or a tool",
)  # fmt: skip
