"""A simulated test: same seed, same run; what fails is named, shortened and can be run again."""

from __future__ import annotations

import os
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping

import pytest

from perdure.persistence.errors import ConfigurationError
from perdure.testing import Simulation, SimulationFailed, simulate
from perdure.testing.simulation.run import Crash, Run
from perdure.testing.simulation.scheduler import Stuck
from perdure.testing.simulation.shrinking import shrunk
from perdure.testing.simulation.simulate import Sweep
from tests.kit.children import finished
from tests.kit.threads import others_end
from tests.testing.simulation import scenes

DIGEST = "from tests.testing.simulation.scenes import digest; print(digest(range(3)))"
FAILING = """
from perdure.testing import simulate
from tests.testing.simulation.scenes import Receiver

@simulate(agents=[Receiver], seeds=50, crash="never")
def test_fails(sim, tmp_path):
    assert tmp_path.is_dir()
    assert sim.randomness.randrange(10) != 3
"""


def test_the_same_seed_is_the_same_run_in_any_process() -> None:
    """The log of a run, crashes and recoveries included, hangs on nothing but its seed."""
    logs = {finished("-c", DIGEST, PYTHONHASHSEED=hashes)[0] for hashes in ("1", "2")}
    scenes.digest(range(1))  # what a process has done before is nothing to it
    assert logs == {scenes.digest(range(3)) + "\n"}


def test_seeds_differ() -> None:
    """Each seed is another run."""
    logs = {Run(scenes.setting(scenes.transfer), seed).result().text() for seed in range(8)}
    assert len(logs) == 8


def test_everywhere_crashes_after_each_write_and_between() -> None:
    """``crash="everywhere"`` visits each write of the scenario and a step before each."""
    sweep = Sweep(scenes.setting(scenes.transfer, faults=False), "everywhere")
    assert sweep.first_failure([1]) is None
    whole = Run(scenes.setting(scenes.transfer, faults=False), 1).result()
    writes = [step for step in whole.writes if whole.begun <= step <= whole.ended]
    assert sweep.runs == 1 + len(writes) * 2 + 1


def test_a_failing_test_says_how_to_run_it_again(pytester: pytest.Pytester) -> None:
    """A failure names its seed; with that as option only this seed is run, and fails again."""
    pytester.makepyfile(FAILING)
    first = pytester.runpytest_inprocess()
    line = next(line for line in first.outlines if "again: pytest" in line)
    seed = line.rpartition("=")[2].strip()
    pytester.runpytest_inprocess(f"--perdure-seed={seed}").assert_outcomes(failed=1)
    other = str(int(seed) - 1) if int(seed) else "1"
    pytester.runpytest_inprocess(f"--perdure-seed={other}").assert_outcomes(passed=1)


def test_a_run_that_is_not_there_does_not_pass(pytester: pytest.Pytester) -> None:
    """A place of a crash that a test has not is skipped, and what is no seed is refused."""
    pytester.makepyfile(FAILING)
    pytester.runpytest_inprocess("--perdure-seed=1@2").assert_outcomes(skipped=1)
    wrong = pytester.runpytest_inprocess("--perdure-seed=first")
    wrong.stderr.fnmatch_lines(["*--perdure-seed=first: give a seed as 4, or 4@17*"])


def test_a_failure_is_shortened() -> None:
    """Of the changes of threads only those are told without which the test does not fail."""

    @simulate(agents=[scenes.Receiver], seeds=200, crash="never")
    def race(sim: Simulation) -> None:
        seen = [0]

        def add() -> None:
            before = seen[0]
            time.sleep(0)
            seen[0] = before + 1

        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen[0] == 2

    with pytest.raises(SimulationFailed) as failure:
        race()
    assert failure.value.switches <= 3  # who adds first, then the other, then both once more
    assert isinstance(failure.value.__cause__, AssertionError)


def test_shrinking_keeps_what_is_needed() -> None:
    """What is left of decisions still fails, and each of them is needed."""
    needed = {(1, 3): 2, (4, 5): 1, (7, 8): 0}
    given = {(number, number + 1): 1 for number in range(100, 160)} | needed
    tried = shrunk(given, lambda kept: needed.items() <= kept.items())
    assert tried == needed


def test_shrinking_takes_short_cuts() -> None:
    """Of a way over several threads only its beginning and its end are left."""

    def ends(way: Mapping[tuple[int, int], int]) -> int:
        at = 0
        for (thread, _), to in way.items():
            at = to if thread == at else at
        return at

    way = {(0, 1): 3, (3, 1): 4, (4, 2): 5}
    tried = shrunk(way, lambda kept: ends(kept) == 5)
    assert tried == {(0, 1): 5}


def stuck(sim: Simulation) -> None:
    """Wait for what nobody brings."""
    threading.Event().wait()


def test_who_waits_for_ever_is_told() -> None:
    """A scenario that waits for nothing fails, and the failure names threads and lines."""
    fault = Run(scenes.setting(stuck), 1).result().fault
    assert isinstance(fault, Stuck)
    assert "scenes.py" not in str(fault)
    assert "in stuck" in str(fault)


def chance(draws: list[object]) -> Callable[[Simulation], None]:
    """Return a scenario that draws from all that is chance."""

    def draw(sim: Simulation) -> None:
        draws.append((
            uuid.uuid4(), os.urandom(4), random.random(), random.Random().random(), time.time(),
            time.monotonic(), sim.randomness.random(),
        ))  # fmt: skip

    return draw


def test_chance_and_time_are_the_seeds() -> None:
    """Ids, random numbers and clocks give the same under one seed."""
    draws: list[object] = []
    for seed in (1, 1, 2):
        crash = Crash(step=2**61)  # a life is enough
        assert Run(scenes.setting(chance(draws)), seed, crash=crash).result().fault is None
    first, again, other = draws
    assert first == again
    assert first != other


def test_a_run_leaves_nothing() -> None:
    """Behind a run, threads, locks, queues and clocks are Python's own."""
    names = (threading.Lock, threading.Thread.start, queue.SimpleQueue, time.time, os.urandom)
    code = scenes.Receiver.take.__code__
    Run(scenes.setting(scenes.mixed), 3, crash=Crash(step=900)).result()
    after = (threading.Lock, threading.Thread.start, queue.SimpleQueue, time.time, os.urandom)
    assert names == after
    assert code is scenes.Receiver.take.__code__
    assert others_end()


def waits(sim: Simulation) -> None:
    """Wait with time limits: the run's time passes, and no other."""
    began = time.monotonic()
    assert not threading.Event().wait(5.0)
    held = threading.Lock()
    assert held.acquire()
    assert not held.acquire(timeout=1.0)
    with pytest.raises(queue.Empty):
        queue.SimpleQueue[int]().get(timeout=7.0)
    with pytest.raises(queue.Empty):
        queue.Queue[int]().get(timeout=8.0)
    time.sleep(900.0)
    assert time.monotonic() - began >= 921.0


def test_time_passes_at_once() -> None:
    """What waits for long takes no time of its own."""
    assert Run(scenes.setting(waits), 1).result().fault is None


def test_wrong_use_is_refused() -> None:
    """A test without a parameter for its simulation, and a crash nobody knows, are refused."""
    with pytest.raises(ConfigurationError, match="needs a parameter `sim`"):
        simulate(agents=[])(lambda: None)
    with pytest.raises(ConfigurationError, match="crash='often'"):
        simulate(agents=[], crash="often")  # type: ignore[arg-type]
