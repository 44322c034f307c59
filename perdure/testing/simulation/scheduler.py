"""One thread at a time: who runs is decided at every point where threads meet, and time with it."""

from __future__ import annotations

import heapq
import sys
import threading
from collections.abc import Callable
from typing import Final

from ..faults.strikes import Struck
from .choices import TIME, Choices, Place
from .tasks import Killed, Task

REAL_SECONDS: Final = 20.0
"""After which a run that does nothing is given up: a thread waits for what is not simulated."""
MOST_STEPS: Final = 3_000_000
"""Steps after which a run is given up: it goes round in circles."""
SLOW_SECONDS: Final = 0.06
"""By which a thread may be late though nobody holds it up."""
EPOCH: Final = 1_700_000_000.0
_get_ident: Final = threading.get_ident
_gate: Final = threading.Lock


class Stuck(AssertionError):
    """Nobody can go on, or the scenario waits for what does not come."""


class Scheduler:
    """Run tasks one at a time, in an order that ``choices`` decides.

    Invariant: of the threads of a run exactly one is not at its gate, or the controller runs (the
    thread that made the scheduler), which is no task. So nothing here takes a lock.
    """

    def __init__(self, choices: Choices, *, patience: float) -> None:
        """Let the main task wait for ``patience`` seconds of the run's time at most."""
        self._choices = choices
        self._patience = patience
        self.tasks: list[Task] = []
        self._live = 0
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, int, Task, int]] = []
        self._order = 0
        self._gate = _gate()
        self._gate.acquire()
        self.current: Task | None = None
        self.main: Task | None = None
        self._main_since = 0.0
        self.now = 0.0
        self.step = 0
        self.ended = False
        """The life is over; whoever is left is being ended."""
        self.crashing = False
        """The life ended by a crash."""
        self.fault: BaseException | None = None
        """What went wrong, first of all."""
        self.decisions: dict[Place, int] = {}
        """Where somebody else ran than the one who would by itself."""
        self.log: list[str] = []
        self.crash_step = 2**62
        self.crash_place: Place | None = None
        """Where the life ended, or is to end."""
        self.strike_step = 2**62
        """The step at or behind which a thread of the library begins to be struck."""
        self.strike: Callable[[], object] = _nobody
        self._stop_step = 0
        self._look()

    # For the controller.

    def run_life(self, life: int, body: Callable[[], None]) -> None:
        """Run ``body`` as the main task until it has ended or crashed; then end all others."""
        self.ended = self.crashing = False
        self.fault = None
        self._ready, self._timers, self.main = [], [], None
        self._main_since = self.now
        self.note(f"life {life}")
        thread = threading.Thread(target=body, name="scenario", daemon=True)
        self.main = self.begin(thread)
        self._give(self.main)
        self._wait_for_baton()
        self.ended = True
        self._reap()
        self.note(f"end of life {life}")

    def _wait_for_baton(self) -> None:
        step = -1
        while not self._gate.acquire(timeout=REAL_SECONDS):
            if step == self.step and self.current is not None:
                self.fail(Stuck(f"{self.current} waits outside the run:\n{_stack(self.current)}"))
                return
            step = self.step

    def _reap(self) -> None:
        """Strike all that are left, one after the other, until each has ended."""
        for task in self.tasks:
            if not task.done:
                self.current = task
                task.gate.release()
                self._wait_for_baton()
        self.current = None

    # For threads that begin and end.

    def begin(self, thread: threading.Thread) -> Task:
        """Start a thread as a task; it waits for the baton first."""
        task = Task(len(self.tasks), thread.name, self._gate.release)
        self.tasks.append(task)
        self._live += 1
        arrived, run = _gate(), thread.run
        arrived.acquire()

        def bootstrap() -> None:
            task.ident = _get_ident()
            arrived.release()
            task.gate.acquire()
            try:
                if not self.ended:
                    run()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - the run has failed, and says so
                # Who is struck as it ends has ended; if it was not to end, somebody is stuck now.
                if not self.ended and (task is self.main or not isinstance(error, Struck)):
                    self.fail(error)
            finally:
                if self.ended:
                    sys.settrace(None)  # no more strikes
                self._finish(task)

        thread.run = bootstrap  # type: ignore[method-assign]
        vars(thread)["simulated"] = task
        here = self.current
        try:
            if here is not None:
                here.real += 1
            START(thread)
            arrived.acquire()
        finally:
            if here is not None:
                here.real -= 1
        self._ready.append(task)
        return task

    def _finish(self, task: Task) -> None:
        """Pass the baton on for good."""
        task.done = True
        self._live -= 1
        if self.ended:
            self._gate.release()
            return
        self._ready.remove(task)
        self.wake(task.joiners)
        if task is self.main:
            self._gate.release()
            return
        self.step += 1
        task.steps += 1
        following = self._following(task)
        if following is not None:
            self._give(following)

    def fail(self, error: BaseException) -> None:
        """Take note of what went wrong."""
        if self.fault is None:
            self.fault = error

    # For tasks.

    def here(self) -> Task | None:
        """Return the calling task; None for a thread that is none, or that works for threads."""
        task = self.current
        if task is None or task.ident != _get_ident() or task.real:
            return None
        return task

    def point(self, task: Task, doing: str) -> None:
        """Let others run, if the choices say so; what the caller does next is ``doing``."""
        self.step += 1
        task.steps += 1
        if self.step < self._stop_step and not self.ended:
            return
        task.doing = doing
        self._decide(task)

    def between_lines(self) -> None:
        """Let others run between two lines of a function."""
        task = self.current
        if task is not None and task.ident == _get_ident() and not self.ended and not task.real:
            self.step += 1
            task.steps += 1
            if self.step >= self._stop_step:
                task.doing = "goes on to the next line"
                self._decide(task)

    def _decide(self, task: Task) -> None:
        if self.ended:
            task.strike()
        place = (task.number, task.steps)
        if self.step >= self.crash_step or place == self.crash_place:
            self.crash("between two commits")
        if self.step > MOST_STEPS:
            self._give_up(f"no end after {self.step} steps; {task} goes round in circles")
            self._park(task)
        if self.step >= self.strike_step and task.name.startswith(_STRUCK):
            self.strike()
            self._look()
        places = self._choices.places
        if self.step < self._choices.next_step or (places is not None and place not in places):
            self._look()
            return
        chosen = self._choices.preempt(self.step, place, [t.number for t in self._ready])
        self._look()
        if chosen == TIME:
            due = self._next_due()
            if due is not None and due < self.now + SLOW_SECONDS:
                self.decisions[place] = TIME
                self._pass_time()
            return
        if chosen != task.number:
            self.decisions[place] = chosen
            self._hand_over(task, self.tasks[chosen])

    def _look(self) -> None:
        """Set the step at which a point has something to decide."""
        self._stop_step = min(
            self._choices.next_step, self.crash_step, self.strike_step, MOST_STEPS
        )

    def set_crash(self, step: int) -> None:
        """Crash at the first point at or after a step."""
        self.crash_step = step
        self._look()

    def block(self, task: Task, waiters: list[Task], deadline: float | None, doing: str) -> bool:
        """Wait until somebody wakes ``waiters``; False if the deadline has come."""
        if self.ended:
            task.strike()
        self.step += 1
        task.steps += 1
        task.doing, task.ready, task.timed_out, task.deadline = doing, False, False, deadline
        task.wait += 1
        self._ready.remove(task)
        waiters.append(task)
        if deadline is not None:
            self._order += 1
            heapq.heappush(self._timers, (deadline, self._order, self.step, task, task.wait))
        if task is self.main:
            self._main_since = self.now
        following = self._following(task)
        if following is None:
            self._park(task)
        elif following is not task:
            self._hand_over(task, following)
        if task.timed_out:
            if task in waiters:
                waiters.remove(task)
            return False
        return True

    def wake(self, waiters: list[Task]) -> None:
        """Have all who wait go on when it is their turn."""
        for task in waiters:
            if not task.ready and not task.done:
                task.ready = True
                task.wait += 1
                self._ready.append(task)
        waiters.clear()

    def crash(self, where: str) -> None:
        """End the life here and now, as ``kill -9`` would; never returns to a task."""
        self.note(f"crash {where}")
        task = self.current
        assert task is not None
        self.crashing, self.crash_step = True, 2**62
        self.crash_place = (task.number, task.steps)
        self._look()
        self.ended = True
        self._park(task)

    def note(self, text: str) -> None:
        """Write a line into the log of the run."""
        self.log.append(f"{self.step:6} {self.now:10.3f} {self.current or '-'} {text}")

    # The baton.

    def _following(self, task: Task) -> Task | None:
        """Return who runs after one that waits; None if the run is over, which has been told."""
        while not self._ready:
            if not self._timers:
                self._give_up("everybody waits")
                return None
            self._pass_time()
            main = self.main
            if main is not None and not main.ready and main.deadline is None:
                waited = self.now - self._main_since
                if waited > self._patience:
                    self._give_up(f"the scenario has waited for {waited:g} seconds")
                    return None
        first = self._ready[0]
        if len(self._ready) == 1:
            return first
        place = (task.number, task.steps)
        chosen = self._choices.follow(self.step, place, [each.number for each in self._ready])
        self._look()
        if chosen != first.number:
            self.decisions[place] = chosen
        return self.tasks[chosen]

    def _next_due(self) -> float | None:
        """Return when the first wait is over; those that have ended otherwise are forgotten."""
        while self._timers:
            deadline, _, _, task, wait = self._timers[0]
            if task.wait == wait and not task.ready:
                return deadline
            heapq.heappop(self._timers)
        return None

    def _pass_time(self) -> None:
        """Wake the first whose time has come."""
        due = self._next_due()
        if due is not None:
            task = heapq.heappop(self._timers)[3]
            self.now = max(self.now, due)
            task.ready = task.timed_out = True
            self._ready.append(task)

    def _hand_over(self, task: Task, following: Task) -> None:
        sign = "=>" if (task.number, task.steps) in self.decisions else "->"
        self.log.append(f"{self.step:6} {self.now:10.3f} {task} {task.doing} {sign} {following}")
        self._give(following)
        task.gate.acquire()
        if self.ended:
            task.strike()

    def _park(self, task: Task) -> None:
        """Give the baton back to the controller."""
        self._gate.release()
        task.gate.acquire()
        task.strike()

    def _give(self, task: Task) -> None:
        self.current = task
        task.gate.release()

    def _give_up(self, why: str) -> None:
        """Say who waits for what, and give the baton to the controller; the caller parks."""
        waits = [
            f"  {task} {task.doing}{_until(task)}\n{_stack(task)}"
            for task in self.tasks
            if not task.done
        ]
        self.fail(Stuck("\n".join([f"the run is stuck: {why}", *waits])))
        self.ended = True
        task = self.current
        if task is not None and task.done:
            self._gate.release()  # it has ended, and parks nowhere


def _until(task: Task) -> str:
    if task.ready:
        return " (could run)"
    return "" if task.deadline is None else f" until {task.deadline:g}"


def _stack(task: Task) -> str:
    """Return the innermost lines of where a task is, without the machinery of threads."""
    frame = sys._current_frames().get(task.ident)  # noqa: SLF001 - documented
    lines: list[str] = []
    while frame is not None and len(lines) < _LINES:
        if frame.f_globals.get("__name__", "").rpartition(".")[0] != __package__ and (
            frame.f_globals.get("__name__") != "threading"
        ):
            code = frame.f_code
            lines.insert(0, f"    {code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    return "\n".join(lines)


def _nobody() -> None:
    """Strike nobody."""


_STRUCK: Final = ("perdure-worker", "perdure-committer")
_LINES: Final = 3
START: Final = threading.Thread.start
