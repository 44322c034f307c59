"""The same conversation with durable peers: pydantic-ai on DBOS, and LangGraph with SqliteSaver.

Set-up: DBOS on SQLite in write-ahead-log mode, as in `benchmarks.peers.dbos`, with its durability
capability of pydantic-ai. LangGraph: a graph of a node for the model and one for the tools, its
list of messages with ``add_messages``, each step durable (``sync``), as a run that may be killed
needs.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

from ..thinking import ANSWER, PROMPT, STEPS, model, stock, weather


def _figures(took: float, used: float, turns: int, stored: int) -> dict[str, float]:
    return {
        "step": took / turns / STEPS * 1_000,
        "cpu": used / turns / STEPS * 1_000,
        "run": took / turns * 1_000,
        "bytes": stored / turns,
    }


def langgraph(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it with LangGraph."""
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage  # noqa: PLC0415
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415
    from langgraph.graph import END, START, MessagesState, StateGraph  # noqa: PLC0415

    def think(state: Any) -> dict[str, Any]:  # noqa: ANN401 - as the graph passes it
        if isinstance(state["messages"][-1], ToolMessage):
            return {"messages": [AIMessage(ANSWER)]}
        calls = [
            {"name": "weather", "args": {"city": "Lisbon"}, "id": "1"},
            {"name": "stock", "args": {"thing": "umbrellas"}, "id": "2"},
        ]
        return {"messages": [AIMessage("", tool_calls=calls)]}

    def act(state: Any) -> dict[str, Any]:  # noqa: ANN401 - same
        tools: dict[str, Any] = {"weather": weather, "stock": stock}
        return {
            "messages": [
                ToolMessage(str(tools[call["name"]](**call["args"])), tool_call_id=call["id"])
                for call in state["messages"][-1].tool_calls
            ]
        }

    def onward(state: Any) -> str:  # noqa: ANN401 - same
        return "act" if state["messages"][-1].tool_calls else END

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", onward)
    graph.add_edge("act", "think")
    path = folder / "talk.db"

    def ask(app: Any) -> None:  # noqa: ANN401 - a compiled graph
        app.invoke(
            {"messages": [HumanMessage(PROMPT)]},
            {"configurable": {"thread_id": "one"}},
            durability="sync",
        )

    with SqliteSaver.from_conn_string(str(path)) as saver:
        app = graph.compile(saver)
        ask(app)
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(turns):
            ask(app)
        took, used = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    with SqliteSaver.from_conn_string(str(path)) as saver:
        ask(graph.compile(saver))
        resumed = time.perf_counter() - begun
    stored = sum(file.stat().st_size for file in folder.glob("talk.db*"))
    return {**_figures(took, used, turns, stored), "resume": resumed * 1_000}


def dbos(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it with pydantic-ai on DBOS; its history is the program's own, in memory."""
    from dbos import DBOS  # noqa: PLC0415
    from pydantic_ai import Agent  # noqa: PLC0415
    from pydantic_ai.durable_exec.dbos import DBOSDurability  # noqa: PLC0415

    path = folder / "system.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = wal")
    connection.close()
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": f"sqlite:///{path}",
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )
    thinker = Agent(model(), name="talker", tools=[weather, stock], capabilities=[DBOSDurability()])

    @DBOS.workflow()
    async def turn(history: list[Any]) -> list[Any]:
        return (await thinker.run(PROMPT, message_history=history)).all_messages()

    DBOS.launch()

    async def hold() -> tuple[float, float]:
        history = await turn([])
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(turns):
            history = await turn(history)
        return time.perf_counter() - begun, time.process_time() - used

    took, used = asyncio.run(hold())
    DBOS.destroy()
    stored = sum(file.stat().st_size for file in folder.glob("system.sqlite*"))
    return _figures(took, used, turns, stored)
