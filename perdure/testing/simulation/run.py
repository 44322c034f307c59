"""One run of a scenario: its lives, the crash between them, and what must hold after each."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ...actors.agent.agent import Agent
from ...actors.system.options import Resources
from ...actors.talk.reference import AgentRef
from ...ending import Ending
from ...persistence.records.records import Commit
from ...persistence.store.batch import Batch
from ...persistence.store.store import Store
from ...system import AgentSystem
from ..faults.outside import REAL, Outside, OutsideWorld
from ..faults.store import FaultyStore
from ..faults.strikes import Striker, Struck
from .choices import Choices, Given, Place, drawn
from .knobs import Knobs
from .lines import replacements
from .scheduler import Scheduler
from .stage import Stage

A = TypeVar("A", bound=Agent[Any])
Check = Callable[[AgentSystem], object]
MOST_LIVES: Final = 4
MOST_FAILURES: Final = 2
"""Writes that fail one after the other: an outage is something else, which the breaker tells of."""
_LOST: Final = 0.5
"""The share of those that become durable all the same."""
_STRIKE_STEPS: Final = 1500
"""Steps between two strikes, at the most."""
_STRIKE_PLACES: Final = 60.0
"""Places at which a thread could be struck before it is, on average."""
_NAMED: Final = 4
"""Commits of a write that the log names."""
_AGAIN: Final = 0.25
"""How often a life that ended well is followed by another, and a recovery struck by a crash."""


class Simulation:
    """What a scenario is given: the system it runs on, chance, and a place for what must hold."""

    def __init__(
        self,
        system: AgentSystem,
        randomness: random.Random,
        world: OutsideWorld,
        crash: Callable[[], None],
    ) -> None:
        """Hold what belongs to a run."""
        self._world, self._crash = world, crash
        self.system = system
        """The open system."""
        self.randomness = randomness
        """Chance that is the seed's."""
        self._checks: list[Check] = []

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent of the system."""
        return self.system.agent(agent_class, key)

    def outside(self, name: str, answer: object = REAL) -> Outside:
        """Record the calls ``self.outside(name, ...)`` of all lives, and answer if that is given.

        Say so before the first message: a crash leaves what has been said by then.
        """
        outside = Outside(name, answer, crash=self._crash)
        self._world.add(outside)
        return outside

    def always(self, check: Check) -> Check:
        """Have ``check(system)`` called when all is quiet at the end, and after each recovery.

        It raises if something does not hold, and may be async. The system may be another than the
        scenario's: use the one it is given. What the outside has seen so far stands in variables
        of the scenario.
        """
        self._checks.append(check)
        return check


Scenario = Callable[[Simulation], object]


@dataclass(frozen=True, slots=True)
class Crash:
    """Where the first life ends: right after a write, or at a step."""

    write: int = 0
    step: int = 2**62
    place: Place | None = None
    """Instead of a step, in a run that is not quite the same."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the runs of a scenario have in common."""

    scenario: Scenario
    agents: Sequence[type[Agent[Any]]]
    patience: float
    faults: bool
    store: str = "memory"
    """Or "sqlite": a file of its own for each run."""
    strikes: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    fault: BaseException | None
    log: Sequence[str]
    decisions: Mapping[Place, int]
    writes: Sequence[int]
    """The step of each write."""
    begun: int
    """The step at which the scenario began."""
    ended: int
    """The step at which its first life ended."""
    crashed: Place | None
    """Where that was, if it crashed."""

    def text(self) -> str:
        """Return the whole log."""
        return "\n".join(self.log)


def _told(commit: Commit) -> str:
    who = f"{commit.kind}/{commit.key}." if commit.kind else ""
    return f"{commit.sequence} {who}{commit.name}"


def _run(outcome: object) -> None:
    """Run to its end what an async function has returned."""
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


