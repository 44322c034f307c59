"""The server: tools of agents over standard streams, or over HTTP on loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from ..llm.failures import contained
from ..persistence.errors import ConfigurationError, told
from .tokens import TokenGate
from .tools import Progress, Reference, ServedTool

LOOPBACK: Final = "127.0.0.1"
PATH: Final = "/mcp"


def server_of(name: str, tools: Mapping[str, ServedTool], agents: Reference) -> Server[Any]:
    """Return a server of tools; what a call raises the client is told, as a result that failed."""
    listed = [
        types.Tool(name=tool.name, description=tool.about, input_schema=tool.schema())
        for tool in tools.values()
    ]

    async def list_tools(_context: object, _asked: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, asked: types.CallToolRequestParams) -> Any:  # noqa: ANN401 - as the SDK has it
        tool = tools.get(asked.name)
        if tool is None:
            return _result(f"there is no tool {asked.name!r:.80}; list the tools", failed=True)
        try:
            made = tool.answer(agents, asked.arguments or {}, _progress(context))
            text = await contained(made)  # what it raises must not end the server, as SystemExit
        except Exception as error:  # noqa: BLE001 - whatever a handler raises: the server goes on
            return _result(told(error), failed=True)
        return _result(text, failed=False)

    return Server(name, on_list_tools=list_tools, on_call_tool=call_tool)


def _progress(context: Any) -> Progress | None:  # noqa: ANN401 - a context of the SDK
    """Return what tells the client of progress; None if it does not want to know."""
    wanted = "progress_token" in (context.meta or {})
    return context.session.report_progress if wanted else None


def _result(text: str, *, failed: bool) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], is_error=failed
    )


async def serve_streams(server: Server[Any]) -> None:
    """Serve one client on standard input and output, until it closes them.

    Meanwhile what anybody prints goes to standard error.
    """
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def serve_http(
    server: Server[Any], port: int, token: str | None, ready: Callable[[str], object]
) -> None:
    """Serve clients of this machine over HTTP, until the process ends; port 0 takes a free one.

    ``ready`` is told the address. What a page of another origin has a browser ask is refused, and
    where there is a ``token`` whoever does not show it.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError as error:
            message = f"port {port} of {LOOPBACK} cannot be used ({error.strerror}); take another"
            raise ConfigurationError(message) from None
        listener.listen()
        ready(f"http://{LOOPBACK}:{listener.getsockname()[1]}{PATH}")
        app: Any = server.streamable_http_app(streamable_http_path=PATH, host=LOOPBACK)
        app = app if token is None else TokenGate(app, token)
        settings = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on")
        await uvicorn.Server(settings).serve([listener])
