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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from ..thinking import ANSWER, PROMPT, STEPS, Visits, killed, model, stock, weather

_ONE: Final = {"configurable": {"thread_id": "one"}}


def _figures(took: float, used: float, turns: int, stored: int) -> dict[str, float]:
    return {
        "step": took / turns / STEPS * 1_000,
        "cpu": used / turns / STEPS * 1_000,
        "run": took / turns * 1_000,
        "bytes": stored / turns,
    }


def _graph(weather: Callable[[str], str]) -> Any:  # noqa: ANN401 - a graph of LangGraph
    """Return a graph of a model and its tools."""
    from langchain_core.messages import AIMessage, ToolMessage  # noqa: PLC0415
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
    return graph


def _ask(app: Any) -> None:  # noqa: ANN401 - a compiled graph
    from langchain_core.messages import HumanMessage  # noqa: PLC0415

    app.invoke({"messages": [HumanMessage(PROMPT)]}, _ONE, durability="sync")


def langgraph(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it with LangGraph."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415

    with SqliteSaver.from_conn_string(str(folder / "talk.db")) as saver:
        app = _graph(weather).compile(saver)
        _ask(app)
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(turns):
            _ask(app)
        took, used = time.perf_counter() - begun, time.process_time() - used
    stored = sum(file.stat().st_size for file in folder.glob("talk.db*"))
    return _figures(took, used, turns, stored)


def langgraph_resumed(folder: Path, *, turns: int) -> dict[str, float]:
    """Kill it in the middle with LangGraph; the program invokes the thread again by its name."""
    from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: PLC0415

    path = str(folder / "talk.db")

    def hold(visits: Visits) -> None:
        with SqliteSaver.from_conn_string(path) as saver:
            app = _graph(visits.tool()).compile(saver)
            for _ in range(turns):
                _ask(app)

    killed(hold, turns)
    visits = Visits()
    graph = _graph(visits.tool())
    begun = time.perf_counter()
    with SqliteSaver.from_conn_string(path) as saver:
        graph.compile(saver).invoke(None, _ONE, durability="sync")
        return {"resume": visits.milliseconds_since(begun)}


_Turn = Callable[[list[Any]], Awaitable[list[Any]]]


def _workflow(folder: Path, weather: Callable[[str], str]) -> _Turn:
    """Set DBOS up; return a workflow that is one turn. Its history is the program's own."""
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

    decorated: _Turn = turn
    return decorated


def dbos(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it with pydantic-ai on DBOS."""
    from dbos import DBOS  # noqa: PLC0415

    turn = _workflow(folder, weather)
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


def dbos_resumed(folder: Path, *, turns: int) -> dict[str, float]:
    """Kill it in the middle with DBOS, which goes on with the workflow when it is launched."""
    from dbos import DBOS  # noqa: PLC0415
    from pydantic_ai.durable_exec.dbos import DBOSDurability  # noqa: F401, PLC0415 - imported first

    def hold(visits: Visits) -> None:
        turn = _workflow(folder, visits.tool())
        DBOS.launch()

        async def talk() -> None:
            history: list[Any] = []
            for _ in range(turns):
                history = await turn(history)

        asyncio.run(talk())

    killed(hold, turns)
    visits = Visits()
    begun = time.perf_counter()
    _workflow(folder, visits.tool())
    DBOS.launch()
    took = visits.milliseconds_since(begun)
    DBOS.destroy()
    return {"resume": took}
