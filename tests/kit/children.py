"""Python programs as child processes: run to their end, or killed on the way."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0
"""Seconds after which a child that should end counts as hung."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: no settings of the developer's shell."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("PERDURE_")}
    ours.pop("COLUMNS", None)
    return {**ours, "PYTHONUNBUFFERED": "1", **more}


def finished(*arguments: object, **more: str) -> tuple[str, str]:
    """Run ``python ARGUMENTS`` in the checkout to its end; return its output and its errors.

    It must end with 0. ``more`` goes into its environment. The time is the test's own.
    """
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT, env=environment(**more), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout, done.stderr


@contextmanager
def started(*arguments: object, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``python ARGUMENTS`` in the checkout; whatever happens, it is gone afterwards.

    It must have ended well or by SIGKILL, which is what the end of the block does to it.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT, env=environment(**more),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                process.kill()
        errors.seek(0)
        words = errors.read().decode(errors="replace")
    assert process.returncode in (0, -9), f"exit code {process.returncode}\n{words[-4000:]}"


def kill_after(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Kill a child after so long, unless it has ended by then."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()


class Aim:
    """When to kill a child: learned from round to round, for how busy the machine is changes."""

    def __init__(self, randomness: Random, seconds: float = 1.0) -> None:
        """Begin with about ``seconds``."""
        self._randomness = randomness
        self._seconds = seconds
        self._longer = 1.5

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a child at some moment of its life, or let it come to its end."""
        kill_after(process, self._seconds * self._randomness.uniform(0.5, 1.5))
        if process.wait() == 0:
            self._longer = 1.05  # from now on it is known about how long one lives
            self._seconds *= 0.9
        else:
            self._seconds *= self._longer
