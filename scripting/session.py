"""What somebody types: input for input, in one worker, each committed by itself."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ..persistence.errors import ConfigurationError
from .calls import Calls, Output
from .language import Language
from .options import ScriptLimits
from .pool import WorkerPool
from .process import Worker
from .reach import SystemReach
from .run import Ended, ScriptRun
from .script import Script, ScriptResult


class ScriptSession:
    """Run one input after another; each finds what those before it have defined.

    Use as a context manager, on one thread at a time. Each input has the limits of a script, and
    is a commit of its own. After one that was killed, or ended at a call that another's change
    made vain (Conflict), the session begins anew, with nothing defined.
    """

    def __init__(
        self, pool: WorkerPool, limits: ScriptLimits, language: Language, reach: SystemReach
    ) -> None:
        """Run inputs in ``language`` as the principal of ``reach``."""
        if reach.in_turn:
            raise ConfigurationError("a session commits each input: it is no part of a handler")
        self._pool = pool
        self._limits = limits
        self._language = language
        self._reach = reach
        self._worker: Worker | None = None
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def begun(self) -> bool:
        """Whether there is what earlier inputs have defined."""
        return self._worker is not None

    def close(self) -> None:
        """End its worker; idempotent."""
        self._worker = None
        self._held.close()

    def run(self, source: str) -> ScriptResult:
        """Run an input and return what came of it, as ``Scripts.run`` does; it is run once."""
        if self._worker is None:
            self._worker = self._held.enter_context(self._pool.worker(self._language))
        run = self._begun(self._worker, Script(self._language, source, "input"))
        try:
            return self._ran(run)
        finally:
            if not run.over:
                self.close()

    def _begun(self, worker: Worker, script: Script) -> ScriptRun:
        limits, reach = self._limits, self._reach
        reach.deadline = deadline = time.monotonic() + limits.seconds
        output = Output(script.name, limits.output)
        calls = Calls(reach.state, reach.artifacts, reach, output, limits.message)
        return ScriptRun(worker, script, calls, limits, deadline)

    def _ran(self, run: ScriptRun) -> ScriptResult:
        since = time.monotonic()
        run.begin("", (), typed=True)
        while True:
            with self._reach.state.transaction():
                part = run.go_on(commits=True)
            if isinstance(part, Ended):
                seconds, log = time.monotonic() - since, tuple(run.calls.output.lines)
                return ScriptResult(part.value, log, run.made, seconds)
            run.answer()
