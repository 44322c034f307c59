"""``perdure run``: a system that works until it is told to stop, and then drains."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

from rich.live import Live

from ...actors.agent.program import Main, Program, load_program
from ...actors.system.options import Resources
from ...lifecycle import signals
from ...persistence.errors import ConfigurationError, Fenced, StoreError, SystemClosed
from ...system import AgentSystem
from ..terminal import logs
from ..terminal.exits import ExitCode
from ..terminal.screen import Screen

logger = logging.getLogger("perdure.cli")

REFRESH: Final = 0.5
"""Seconds between two updates of the status line."""
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a system stops."""

    reason: str
    error: BaseException | None = None


Events: TypeAlias = "queue.SimpleQueue[Stop]"


def refuse_several(target: str, more: list[str]) -> None:
    """Refuse more than one program; ConfigurationError says how to run several classes."""
    if more:
        names = ", ".join(each.rpartition(":")[2] for each in (target, *more))
        message = (
            f"`run` takes one MODULE:NAME, not {1 + len(more)}; to run several classes, name a list"
            f" of them: AGENTS = [{names}] in a module, and MODULE:AGENTS here"
        )
        raise ConfigurationError(message)


def run(
    target: str, store: str, *, sync: str, drain: float, workers: int | None, level: str
) -> ExitCode:
    """Run a program until SIGTERM or SIGINT, then drain for up to ``drain`` seconds."""
    # Whoever reads the output may go away; the agents do not follow.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    program = load_program(target, Path.cwd())
    handler = logs.set_up(level)
    try:
        # SimpleQueue is the one queue a signal handler may put into.
        events: Events = queue.SimpleQueue()
        with stop_signals(events):
            return _serve(program, store, events, sync=sync, drain=drain, workers=workers)
    finally:
        if handler is not None:
            logging.getLogger().removeHandler(handler)


def _serve(
    program: Program, store: str, events: Events, *, sync: str, drain: float, workers: int | None
) -> ExitCode:
    resources = Resources() if workers is None else Resources(workers=workers)
    system = AgentSystem.open(store, agents=program.agents, sync=sync, resources=resources)
    kinds = ", ".join(sorted(agent.kind for agent in program.agents))
    logger.info(
        "running %s on %s as process %d; agents: %s", program.name, store, os.getpid(), kinds
    )
    try:
        with _watch_ownership(system, events):
            if program.main is not None:
                _start_main(program.main, system, events)
            stop = _wait(system, store, events)
    except BaseException:
        system.close(drain)
        raise
    logger.info("%s: draining for up to %g s; again to quit at once", stop.reason, drain)
    drained = close(system, drain)
    return _verdict(stop, drained=drained)


@contextlib.contextmanager
def stop_signals(events: Events) -> Iterator[None]:
    """Turn the first signal into an event, and leave the second to the kernel."""

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        events.put(Stop(signal.Signals(number).name))

    former = [(number, signal.signal(number, stop)) for number in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, action in former:
            signal.signal(number, action)


@contextlib.contextmanager
def _watch_ownership(system: AgentSystem, events: Events) -> Iterator[None]:
    """Stop when another process has taken the store over: nothing can be saved any more."""

    def store_lost(_sender: object, event: signals.SaveEvent) -> None:
        taken = isinstance(event.error, Fenced)
        events.put(Stop("the store was taken over" if taken else "the store is lost", event.error))

    signals.store_lost.connect(store_lost, sender=system)
    try:
        yield
    finally:
        signals.store_lost.disconnect(store_lost, sender=system)


def _start_main(main: Main, system: AgentSystem, events: Events) -> None:
    """Call the program's function beside the wait for signals; its return stops nothing."""

    def call() -> None:
        try:
            main(system)
        except SystemClosed:
            logger.info("main ended: the system is closed")
        except BaseException as error:
            logger.exception("main failed")
            events.put(Stop("main failed", error))

    threading.Thread(target=call, name="perdure-main", daemon=True).start()


def _wait(system: AgentSystem, store: str, events: Events) -> Stop:
    screen = Screen(error=True)
    if not screen.terminal:
        return events.get()
    status = _StatusLine(system, store)
    with Live(console=screen.console, auto_refresh=False, transient=True) as live:
        while True:
            text = screen.text(status.line(), "dim")
            text.no_wrap, text.overflow = True, "crop"
            live.update(text, refresh=True)
            with contextlib.suppress(queue.Empty):
                return events.get(timeout=REFRESH)


class _StatusLine:
    """How a system is doing, on one line."""

    def __init__(self, system: AgentSystem, store: str) -> None:
        self._system = system
        self._store = Path(store).name
        self._turns = 0
        self._looked = time.monotonic()

    def line(self) -> str:
        """Return the line for now."""
        now = time.monotonic()
        facts = self._system.statistics()
        rate = (facts.turns - self._turns) / max(now - self._looked, REFRESH)
        self._turns, self._looked = facts.turns, now
        parts = [
            self._store, f"{facts.live:,} live", f"{facts.turns:,} turns", f"{rate:,.0f}/s",
            f"{facts.waiting:,} waiting", f"{facts.saves.backlog:,} unsaved",
        ]  # fmt: skip
        if facts.saves.breaker != "closed":
            parts.append(f"STORE FAILING ({facts.saves.last_error})")
        return "  ".join(parts)


def close(system: AgentSystem, drain: float) -> bool:
    """Close a system within ``drain`` seconds, and say in the log how that went."""
    started = time.monotonic()
    drained = system.close(drain)
    facts = system.statistics()
    took = time.monotonic() - started
    if drained:
        logger.info("drained in %.1f s after %d turns", took, facts.turns)
    else:
        logger.error(
            "not drained within %g s: a handler or a save did not end; what was acknowledged is"
            " durable, and messages that were not handled wait in the store", drain,
        )  # fmt: skip
    return drained


def _verdict(stop: Stop, *, drained: bool) -> ExitCode:
    if isinstance(stop.error, StoreError):
        raise stop.error
    if not drained:
        leave(ExitCode.PROBLEMS)
    return ExitCode.DONE if stop.error is None else ExitCode.PROBLEMS


def leave(code: ExitCode, leave: Callable[[int], Any] = os._exit) -> None:
    """End the process past handlers that hang: an ordinary exit could wait for their threads."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    leave(code)
