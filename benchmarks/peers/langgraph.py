"""LangGraph: a thread for each desk, a graph of one node, ``invoke`` with `SqliteSaver`.

Set-up: `SqliteSaver.from_conn_string`, which switches the file to the write-ahead log and leaves
``synchronous`` at SQLite's default, FULL. LangGraph offers three durability modes; in all of them
``invoke`` waits for its checkpoints before it returns, so all are durable at the edge when a turn
is one node:

- ``exit`` writes one checkpoint when the graph ends, with one flush. The fastest, and what the rows
  are judged against.
- ``async`` (the default) writes checkpoints for the input and after each step, and the writes of
  each task; about five flushes.
- ``sync`` writes the same and waits after each step.

The functional API (``@entrypoint``) was tried as well: slower than a graph in ``exit`` mode. More
callers make it slower too, since the saver holds a lock.

For the conversation there are two ways to keep a list: a reducer (``Annotated[list,
operator.add]``, what the tutorials use), which stores the whole list at every checkpoint, and
`DeltaChannel` (beta), which stores what was added and a snapshot now and then.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ..workload import burner, closed_loop, key, owner, with_size
from ..workload import conversation as hold

Durability = Literal["exit", "async", "sync"]


class Desk(TypedDict, total=False):
    """A desk with two small fields."""

    open: int
    owner: str


class Conversation(TypedDict):
    """A transcript that is stored whole at every checkpoint."""

    transcript: Annotated[list[str], operator.add]


def _extend(state: list[str], writes: Iterable[list[str]]) -> list[str]:
    return [*state, *(text for write in writes for text in write)]


class DeltaConversation(TypedDict):
    """A transcript of which a checkpoint stores what was added."""

    transcript: Annotated[list[str], DeltaChannel(_extend)]


def turns(
    folder: Path, *, seconds: float, durability: Durability, burning: bool = False
) -> dict[str, float]:
    """Invoke the graph once for each turn."""

    def assign(state: Desk) -> Desk:
        return {"open": state.get("open", 0) + 1}

    with _graph(folder, Desk, assign) as graph, burner(on=burning):

        def turn(number: int) -> None:
            graph.invoke(
                {"owner": owner(number)},
                {"configurable": {"thread_id": key(number)}},
                durability=durability,
            )

        return closed_loop(turn, seconds)


def conversation(
    folder: Path, *, turns: float, durability: Durability, delta: bool = False
) -> dict[str, float]:
    """Hold a conversation on one thread."""

    def answer(_: object) -> dict[str, list[str]]:
        return {}

    with _graph(folder, DeltaConversation if delta else Conversation, answer) as graph:

        def turn(text: str) -> None:
            graph.invoke(
                {"transcript": [text]},
                {"configurable": {"thread_id": "talk"}},
                durability=durability,
            )

        figures = hold(turn, int(turns))
        kept = graph.get_state({"configurable": {"thread_id": "talk"}}).values["transcript"]
    if len(kept) != turns:
        message = f"{len(kept)} of {turns:.0f} turns were kept"
        raise ValueError(message)
    return with_size(figures, folder)


@contextmanager
def _graph(folder: Path, state: type, node: object) -> Iterator[CompiledStateGraph]:
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        builder = StateGraph(state)
        builder.add_node("turn", node)
        builder.add_edge(START, "turn")
        builder.add_edge("turn", END)
        yield builder.compile(checkpointer=saver)
