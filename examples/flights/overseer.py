"""Starts the worker, kills it with SIGKILL, starts it again, until a worker ends by itself."""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import IO, Protocol

import msgspec

from .worker import INTERVAL, Beat

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds without a beat after which a worker counts as hung."""

TURNS_PER_FLIGHT = 4
"""The aircraft, two airports and the carrier."""


class WorkerFailedError(Exception):
    """The worker ended in a way nobody asked for, or hung."""


@dataclass(frozen=True, slots=True)
class Life:
    """One worker process, from its start to its end."""

    number: int
    """From 1."""
    pid: int
    turns: int
    """All of them, durable or not."""
    found: int | None
    """The first count of flights it told of; None if it died before."""
    told: int
    """The last count of flights it or a predecessor told of."""
    seconds: float
    """From its first beat to its end: the time in which it worked."""
    killed: bool


class Watcher(Protocol):
    """Who is told what happens."""

    def beat(self, number: int, beat: Beat) -> None:
        """Take note of how far a life is."""

    def ended(self, life: Life) -> None:
        """Take note that a worker was killed, or has done its work."""


def moments(flights: int, kills: int, random: Random) -> list[int]:
    """Return when to kill, in counted flights: at random in each of `kills` equal parts of the run.

    The first and the last twentieth are left out, so that each kill meets a worker at its work.
    """
    part = flights * 0.9 / max(kills, 1)
    return [int(flights * 0.05 + part * (index + random.random())) for index in range(kills)]


class Overseer:
    """Runs workers on one store, one after the other."""

    def __init__(self, store: Path, source: Path, random: Random, watcher: Watcher) -> None:
        self._command = [sys.executable, "-m", "examples.flights.worker", str(store), str(source)]
        self._random = random
        self._watcher = watcher
        self._moments: deque[int] = deque()
        self._told = 0

    def run(self, when: Iterable[int]) -> list[Life]:
        """Start workers until one of them ends by itself, and kill one at each of the moments.

        A moment has come when the worker has made as many turns as the flights take that were
        missing when it began. These turns need not be durable: so a kill falls anywhere in a commit
        cycle, and what it undoes is done again. A worker that is done before gets away.

        Raises:
            WorkerFailedError: when a worker ends with an error, or says nothing for a minute.
        """
        self._moments.extend(when)
        lives: list[Life] = []
        while not lives or lives[-1].killed:
            lives.append(self._live(len(lives) + 1))
            self._watcher.ended(lives[-1])
        return lives

    def _live(self, number: int) -> Life:
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            try:
                life = self._follow(process, number)
            finally:
                process.kill()  # does nothing to a process that has ended
            code = process.wait()
            if code not in {0, -signal.SIGKILL}:
                raise WorkerFailedError(_last_words(code, errors))
        return replace(life, killed=code != 0)

    def _follow(self, process: subprocess.Popen[bytes], number: int) -> Life:
        """Follow a worker to its end, which may be ours to bring about."""
        missing = self._moments[0] - self._told if self._moments else None
        found = None
        beat = Beat(0)
        began = time.monotonic()
        for index, beat in enumerate(_beats(process)):
            began = time.monotonic() if index == 0 else began
            if beat.flights is not None:
                self._told = beat.flights
                found = self._told if found is None else found
            self._watcher.beat(number, beat)
            if missing is not None and beat.turns >= missing * TURNS_PER_FLIGHT and not beat.done:
                self._moments.popleft()
                _kill(process, after=self._random.uniform(0, INTERVAL))
                break
        else:
            process.wait(PATIENCE)
        seconds = time.monotonic() - began
        return Life(number, process.pid, beat.turns, found, self._told, seconds, killed=False)


def _kill(process: subprocess.Popen[bytes], after: float) -> None:
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()


def _beats(process: subprocess.Popen[bytes]) -> Iterator[Beat]:
    """Return the beats until the worker closes its stdout; a line that a kill cut short is none."""
    stdout = process.stdout.fileno() if process.stdout else -1
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while selector.select(PATIENCE):
            read = os.read(stdout, 65536)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from (msgspec.json.decode(line, type=Beat) for line in lines)
    raise WorkerFailedError(f"The worker (pid {process.pid}) said nothing for {PATIENCE:.0f} s.")


def _last_words(code: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    return f"The worker ended with exit code {code}:\n{errors.read().decode(errors='replace')}"
