"""``perdure mcp``: agents served as tools of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import queue
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from ...actors.agent.program import load_program
from ...mcp.tokens import token_in
from ...mcp.tools import served
from ...persistence.errors import ConfigurationError
from ...system import AgentSystem
from ..terminal import logs
from ..terminal.exits import ExitCode
from .run import Events, Stop, close, leave, stop_signals

INSTALL: Final = 'serving agents as tools needs the MCP SDK: pip install "perdure[mcp]"'


def handle(
    target: str,
    store: str,
    *,
    http: int | None,
    token_file: str | None,
    sync: str,
    drain: float,
    level: str,
) -> ExitCode:
    """Serve the agents of a program until the client is gone or a signal comes, then drain."""
    if importlib.util.find_spec("mcp") is None:
        raise ConfigurationError(INSTALL)
    if token_file is not None and http is None:
        raise ConfigurationError("--token-file goes with --http: standard streams have one client")
    token = None if token_file is None else token_in(Path(token_file))
    program = load_program(target, Path.cwd())
    if program.main is not None:
        raise ConfigurationError(f"{target} is a function; name an Agent class, or a list of them")
    tools = served(program.agents)
    logs.set_up(level)
    events: Events = queue.SimpleQueue()
    with stop_signals(events):
        system = AgentSystem.open(store, agents=program.agents, sync=sync)
        from ...mcp import server

        made = server.server_of("perdure", tools, system.agent)
        if http is None:
            _start(lambda: server.serve_streams(made), events)
        else:
            _start(lambda: server.serve_http(made, http, token, _say), events)
        stop = events.get()
        logging.getLogger("perdure.cli").info("%s: draining", stop.reason)
        drained = close(system, drain)
    if stop.error is not None:
        raise stop.error
    # A thread may read standard input for ever: an ordinary exit would wait for it.
    leave(ExitCode.DONE if drained else ExitCode.PROBLEMS)
    return ExitCode.DONE


def _say(address: str) -> None:
    print(address, flush=True)  # noqa: T201 - whoever has started this process waits for it


def _start(serve: Callable[[], Coroutine[Any, Any, None]], events: Events) -> None:
    """Serve beside the wait for signals, and say when that has ended."""

    def call() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends by it
            events.put(Stop("serving failed", error))
        else:
            events.put(Stop("the client is gone"))

    threading.Thread(target=call, name="perdure-mcp", daemon=True).start()
