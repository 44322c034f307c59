"""One run of a scenario: its lives, the crash between them, and what must hold after each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ...actors.agent.agent import Agent
from ...actors.system.options import Resources
from ...actors.talk.reference import AgentRef
from ...ending import Ending
from ...persistence.memory.store import MemoryStore
from ...system import AgentSystem
from .choices import Choices, Given, Place, drawn
from .disk import Disk
from .knobs import Knobs
from .lines import replacements
from .scheduler import Scheduler
from .stage import Stage

A = TypeVar("A", bound=Agent[Any])
Check = Callable[[AgentSystem], object]
MOST_LIVES: Final = 4
_AGAIN: Final = 0.25
"""How often a life that ended well is followed by another, and a recovery struck by a crash."""


class Simulation:
    """What a scenario is given: the system it runs on, chance, and a place for what must hold."""

    def __init__(self, system: AgentSystem, randomness: random.Random) -> None:
        """Hold what belongs to a run."""
        self.system = system
        """The open system."""
        self.randomness = randomness
        """Chance that is the seed's."""
        self._checks: list[Check] = []

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent of the system."""
        return self.system.agent(agent_class, key)

    def always(self, check: Check) -> Check:
        """Have ``check(system)`` called when all is quiet at the end, and after each recovery.

        It raises if something does not hold. The system may be another than the scenario's: use
        the one it is given. What the outside has seen so far stands in variables of the scenario.
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
        self._knobs = Knobs.drawn(seed, faults=setting.faults)
        self._scheduler = Scheduler(choices, patience=setting.patience)
        lines = replacements(self._knobs.lines, self._scheduler.between_lines)
        names = [*self._knobs.names(), *lines]
        self._stage = Stage(self._scheduler, chance["world"], names)
        self._disk = Disk(self._scheduler, self._knobs, chance["disk"])
        self._scenario_chance, self._lives_chance = chance["scenario"], chance["lives"]
        self._crash = crash
        self._store = MemoryStore()
        self._checks: list[Check] = []
        self._system: AgentSystem | None = None
        self._begun = 0

    def result(self) -> Result:
        """Run it."""
        scheduler = self._scheduler
        with self._stage.set_up():
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
            scheduler.fault, scheduler.log, scheduler.decisions, self._disk.writes, self._begun,
            ended, crashed,
        )  # fmt: skip

    def _goes_on(self, life: int) -> bool:
        if self._scheduler.fault is not None:
            return False
        if self._scheduler.crashing:
            return True
        return life == 1 and self._lives_chance.random() < _AGAIN

    def _open(self) -> AgentSystem:
        store = self._store.twin()
        self._disk.put_before(store)
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
            simulation = Simulation(system, self._scenario_chance)
            self._checks = simulation._checks  # noqa: SLF001 - a crash may come at any time
            scheduler = self._scheduler
            self._begun = scheduler.step
            self._disk.crash_after = self._crash.write
            scheduler.set_crash(self._crash.step)
            scheduler.crash_place = self._crash.place
            self._setting.scenario(simulation)
            self._check(system)

    def _recovery(self) -> None:
        with self._open() as system:
            self._check(system)

    def _check(self, system: AgentSystem) -> None:
        system.idle()
        for check in self._checks:
            check(system)
        system.idle()

    def _forget(self) -> None:
        """Keep what a crash has left of a system from being closed at the end of the process."""
        if self._system is not None:
            self._system._closed = Ending()  # noqa: SLF001
            self._system = None


_CHANCES: Final = ("order", "world", "disk", "scenario", "lives")
