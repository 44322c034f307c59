"""Scheduled replays: when they run, what is stored of them, and what survives."""

from __future__ import annotations

import calendar
import importlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, MemoryStore, Principal, ReplayResult, Scope, VirtualClock
from perdure.persistence.errors import (
    ConfigurationError,
    Denied,
    ScopeError,
    StoreUnavailable,
    UnknownHook,
    UnknownReplay,
)
from perdure.replay import sweep
from perdure.replay.replayer import Replayer
from perdure.replay.sweep import ReplaySweep
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE

from .tills import Till, turns

NOON = float(calendar.timegm((2026, 3, 27, 12, 0, 0)))
WRONG = "tests.replay.tills:OffByOne"


def opened(store: MemoryStore | Path, clock: VirtualClock) -> AgentSystem:
    """Open a system on a store."""
    return AgentSystem.open(store, agents=[Till], clock=clock, service=False)


def passes(system: AgentSystem, clock: VirtualClock, seconds: float) -> None:
    """Have time pass, and all that is due then be done."""
    clock.advance(seconds)
    assert system.idle(DEADLINE)


@pytest.fixture
def clock() -> VirtualClock:
    """Give a clock that stands at noon."""
    return VirtualClock(NOON)


@pytest.fixture
def system(clock: VirtualClock) -> Iterator[AgentSystem]:
    """Give a system with two turns recorded."""
    with opened(MemoryStore(), clock) as system:
        for amount in (1, 100):
            system.agent(Till, "head").call(Till.pay, amount).get()
        yield system


def found(system: AgentSystem, name: str | None = None) -> list[tuple[float, str]]:
    """Return the moments and the outcomes of the results, oldest first."""
    return [(each.due - NOON, each.outcome) for each in system.replay.results.each(name)]


def test_at_a_moment_it_runs_once(system: AgentSystem, clock: VirtualClock) -> None:
    """Not before its moment, once at it, and never again; one that has passed is due at once."""
    made = system.replay.schedule("once", at=NOON + 60, kind="Till")
    assert made == system.replay.schedules.get("once")
    passes(system, clock, 59)
    assert found(system) == []
    passes(system, clock, 1)
    passes(system, clock, 600)
    assert found(system) == [(60, "same")]
    assert system.replay.schedules.get("once").due is None
    system.replay.schedule("late", at=NOON)
    assert system.idle(DEADLINE)
    assert found(system, "late") == [(0, "same")]


def test_every_so_often_it_runs_at_each_of_its_moments(
    system: AgentSystem, clock: VirtualClock
) -> None:
    """Moments are counted from when it was made; the report of the turns is stored."""
    system.replay.schedule("often", every=60, against=WRONG, limit=2)
    for _ in range(3):
        passes(system, clock, 60)
    assert found(system) == [(60, "different"), (120, "different"), (180, "different")]
    result = system.replay.results.list(newest=True, limit=1)[0]
    assert result.summary == "2 turns replayed: 1 same, 1 different"
    assert result.counts == {"same": 1, "different": 1}
    (wrong,) = result.differing
    assert wrong.id == turns(system)[1]
    assert "result" in {finding.path for finding in wrong.findings}
    assert wrong.recorded["result"] == 101
    assert wrong.replayed["result"] == 102
    assert system.replay.results.get(result.id) == result


def test_cron_moments_are_those_of_its_time_zone(system: AgentSystem, clock: VirtualClock) -> None:
    """An expression means the wall clock of its zone, also over a change to summer time."""
    system.replay.schedule("nightly", cron="0 3 * * *", zone="Europe/Paris")
    for _ in range(3):
        passes(system, clock, 86_400)
    # The clocks in Paris are put on in the night to the 29th.
    assert [moment / 3600 for moment, _ in found(system)] == [14, 14 + 23, 14 + 47]


def test_what_is_not_selected_is_not_replayed(system: AgentSystem, clock: VirtualClock) -> None:
    """A schedule takes the turns that a batch would take, and compares them by its rules."""
    first, _ = turns(system)
    system.replay.schedule("first", at=NOON, against=WRONG, last=first)
    system.replay.schedule("none", at=NOON, kind="Desk")
    passes(system, clock, 1)
    summaries = {each.schedule: each.summary for each in system.replay.results.each()}
    assert summaries == {"first": "1 turn replayed: 1 same", "none": "0 turns replayed: none"}


