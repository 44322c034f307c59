"""Lua 5.4, by lupa: the script sees the standard library without files, programs and debug."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

from .confine import ENGINE, confine
from .task import Task, engine_failed, prelude

# By name: the types that checkers bring for lupa are of another release.
lua54: Final[Any] = importlib.import_module("lupa.lua54")


class Lua:
    """Run one script; the prelude in Lua encodes, decodes and reports, this hands texts over."""

    def __init__(self, memory: int) -> None:
        """Make the engine, which takes ``memory`` bytes at most, and close it in."""
        self._state = lua54.LuaRuntime(
            encoding=None,  # texts pass as bytes
            register_eval=False,
            register_builtins=False,
            attribute_filter=_refuse,
            max_memory=memory,
        )
        self._begin = self._state.eval(
            b"function(source, ...) return load(source, '=perdure', 't')(...) end"
        )
        self._prelude = prelude("prelude.lua").encode()
        self._run: Any = None
        self.walls = confine(ENGINE)

    def run(self, task: Task, ask: Callable[[bytes], bytes]) -> bytes:
        """Run a script; return what its host is told of the end."""
        if self._run is None:
            calls = " ".join(call.name for call in task.calls).encode()
            self._run = self._begin(self._prelude, ask, task.name.encode(), calls, task.me.encode())
        given = (task.source.encode(), task.entry.encode(), task.arguments.encode(), task.typed)
        try:
            return bytes(self._run(*given))
        except (lua54.LuaMemoryError, MemoryError):
            return engine_failed("memory", "the script takes more memory than it may")
        except lua54.LuaError as error:
            return engine_failed("error", str(error))


def _refuse(*_asked: object) -> NoReturn:
    raise AttributeError("a script has no access to objects of its host")