class Run:
    """Run a scenario once, as a seed says."""

    def __init__(
        self,
        setting: Setting,
        seed: int,
        *,
        crash: Crash = Crash(),
        decisions: Mapping[Place, int] | None = None,
        again: bool = False,
    ) -> None:
        """Run by what ``seed`` draws; with ``decisions`` who runs when is given instead.

        ``again``: a recovery may be struck by a crash as well.
        """
        self._setting = setting
        self._again = again
        chance = {name: random.Random(f"{seed} {name}") for name in _CHANCES}  # noqa: S311
        choices: Choices = drawn(chance["order"]) if decisions is None else Given(decisions)
        self._knobs = Knobs.drawn(seed, faults=setting.faults, strikes=setting.strikes)
        self._scheduler = Scheduler(choices, patience=setting.patience)
        lines = replacements(self._knobs.lines, self._scheduler.between_lines)
        names = [*self._knobs.names(), *lines]
        self._stage = Stage(self._scheduler, chance["world"], names)
        self._files = contextlib.ExitStack()
        self._store = self._faulty(seed)
        self._world = OutsideWorld(self._store.serves)
        self._writes: list[int] = []
        self._crash_after = 0  # no write has this number
        self._scenario_chance, self._lives_chance = chance["scenario"], chance["lives"]
        self._strikes_chance = chance["strikes"]
        if setting.strikes:
            self._scheduler.strike = self._strike
            self._draw_strike()
        self._crash = crash
        self._checks: list[Check] = []
        self._system: AgentSystem | None = None
        self._life: Store | None = None
        self._begun = 0

    def result(self) -> Result:
        """Run it."""
        scheduler = self._scheduler
        with self._files, self._stage.set_up(), self._world:
            scheduler.note(str(self._knobs))
            scheduler.run_life(1, self._first_life)
            ended, crashed = scheduler.step, scheduler.crash_place
            scheduler.crash_place = None
            life = 1
            while self._goes_on(life):
                self._forget()
                self._stage.renew()
                life += 1
                if self._again and life < MOST_LIVES and self._lives_chance.random() < _AGAIN:
                    scheduler.set_crash(scheduler.step + self._lives_chance.randrange(1, 600))
                else:
                    scheduler.set_crash(2**62)
                scheduler.run_life(life, self._recovery)
            self._forget()
        return Result(
            scheduler.fault, scheduler.log, scheduler.decisions, self._writes, self._begun,
            ended, crashed,
        )  # fmt: skip

    def _goes_on(self, life: int) -> bool:
        if self._scheduler.fault is not None:
            return False
        if self._scheduler.crashing:
            return True
        return life == 1 and self._lives_chance.random() < _AGAIN

    def _faulty(self, seed: int) -> FaultyStore:
        store, knobs = FaultyStore(self._place()), self._knobs
        store.on_fault.append(self._scheduler.note)
        store.on_commit.append(self._written)
        store.slow(knobs.write_seconds, seed=f"{seed} slow")
        store.fail_at_random(
            knobs.failing, seed=f"{seed} store", lost=_LOST, in_a_row=MOST_FAILURES
        )
        return store

    def _place(self) -> Path | None:
        if self._setting.store == "memory":
            return None
        importlib.import_module("sqlite_utils")  # by who makes a file: not in the middle of a run
        return Path(self._files.enter_context(tempfile.TemporaryDirectory())) / "perdure.db"

    def _written(self, batch: Batch) -> None:
        scheduler = self._scheduler
        if scheduler.here() is None:
            return
        self._writes.append(scheduler.step)
        names = [_told(commit) for commit in batch.commits[:_NAMED]] or ["rows"]
        more = len(batch.commits) - _NAMED
        names += [f"{more} more"] if more > 0 else []
        scheduler.note(f"write {len(self._writes)}: {', '.join(names)}")
        if len(self._writes) == self._crash_after:
            scheduler.crash(f"after write {self._crash_after}")

    def _strike(self) -> None:
        """Have the calling thread struck soon, and another one later."""
        at = 1 + int(self._strikes_chance.expovariate(1 / _STRIKE_PLACES))
        self._draw_strike()
        Striker(Struck, at, inside=("perdure",), told=self._struck).lie_in_wait()

    def _struck(self, where: str) -> None:
        self._scheduler.note(f"is struck at {where}")

    def _draw_strike(self) -> None:
        scheduler = self._scheduler
        scheduler.strike_step = scheduler.step + self._strikes_chance.randrange(1, _STRIKE_STEPS)

    def _open(self) -> AgentSystem:
        self._life = store = self._store.open()
        resources = Resources(workers=self._knobs.workers, young_generation=0, switch_interval=0)
        self._system = AgentSystem.open(
            store,
            agents=self._setting.agents,
            takeover=True,
            service=False,
            resources=resources,
            randomness=random.Random(),  # noqa: S311 - the run's: jitter, no secrets
        )
        return self._system

    def _first_life(self) -> None:
        with self._open() as system:
            crash = partial(self._scheduler.crash, "behind a call outside")
            simulation = Simulation(system, self._scenario_chance, self._world, crash)
            self._checks = simulation._checks  # noqa: SLF001 - a crash may come at any time
            scheduler = self._scheduler
            self._begun = scheduler.step
            self._crash_after = self._crash.write
            scheduler.set_crash(self._crash.step)
            scheduler.crash_place = self._crash.place
            _run(self._setting.scenario(simulation))
            self._check(system)

    def _recovery(self) -> None:
        with self._open() as system:
            self._check(system)

    def _check(self, system: AgentSystem) -> None:
        system.idle()
        for check in self._checks:
            _run(check(system))
        system.idle()

    def _forget(self) -> None:
        """Give back what a crash has left of a system: it is not to be closed by anybody else."""
        if self._system is not None:
            self._system._closed = Ending()  # noqa: SLF001
            self._system = None
        if self._life is not None:  # also of one that was struck while it was opened
            self._store.bury(self._life)
            self._life = None


_CHANCES: Final = ("order", "world", "scenario", "lives", "strikes")
