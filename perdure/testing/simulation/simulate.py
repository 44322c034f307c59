"""``@simulate``: a test that is run under many seeds, and says which of them fails, and how."""

from __future__ import annotations

import dataclasses
import functools
import gc
import inspect
import itertools
import random
import sys
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ...actors.agent.agent import Agent
from ...persistence.errors import ConfigurationError
from .choices import Place
from .knobs import Knobs
from .run import Crash, Result, Run, Setting, Simulation
from .shrinking import shrunk

Crashes = Literal["never", "somewhere", "everywhere"]
_CRASHES: Final = ("never", "somewhere", "everywhere")
Stores = Literal["memory", "sqlite"]
_STORES: Final = ("memory", "sqlite")
_UNTRACEABLE: Final = (3, 12)
"""It changes the code of functions in which other threads stand, and they go on elsewhere."""
PARAMETER: Final = "sim"
"""The parameter of a test that gets the Simulation."""
_TOLD: Final = 40
"""Lines of a log that are shown."""
_LAST: Final = 5
"""Lines that are shown whatever they say."""


class SimulationFailed(AssertionError):
    """A scenario fails under a seed; the cause is what it raised.

    Attributes:
        seed: what ``--perdure-seed`` takes to run it again.
        switches: the changes of threads by which it fails, as far as they could be reduced.
    """

    def __init__(self, seed: str, switches: int, message: str) -> None:
        super().__init__(message)
        self.seed = seed
        self.switches = switches


@dataclass(slots=True)
class Chosen:
    """The one seed that is to be run, by the option of pytest; "" for all."""

    seed: str = ""


CHOSEN: Final = Chosen()


