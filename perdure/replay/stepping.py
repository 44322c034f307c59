"""A replayed turn under a debugger."""

from __future__ import annotations

import bdb
import inspect
import sys
from collections.abc import Coroutine
from typing import Any

from pykka.messages import ProxyCall


class Stepping:
    """Give a message to an agent under a debugger.

    It stops at the first line of the handler, and once more when that has ended: in ``ended``,
    where ``agent``, ``state``, ``result`` and ``error`` can be looked at.
    """

    def __init__(self, debugger: bdb.Bdb) -> None:
        """Step with a debugger."""
        self._debugger = debugger

    def __call__(self, agent: Any, message: object) -> object:  # noqa: ANN401 - an Agent
        """Give it the message; return what the handler returns, or raise what it raises."""
        args: tuple[Any, ...] = (message,)
        kwargs: dict[str, Any] = {}
        method = agent.on_receive
        if isinstance(message, ProxyCall):
            path, args, kwargs = message
            method = getattr(agent, path[0])
        if inspect.iscoroutinefunction(method):
            return self._awaited(agent, method(*args, **kwargs))
        try:
            result = self._debugger.runcall(method, *args, **kwargs)
        except Exception as error:
            self._stop_behind(agent, None, error)
            raise
        self._stop_behind(agent, result, None)
        return result

    async def _awaited(self, agent: Any, coroutine: Coroutine[Any, Any, object]) -> object:  # noqa: ANN401
        self._debugger.reset()
        sys.settrace(self._debugger.trace_dispatch)
        try:
            result = await coroutine
        except Exception as error:
            sys.settrace(None)
            self._stop_behind(agent, None, error)
            raise
        finally:
            sys.settrace(None)
        self._stop_behind(agent, result, None)
        return result

    def _stop_behind(self, agent: Any, result: object, error: Exception | None) -> None:  # noqa: ANN401
        if not isinstance(error, bdb.BdbQuit):
            self._debugger.runcall(ended, agent, agent.state, result, error)


def ended(agent: object, state: object, result: object, error: Exception | None) -> None:  # noqa: ARG001
    """Be where a debugger stops when the handler has ended."""
    return  # the handler has ended: look at state, result and error


def terminal_debugger() -> bdb.Bdb:
    """Return a pdb for this terminal that leaves the process's signals alone."""
    import pdb  # noqa: PLC0415, T100 - whoever opens a system need not wait for it

    return pdb.Pdb(nosigint=True, readrc=False)