@pytest.mark.parametrize("when", [{"every": 60.0}, {"cron": "* * * * *"}])
def test_moments_missed_while_closed_are_one_run(tmp_path: Path, when: dict[str, Any]) -> None:
    """A schedule survives the process; the next one runs once, and goes on at the next moment."""
    store, clock = tmp_path / "s.db", VirtualClock(NOON)
    with opened(store, clock) as system:
        system.agent(Till, "head").call(Till.pay, 1).get()
        system.replay.schedule("often", **when)
        passes(system, clock, 60)
    clock = VirtualClock(NOON + 1000)
    with opened(store, clock) as system:
        passes(system, clock, 1)
        assert found(system) == [(60, "same"), (120, "same")]
        passes(system, clock, 19)
        assert found(system)[2:] == [(1020, "same")]


def test_a_clock_that_is_set_is_noticed(system: AgentSystem, clock: VirtualClock) -> None:
    """Set forward, what is due runs at once; set back, a schedule waits for one period only."""
    system.replay.schedule("often", every=600)
    clock.set_back(-700)
    passes(system, clock, 2)
    assert found(system) == [(600, "same")]
    clock.set_back(100_000)
    passes(system, clock, 2)
    assert len(found(system)) == 1
    passes(system, clock, 600)
    assert len(found(system)) == 2


def test_a_removed_schedule_runs_no_more(system: AgentSystem, clock: VirtualClock) -> None:
    """Its results go with it; its name is free, and one that is unknown is an error."""
    for name in ("a", "b"):
        system.replay.schedule(name, every=60)
    passes(system, clock, 60)
    system.replay.schedules.remove("a")
    assert [each.name for each in system.replay.schedules.each()] == ["b"]
    passes(system, clock, 60)
    assert [each.schedule for each in system.replay.results.each()] == ["b", "b"]
    assert system.replay.schedules.count() == 1
    for gone in (system.replay.schedules.remove, system.replay.schedules.get):
        with pytest.raises(UnknownReplay, match="no schedule 'a'"):
            gone("a")
    system.replay.schedule("a", every=60)


def test_results_are_bounded_and_found_by_page(system: AgentSystem, clock: VirtualClock) -> None:
    """The newest are kept, as many as the schedule says; pages go over them both ways."""
    system.replay.schedule("few", every=60, keep=3)
    system.replay.schedule("more", every=60)
    for _ in range(5):
        passes(system, clock, 60)
    results = system.replay.results
    assert found(system, "few") == [(180, "same"), (240, "same"), (300, "same")]
    assert (results.count("few"), results.count("more"), results.count()) == (3, 5, 8)
    whole = list(results.each())
    assert [each.id for each in whole] == sorted(each.id for each in whole)
    paged: list[ReplayResult] = []
    page = results.list(limit=3)
    while page.more:
        paged += page
        page = results.list(limit=3, after=page.next)
    assert [*paged, *page] == whole
    assert list(results.each(newest=True)) == whole[::-1]
    last = results.list("few", newest=True, limit=1)
    assert results.list("few", newest=True, after=last.next) == results.list("few")[1::-1]
    with pytest.raises(UnknownReplay):
        results.get(whole[0].id - 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "give one of at=, every= and cron="),
        ({"at": 1.0, "every": 60.0}, "give one of"),
        ({"at": float("nan")}, "seconds since the epoch"),
        ({"every": 0.5}, "seconds, 1 or more"),
        ({"every": "60"}, "seconds, 1 or more"),
        ({"cron": "often"}, "minute, hour, day"),
        ({"cron": "0 0 30 2 *"}, "minute, hour, day"),
        ({"cron": 5}, "minute, hour, day"),
        ({"cron": "0 3 * * *", "zone": "Paris"}, "a time zone of this machine"),
        ({"every": 60.0, "zone": 5}, "a time zone of this machine"),
        ({"at": 1.0, "against": "Till"}, "write MODULE:NAME"),
        ({"at": 1.0, "against": "tests.replay.tills:Tall"}, "has no 'Tall'"),
        ({"at": 1.0, "against": 5}, "against=5"),
        ({"at": 1.0, "workers": 0}, "workers=0"),
        ({"at": 1.0, "keep": 0}, "keep=0"),
        ({"at": 1.0, "rules": "all"}, r"ReplayRules\(\)"),
        ({"at": 1.0, "kinds": "Till"}, "not by 'kinds'"),
        ({"at": 1.0, "kind": 5}, "these are no turns"),
        ({"at": 1.0, "session": "nobody"}, "no session 'nobody'"),
        ({"at": 1.0, "until": math.inf}, "these are no turns"),
        ({"at": 1.0, "limit": -1}, "limit=-1"),
        ({"at": 1.0, "limit": "3"}, "limit='3'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    system: AgentSystem, wrong: dict[str, Any], words: str
) -> None:
    """One sentence says what is wrong, and nothing is scheduled."""
    with pytest.raises(ConfigurationError, match=words):
        system.replay.schedule("wrong", **wrong)
    assert system.replay.schedules.list() == []


