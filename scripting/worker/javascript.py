"""JavaScript, by QuickJS: the script sees the language, and nothing of a browser or of Node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import _quickjs

from .confine import ENGINE, confine
from .task import Task, engine_failed, prelude

STACK: Final = 2 << 20
"""Bytes: the value that nests deepest takes less."""


class JavaScript:
    """Run one script; the prelude in JavaScript encodes, decodes and reports.

    The engine's own time limit is not used: with one it makes no calls of its host, and it begins
    anew with each job. The host kills.
    """

    def __init__(self, memory: int) -> None:
        """Make the engine, which takes ``memory`` bytes at most, and close it in."""
        self._context = _quickjs.Context()
        self._context.set_memory_limit(memory)
        self._context.set_max_stack_size(STACK)
        self._prelude = prelude("prelude.js")
        self._begin: Callable[..., object] | None = None
        self._outcome: Callable[[], str | None] | None = None
        self.walls = confine(ENGINE)

    def run(self, task: Task, ask: Callable[[bytes], bytes]) -> bytes:
        """Run a script; return what its host is told of the end."""
        try:
            if self._begin is None:
                self._prepare(task, ask)
            assert self._begin is not None, "it is prepared"
            assert self._outcome is not None, "it is prepared"
            self._begin(task.source, task.entry, task.arguments, task.typed, task.name)
            while self._context.execute_pending_job():
                pass  # for ever, if the script will: its host has a deadline
            told = self._outcome()
        except (_quickjs.JSException, _quickjs.StackOverflow, MemoryError) as error:
            full = "out of memory" in str(error)
            return engine_failed("memory" if full else "error", str(error).partition("\n")[0])
        if told is None:
            return engine_failed("error", "the script awaits what nobody brings")
        return str(told).encode()

    def _prepare(self, task: Task, ask: Callable[[bytes], bytes]) -> None:
        context = self._context

        def host(payload: str) -> str:
            return ask(payload.encode()).decode()

        context.add_callable("__host", host)
        context.set("__calls", " ".join(call.name for call in task.calls))
        context.set("me", task.me)
        context.eval(self._prelude)
        self._begin, self._outcome = context.get("__begin"), context.get("__outcome")
        context.eval("delete globalThis.__begin; delete globalThis.__outcome")