def simulate(
    *,
    agents: Sequence[type[Agent[Any]]],
    seeds: int | Sequence[int] = 100,
    crash: Crashes = "somewhere",
    faults: bool = True,
    store: Stores = "memory",
    strikes: bool = False,
    patience: float = 3600.0,
) -> Callable[[Callable[..., object]], Callable[..., None]]:
    """Run a test under many seeds, each of which decides all that is left to chance.

    The test, which may be async, takes a Simulation as ``sim``; all its other parameters are
    pytest's. Everything that
    happens in a run is done by one thread at a time, in an order that the seed draws: workers, the
    thread that saves, timers, async handlers, threads of the test. Time is the run's own and passes
    when nobody has anything to do. A test that fails names its seed and as few changes of threads
    as make it fail; ``--perdure-seed`` runs that seed again.

    Threads, locks, queues, ``time``, ids and random numbers are the run's, in all threads that the
    test starts. Files, sockets and ``datetime.now()`` are not, and sockets on event loops are
    refused. Logs stand in the log of the run. One run at a time in a process.

    Args:
        agents: the agent classes.
        seeds: how many seeds, or which.
        crash: ``"never"``; ``"somewhere"``: where each seed says; ``"everywhere"``: each seed once
            without, then once right after each write of the store and once in between.
            After a crash the system is opened again on what was durable, and the checks of
            ``sim.always`` are made when it is idle.
        faults: writes may be slow, or fail a few times before they are made or after.
        store: ``"memory"``; ``"sqlite"``: in a file, which takes several times as long.
        strikes: ``Struck`` is thrown now and then into a thread of the library, between two lines,
            as ``PyThreadState_SetAsyncExc`` does. Within a handler it is what that raises, so that
            who asks may get it. Not in Python 3.12, whose tracing is not safe with threads.
        patience: seconds of the run's time the test may wait for one thing.
    """
    if crash not in _CRASHES:
        message = f"simulate(crash={crash!r}): one of {', '.join(_CRASHES)}"
        raise ConfigurationError(message)
    if store not in _STORES:
        raise ConfigurationError(f"simulate(store={store!r}): one of {', '.join(_STORES)}")
    if strikes and sys.version_info[:2] == _UNTRACEABLE:
        told = "simulate(strikes=True): where a thread is struck is found by tracing instructions,"
        raise ConfigurationError(f"{told} which ends the process in Python 3.12; use another")
    chosen = range(seeds) if isinstance(seeds, int) else seeds

    def decorate(function: Callable[..., object]) -> Callable[..., None]:
        signature = inspect.signature(function)
        if PARAMETER not in signature.parameters:
            message = f"{function.__qualname__} needs a parameter `{PARAMETER}`, its Simulation"
            raise ConfigurationError(message)

        @functools.wraps(function)
        def test(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - pytest's fixtures
            bound = without.bind(*args, **kwargs)

            def scenario(simulation: Simulation) -> object:
                return function(**bound.arguments, **{PARAMETER: simulation})

            setting = Setting(scenario, agents, patience, faults, store, strikes)
            Sweep(setting, crash).run(chosen, CHOSEN.seed)

        others = [p for name, p in signature.parameters.items() if name != PARAMETER]
        without = signature.replace(parameters=others)
        vars(test)["__signature__"] = without
        return test

    return decorate


@dataclass(frozen=True, slots=True)
class Trial:
    """One run to be made: a seed, and where it crashes."""

    name: str
    seed: int
    crash: Crash = field(default_factory=Crash)
    again: bool = False


class Sweep:
    """All runs of a scenario, until one fails."""

    def __init__(self, setting: Setting, crash: Crashes) -> None:
        """Run ``setting`` with crashes as ``crash`` says."""
        self._setting = setting
        self._crash = crash
        self._measured: dict[tuple[str, ...], Result] = {}
        self.runs = 0
        """How many were made."""

    def run(self, seeds: Sequence[int], only: str = "") -> None:
        """Run each seed, or only the trial of a name; SimulationFailed for the first that fails.

        Skipped if there is no trial of that name: the option of pytest is for all tests.
        """
        failure = self.first_failure(seeds, only)
        if failure is not None:
            raise self._told(*failure) from failure[1].fault

    def first_failure(self, seeds: Sequence[int], only: str = "") -> tuple[Trial, Result] | None:
        """Return the first run that fails; None if all go well."""
        if only:
            seeds = [int(only.partition("@")[0])]
        there = "@" not in only
        for seed in seeds:
            for trial in self._trials(seed):
                if not only or trial.name == only:
                    there = True
                    result = self._one(trial)
                    if result.fault is not None:
                        return trial, result
        if not there:
            raise unittest.SkipTest(f"this simulation has no run {only}")
        return None

    def _one(self, trial: Trial, decisions: Mapping[Place, int] | None = None) -> Result:
        self.runs += 1
        with warnings.catch_warnings():
            # A crash leaves coroutines that nobody has awaited; they go with their run.
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            result = Run(
                self._setting, trial.seed, crash=trial.crash, decisions=decisions, again=trial.again
            ).result()
            gc.collect(1)
        return result

    def _trials(self, seed: int) -> Iterator[Trial]:
        name = str(seed)
        if self._crash == "never":
            yield Trial(name, seed)
        elif self._crash == "somewhere":
            yield self._somewhere(seed)
        else:
            whole = self._one(Trial(name, seed))
            if whole.fault is not None:
                yield Trial(name, seed)
            yield from everywhere(seed, whole)

    def _somewhere(self, seed: int) -> Trial:
        """Draw a step at which a run crashes, among about as many as a whole one has."""
        lines = self._lines(seed)
        if lines not in self._measured:
            like = next(other for other in itertools.count() if self._lines(other) == lines)
            self._measured[lines] = self._one(Trial(str(like), like))
        whole, chance = self._measured[lines], random.Random(f"{seed} crash")  # noqa: S311
        step = chance.randrange(whole.begun, int(1.2 * whole.ended) + 1)
        return Trial(str(seed), seed, Crash(step=step), again=True)

    def _lines(self, seed: int) -> tuple[str, ...]:
        """Return in which modules the runs of a seed have points between lines: so many steps."""
        setting = self._setting
        return Knobs.drawn(seed, faults=setting.faults, strikes=setting.strikes).lines

    def _told(self, trial: Trial, result: Result) -> SimulationFailed:
        fault = result.fault
        assert fault is not None
        if trial.crash.step < 2**62 and result.crashed is not None:
            trial = dataclasses.replace(trial, crash=Crash(place=result.crashed))

        def fails(decisions: Mapping[Place, int]) -> bool:
            return type(self._one(trial, decisions).fault) is type(fault)

        few = shrunk(result.decisions, fails) if fails(result.decisions) else result.decisions
        told = self._one(trial, few)
        lines = [
            f"fails under seed {trial.name}: {type(fault).__name__}: {fault}",
            f"again: pytest --perdure-seed={trial.name}",
            f"{len(few)} of {len(result.decisions)} changes of threads are left; how it ends:",
            *_shown(told.log),
        ]
        return SimulationFailed(trial.name, len(few), "\n".join(lines))


def _shown(log: Sequence[str]) -> list[str]:
    """Return what a log says in the end, without the changes of threads that nobody has decided."""
    last = len(log) - _LAST
    said = [line for at, line in enumerate(log) if " -> " not in line or at >= last]
    return said[-_TOLD:]


def everywhere(seed: int, whole: Result) -> Iterator[Trial]:
    """Give a run for each place where one that went well could have crashed.

    Each write of the scenario, and a step between each and the next, drawn by the seed.
    """
    chance = random.Random(f"{seed} places")  # noqa: S311
    places, last = [], whole.begun
    for number, step in enumerate([*whole.writes, whole.ended], 1):
        if step < whole.begun:
            continue
        if step > whole.ended:
            break
        places.append(Crash(step=chance.randint(min(last + 1, step), step)))
        if number <= len(whole.writes):
            places.append(Crash(write=number))
        last = step
    for number, crash in enumerate(places, 1):
        yield Trial(f"{seed}@{number}", seed, crash)