def test_a_name_is_given_once(system: AgentSystem) -> None:
    """A second schedule of a name is refused, and the first one stays; so is one without."""
    made = system.replay.schedule("a", every=60)
    with pytest.raises(ConfigurationError, match="there is a schedule of that name"):
        system.replay.schedule("a", every=90)
    with pytest.raises(ScopeError, match="name of a schedule"):
        system.replay.schedule("", every=90)
    assert system.replay.schedules.list() == [made]


def test_without_its_library_cron_says_how_to_get_it(
    system: AgentSystem, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new schedule is refused; one that is stored fails, and is tried again after a while."""
    system.replay.schedule("stored", cron="* * * * *")
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "cronsim", None)
        with pytest.raises(ConfigurationError, match=r'pip install "perdure\[cron\]"'):
            system.replay.schedule("wrong", cron="* * * * *")
        passes(system, clock, 60)
    (result,) = system.replay.results.each()
    assert "perdure[cron]" in result.error
    passes(system, clock, 3600)
    assert found(system) == [(60, "failed"), (3660, "same")]


def test_a_run_that_fails_is_stored_and_the_schedule_goes_on(
    system: AgentSystem, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error stands in the result; what is right again at the next moment is replayed."""
    system.replay.schedule("often", every=60, against=WRONG)
    module = importlib.import_module("tests.replay.tills")
    with monkeypatch.context() as broken:
        broken.delattr(module, "OffByOne")
        passes(system, clock, 60)
    passes(system, clock, 60)
    assert found(system) == [(60, "failed"), (120, "different")]
    failed = system.replay.results.list()[0]
    assert failed.error.startswith("ConfigurationError: module 'tests.replay.tills' has no")


def test_an_id_that_is_none_is_refused(system: AgentSystem) -> None:
    """When it is given, not at the first run."""
    with pytest.raises(UnknownHook, match="'nonsense' is no id"):
        system.replay.schedule("wrong", at=NOON, first="nonsense")
    assert system.replay.schedules.list() == []


def test_a_store_that_cannot_be_read_is_no_result(
    system: AgentSystem, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is made again when the store can be read."""

    def down(*_: object) -> None:
        raise StoreUnavailable("the disk is away")

    system.replay.schedule("often", every=60)
    with monkeypatch.context() as broken:
        broken.setattr(Replayer, "_states", down)
        passes(system, clock, 60)
        assert found(system) == []
    passes(system, clock, 1)
    assert found(system) == [(60, "same")]


def test_what_looks_like_a_secret_is_in_no_result(
    system: AgentSystem, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What code says in its errors is stored as the history would store it."""
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"

    def leaks(_target: str) -> None:
        raise ValueError(f"wrong key {secret}")

    system.replay.schedule("leaks", every=60, against=WRONG)
    monkeypatch.setattr(sweep, "load_program", leaks)
    passes(system, clock, 60)
    assert [each.error for each in system.replay.results.each()] == ["ValueError: wrong key ***"]


def test_schedules_are_the_systems(system: AgentSystem, clock: VirtualClock) -> None:
    """Others are refused; who scheduled, and each agent that was replayed, is in the audit."""
    mira = system.replay.acting_as(Principal.user("mira"))
    system.replay.schedule("a", every=60)
    for change in (mira.schedules.remove, lambda name: mira.schedule(name, every=60)):
        with pytest.raises(Denied, match="only the system may"):
            change("a")
    for refused in (mira.results.list, mira.schedules.list):
        with pytest.raises(Denied):
            refused()
    passes(system, clock, 60)
    system.replay.schedules.remove("a")
    assert [
        (str(entry.who), entry.operation, entry.outcome, entry.scope)
        for entry in system.audit.each()
        if entry.key == "(replay)"
    ] == [
        ("system", "replay.schedule", "allowed", Scope.GLOBAL),
        ("user:mira", "replay.remove", "refused", Scope.GLOBAL),
        ("user:mira", "replay.schedule", "refused", Scope.GLOBAL),
        ("system", "replay", "allowed", Scope.agent("Till", "head")),
        ("system", "replay.remove", "allowed", Scope.GLOBAL),
    ]  # fmt: skip


def test_an_erased_agent_is_in_no_result(system: AgentSystem, clock: VirtualClock) -> None:
    """Results that hold turns of it go with it; those that only count stay."""
    system.replay.schedule("wrong", at=NOON, against=WRONG)
    system.replay.schedule("right", at=NOON)
    passes(system, clock, 1)
    system.agent(Till, "head").delete(erase=True)
    assert [each.schedule for each in system.replay.results.each()] == ["right"]


def test_an_agent_that_is_erased_during_a_run_is_in_no_result(
    system: AgentSystem, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was replayed of it before is left out of what is stored."""
    erased: list[bool] = []

    def erase(_self: object, _done: int, _total: int) -> None:
        if not erased:
            erased.append(system.delete("Till", "head", erase=True))

    monkeypatch.setattr(sweep.ReplaySweep, "_tell", erase)
    system.replay.schedule("wrong", at=NOON, against=WRONG)
    passes(system, clock, 1)
    assert erased == [True]
    (result,) = system.replay.results.each()
    assert result.differing == []


def test_a_run_under_way_at_the_close_is_begun_again(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after the turns under way, leaves no result, and the next process runs it."""
    began, go_on = threading.Event(), threading.Event()
    tell = ReplaySweep._tell

    def waits(own: ReplaySweep, done: int, total: int) -> None:
        began.set()
        assert go_on.wait(DEADLINE)
        tell(own, done, total)

    system = opened(tmp_path / "s.db", clock)
    for _ in range(4):
        system.agent(Till, "head").call(Till.pay, 1).get()
    system.replay.schedule("often", every=60, workers=1)
    with monkeypatch.context() as held:
        held.setattr(ReplaySweep, "_tell", waits)
        clock.advance(60)
        assert began.wait(DEADLINE)
        closing = threading.Thread(target=system.close)
        closing.start()
        while not system.replay._sweep.stopped:
            pass
        go_on.set()
        closing.join(DEADLINE)
    assert system.close()
    with opened(tmp_path / "s.db", clock) as again:
        assert found(again) == []
        passes(again, clock, 1)
        assert found(again) == [(60, "same")]


KILLED = """
import os, sys
from perdure import AgentSystem, VirtualClock
from perdure.replay.batch import ReplayBatch
from tests.replay.tills import Till
clock = VirtualClock(float(sys.argv[2]))
report = ReplayBatch.report
def killed(batch):
    report(batch)
    os.kill(os.getpid(), 9)
with AgentSystem.open(sys.argv[1], agents=[Till], clock=clock, service=False) as system:
    system.agent(Till, "head").call(Till.pay, 1).get()
    system.replay.schedule("often", every=60)
    clock.advance(60)
    system.idle(30)
    ReplayBatch.report = killed
    clock.advance(60)
    system.idle(30)
"""


def test_a_kill_between_a_run_and_its_result_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The next process runs it again for the same moment, and there is one result of it."""
    store = tmp_path / "s.db"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, store, str(NOON)],
        cwd=ROOT, env=environment(PYTHONPATH=os.fspath(ROOT)), check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL
    clock = VirtualClock(NOON + 121)
    with opened(store, clock) as system:
        assert found(system) == [(60, "same")]
        passes(system, clock, 1)
        assert found(system) == [(60, "same"), (120, "same")]
        passes(system, clock, 60)
        assert found(system)[2:] == [(180, "same")]
