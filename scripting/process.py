"""A worker as its host sees it: started, asked, and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from ..persistence.errors import NotConfined, ScriptError
from .language import Language
from .options import Confinement, ScriptLimits
from .script import LARGEST_SOURCE
from .worker.confine import LANDLOCK, SECCOMP
from .worker.task import Order
from .worker.wire import FrameTooLarge, Wire

START_SECONDS: Final = 30.0
"""What a worker gets to start in."""
_SPARE: Final = 1 << 14
"""Bytes of a frame beside what is counted."""
_WORKER: Final = "perdure_script_worker"
_FOLDER: Final = str(Path(__file__).resolve().parent / "worker")
_BEGIN: Final = (
    f"import sys; from types import ModuleType; worker = ModuleType({_WORKER!r});"
    f" worker.__path__ = [{_FOLDER!r}]; sys.modules[{_WORKER!r}] = worker;"
    " sys.path += sys.argv[2:];"
    f" from {_WORKER}.main import main; main()"
)
"""The worker's modules alone: to import perdure would take longer than most scripts run."""
_NEEDED: Final = {
    Language.LUA: {SECCOMP},
    Language.JAVASCRIPT: {SECCOMP},
    # Its engine is a program, which must be able to start: landlock says what it can read.
    Language.PYTHON: {SECCOMP, LANDLOCK},
}


class WorkerGone(ScriptError):
    """Say that a worker ended without a word, or said what none says."""


class Worker:
    """A process with an engine, for one script."""

    def __init__(self, language: Language, limits: ScriptLimits) -> None:
        """Start the process, on the thread that is to outlive it: it is killed with that thread."""
        here, there = socket.socketpair()
        self.language = language
        self._wire = Wire(here, limits.message + _SPARE)
        self._ready = False
        with there:
            order = Order(
                there.fileno(), os.getpid(), language.value, limits.memory, limits.seconds,
                2 * limits.message + 4 * LARGEST_SOURCE + _SPARE, language.program(),
            )  # fmt: skip
            try:
                self._process = _started(order, language.folders())
            except OSError as error:
                here.close()
                raise WorkerGone(f"no process can be started for a script: {error}") from error

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def await_ready(self, confinement: Confinement) -> None:
        """Wait until it is closed in; NotConfined if it is less than is asked for."""
        if self._ready:
            return
        word, *rest = self.receive(time.monotonic() + START_SECONDS)
        if word != "ready":
            raise WorkerGone(f"{self.language.spelling} scripts cannot be run here: {rest[:1]}")
        walls = rest[0] if rest and isinstance(rest[0], list) else []
        missing = _NEEDED[self.language].difference(walls)
        if missing and confinement is Confinement.REQUIRED:
            raise NotConfined(self.language.spelling, " and ".join(sorted(missing)))
        self._ready = True

    def send(self, frame: bytes, deadline: float) -> None:
        """Send a frame; TimeoutError behind ``deadline``, WorkerGone if nobody is there."""
        try:
            self._wire.send(frame, deadline)
        except TimeoutError:
            raise
        except OSError:
            raise WorkerGone("the worker has ended") from None

    def receive(self, deadline: float) -> list[object]:
        """Return the next frame; TimeoutError behind ``deadline``.

        What comes is anybody's: a script may have broken out of its engine.
        """
        try:
            frame = self._wire.receive(deadline)
            said = msgspec.json.decode(frame, type=list[object])
        except TimeoutError:
            raise
        except (OSError, EOFError):
            raise WorkerGone("the worker has ended") from None
        except (FrameTooLarge, ValueError, RecursionError) as error:
            raise WorkerGone(f"the worker sends what cannot be read: {error}") from None
        if not said:
            raise WorkerGone("the worker sends nothing")
        return said

    def end(self) -> None:
        """Kill it with all that it has started; idempotent."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._wire.close()


def _started(order: Order, folders: list[str]) -> subprocess.Popen[bytes]:
    """Start a worker, with nothing of this process but its end of the socket."""
    return subprocess.Popen(  # noqa: S603 - this interpreter, our own code
        [sys.executable, "-I", "-S", "-c", _BEGIN, json.dumps(order), *folders],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[order.socket], cwd="/", env={}, start_new_session=True,
    )  # fmt: skip
