"""What a run puts in the place of threads, locks, queues, clocks and chance, and takes back.

Nothing of the library knows of it, so nothing there costs anything. The names stand in modules that
all threads of the process share; each asks who calls, and gives threads that are no part of the run
the real thing.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread as executors
import contextlib
import functools
import gc
import itertools
import logging
import os
import queue
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, Final

from ...lifecycle import clock as clocks
from .loop import SimulatedLoop
from .modules import import_all
from .primitives import Lock, RLock, SimpleQueue
from .scheduler import EPOCH, START, Scheduler
from .tasks import Killed

_LOCK: Final = type(threading.Lock())
_MAKE: Final = threading.Thread.__init__
_JOIN: Final = threading.Thread.join
_IS_ALIVE: Final = threading.Thread.is_alive
_HANDLE: Final = logging.Logger.handle
_SEED: Final = random.Random.seed
_one: Final = threading.Lock()
_LOOK_SECONDS: Final = 600.0
_NANO: Final = 1_000_000_000


class _Either:
    """Call one thing in threads of the run and the real one in others; looks like the real one."""

    def __init__(
        self, scheduler: Scheduler, mine: Callable[..., Any], real: Callable[..., Any]
    ) -> None:
        self._here = scheduler.here
        self._mine, self._real = mine, real

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it is
        return (self._real if self._here() is None else self._mine)(*args, **kwargs)

    def __getitem__(self, _type: object) -> _Either:
        return self  # SimpleQueue[int]()

    def __or__(self, other: Any) -> Any:  # noqa: ANN401 - an annotation
        return self._real | other

    def __instancecheck__(self, value: object) -> bool:
        real = self._real
        return isinstance(value, Lock | SimpleQueue) or (
            isinstance(real, type) and isinstance(value, real)
        )


class Stage:
    """The replacements of one run."""

    def __init__(
        self,
        scheduler: Scheduler,
        randomness: random.Random,
        more: Sequence[tuple[Any, str, Any]] = (),
    ) -> None:
        """Replace for the threads of ``scheduler``; what they draw comes from ``randomness``."""
        self._scheduler = scheduler
        self._random = randomness
        self._more = more
        self._shared: list[Lock] = []

    @contextlib.contextmanager
    def set_up(self) -> Iterator[None]:
        """Replace everything during the block; one run at a time in a process."""
        import_all()
        with _one, warnings.catch_warnings(), contextlib.ExitStack() as undo:
            # Of what a crash has left.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            collects = gc.isenabled()
            gc.disable()  # when it comes depends on what ran before
            if collects:
                undo.callback(gc.enable)
            undo.callback(random.setstate, random.getstate())
            random.seed(self._random.getrandbits(64))
            places = [*self._names(), *self._times(), *self._shared_locks(), *self._more]
            for owner, name, value in places:
                undo.callback(setattr, owner, name, _raw(owner, name))
                setattr(owner, name, value)
            yield
            gc.collect(0)  # all that is young is the run's; and what a crash has left complains now

    def _either(self, mine: Callable[..., Any], real: Callable[..., Any]) -> _Either:
        return _Either(self._scheduler, mine, real)

    def _names(self) -> list[tuple[Any, str, Any]]:
        scheduler, either = self._scheduler, self._either
        lock = either(lambda: Lock(scheduler), threading.Lock)
        bytes_ = either(self._random.randbytes, os.urandom)
        loop = either(lambda: SimulatedLoop(scheduler), asyncio.new_event_loop)
        return [
            (threading, "Lock", lock),
            (threading, "_allocate_lock", lock),
            (threading, "_counter", itertools.count(1).__next__),  # the names of threads
            (threading, "RLock", either(lambda: RLock(scheduler), threading.RLock)),
            (threading.Thread, "__init__", self._make()),
            (threading.Thread, "__hash__", _hash),
            (threading.Thread, "start", self._start()),
            (threading.Thread, "join", self._join()),
            (threading.Thread, "is_alive", _is_alive),
            (queue, "SimpleQueue", either(lambda: SimpleQueue(scheduler), queue.SimpleQueue)),
            (executors, "_global_shutdown_lock", Lock(scheduler)),
            (asyncio, "new_event_loop", loop),
            (asyncio.events, "new_event_loop", loop),
            (logging.Logger, "handle", self._log()),
            (sys, "unraisablehook", _unraisable(sys.unraisablehook)),
            (os, "urandom", bytes_),
            (random, "_urandom", bytes_),
            (random.Random, "seed", self._seed()),
        ]

    def _times(self) -> list[tuple[Any, str, Any]]:
        scheduler, either = self._scheduler, self._either
        monotonic = either(lambda: scheduler.now, time.monotonic)
        wall = either(lambda: EPOCH + scheduler.now, time.time)
        counter = either(lambda: scheduler.now, time.perf_counter)
        return [
            (time, "monotonic", monotonic),
            (time, "time", wall),
            (time, "perf_counter", counter),
            (time, "monotonic_ns", either(lambda: int(scheduler.now * _NANO), time.monotonic_ns)),
            (time, "time_ns", either(lambda: int((EPOCH + scheduler.now) * _NANO), time.time_ns)),
            (time, "sleep", either(self._sleep, time.sleep)),
            (threading, "_time", monotonic),
            (queue, "time", monotonic),
            (clocks.SystemClock, "now", staticmethod(wall)),
            (clocks, "LOOK_SECONDS", _LOOK_SECONDS),  # nobody sets the clock of a run
        ]

    def _shared_locks(self) -> list[tuple[Any, str, Any]]:
        """Replace locks of modules: one that is held where others run would be waited for."""
        places = [(module, name) for module in _modules() for name in _locks_of(module)]
        self._shared = [Lock(self._scheduler) for _ in places]
        return [(*place, lock) for place, lock in zip(places, self._shared, strict=True)]

    def renew(self) -> None:
        """Begin another life: a new process has new locks, whoever held those of the old one."""
        for lock in self._shared:
            lock.__init__(self._scheduler)  # type: ignore[misc]

    def _sleep(self, seconds: float) -> None:
        task = self._scheduler.here()
        assert task is not None
        if seconds > 0:
            self._scheduler.block(task, [], self._scheduler.now + seconds, "sleeps")
        else:
            self._scheduler.point(task, "sleeps")

    def _make(self) -> Callable[..., None]:
        """Give threads numbers: a set of them is gone through in the order of their hashes."""
        scheduler, numbers = self._scheduler, itertools.count()

        def make(self: threading.Thread, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            if scheduler.here() is not None:
                vars(self)["number"] = next(numbers)
            _MAKE(self, *args, **kwargs)

        return make

    def _start(self) -> Callable[[threading.Thread], None]:
        scheduler = self._scheduler

        def start(thread: threading.Thread) -> None:
            task = scheduler.here()
            if task is None:
                START(thread)
                return
            if scheduler.ended:
                task.strike()
            task.real += 1
            vars(thread)["_started"] = threading.Event()  # the one it has is simulated
            task.real -= 1
            scheduler.begin(thread)
            scheduler.point(task, "has started a thread")

        return start

    def _join(self) -> Callable[..., None]:
        scheduler = self._scheduler

        def join(thread: threading.Thread, timeout: float | None = None) -> None:
            task, other = scheduler.here(), vars(thread).get("simulated")
            if task is None or other is None:
                _JOIN(thread, timeout)
                return
            scheduler.point(task, "joins a thread")
            deadline = None if timeout is None else scheduler.now + max(0.0, timeout)
            while not other.done:
                if not scheduler.block(task, other.joiners, deadline, f"joins {other}"):
                    return

        return join

    def _log(self) -> Callable[[logging.Logger, logging.LogRecord], None]:
        """Keep log records for the log of the run: that of a thousand runs is nobody's."""
        scheduler = self._scheduler

        def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
            task = scheduler.here()
            if task is None:
                _HANDLE(logger, record)
            elif scheduler.ended:
                task.strike()
            else:
                scheduler.note(f"{record.levelname.lower()}: {record.getMessage()}")

        return handle

    def _seed(self) -> Callable[..., None]:
        scheduler, randomness = self._scheduler, self._random

        def seed(self: random.Random, a: Any = None, version: int = 2) -> None:  # noqa: ANN401
            if a is None and scheduler.here() is not None:
                a = randomness.getrandbits(64)
            _SEED(self, a, version)

        return seed


def _hash(thread: threading.Thread) -> int:
    number: int | None = vars(thread).get("number")
    return object.__hash__(thread) if number is None else number


def _is_alive(thread: threading.Thread) -> bool:
    task = vars(thread).get("simulated")
    return _IS_ALIVE(thread) if task is None else not task.done


def _unraisable(real: Callable[..., object]) -> Callable[..., object]:
    """Return a hook that does not tell of strikes: what is struck as it is freed has ended."""

    def told(unraisable: Any) -> None:  # noqa: ANN401 - its type is known to type checkers alone
        if not isinstance(unraisable.exc_value, Killed):
            real(unraisable)

    return told


def _raw(owner: Any, name: str) -> Any:  # noqa: ANN401 - a module or a class, and what it has there
    """Return what stands there itself, not what it gives when it is asked of a class."""
    return vars(owner)[name] if name in vars(owner) else getattr(owner, name, None)


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "perdure" and isinstance(module, ModuleType)
    ]


@functools.cache
def _locks_of(module: ModuleType) -> list[str]:
    """Return the names of a module of the library that stand for locks; it is whole by now."""
    if module.__name__ == __name__:
        return []
    return [name for name, value in list(vars(module).items()) if type(value) is _LOCK]
