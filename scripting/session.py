"""What somebody types: input for input, in one worker, each committed by itself."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Self

from ..persistence.errors import ConfigurationError
from .language import Language
from .options import ScriptLimits
from .pool import WorkerPool
from .process import Worker
from .reach import SystemReach
from .run import ScriptRun
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

    def __exit__(self, *_error: object) -> None:
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
        script, begun = Script(self._language, source, "input"), time.monotonic()
        deadline = begun + self._limits.seconds
        run = ScriptRun(self._worker, script, self._reach, self._limits, deadline)
        try:
            run.begin("", (), typed=True)
            with run.logged():
                ended = run.in_parts()
        finally:
            if not run.over:
                self.close()
        log = tuple(run.calls.output.lines)
        return ScriptResult(ended.value, log, run.made, time.monotonic() - begun)
