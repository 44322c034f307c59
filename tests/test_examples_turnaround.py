"""The turnaround example: every number is that of a plain pass, also after a kill."""

from pathlib import Path

from examples.turnaround.__main__ import main, prepare, run
from examples.turnaround.agents import AGENTS, KINDS, Duty, late, pipeline
from examples.turnaround.data import DAYS
from examples.turnaround.plain import Plain, count
from perdure import AgentSystem, Principal, Scope, SessionStatus
from tests.kit.children import finished, started


def compare(store: Path, plain: Plain) -> None:
    """Hold everything that is in a store against the plain pass."""
    with AgentSystem.open(store, agents=AGENTS) as system:
        counters = system.state.get_many(Scope.GLOBAL, KINDS, int)
        assert counters == plain.week
        for day, own in plain.days.items():
            session = system.sessions.get(f"january-{day}")
            assert session.info().status is SessionStatus.COMPLETED
            assert system.state.get_many(session.scope, KINDS, int) == own
        reports = system.artifacts.list(tag="daily")
        assert {artifact.session for artifact in reports} == {f"january-{d}" for d in plain.days}
        assert len(reports) == len(plain.days)
        assert all(artifact.agent == ("Reporter", "week") for artifact in reports)
        carriers = system.agent(Duty, "desk").call(Duty.carriers).get()
        assert carriers == plain.carriers
        assert late(system.sharing).lag() == {Principal.agent("Duty", "desk"): 0}
        assert set(pipeline(system.sharing).depth().values()) == {0}


def test_the_week_is_exact_after_kills(tmp_path: Path) -> None:
    """A program killed on the second and the fourth day ends with the numbers of the plain pass."""
    store = tmp_path / "week.db"
    for day in (1, 3):
        with started("-m", "examples.turnaround", store) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"January %d:" % day):
                    process.kill()
                    break
        assert process.returncode == -9
    printed = finished("-m", "examples.turnaround", store)[0].splitlines()
    plain = count(DAYS)
    assert printed[:7] == [
        f"January {day}: " + ", ".join(f"{own[kind]} {kind}" for kind in KINDS)
        for day, own in plain.days.items()
    ]
    assert printed[7] == "the week: " + ", ".join(f"{plain.week[kind]} {kind}" for kind in KINDS)
    assert printed[8] == "late again: " + ", ".join(
        f"{carrier} {times}" for carrier, times in plain.carriers.most_common(3)
    )
    compare(store, plain)


def test_a_second_run_finds_everything_done(tmp_path: Path) -> None:
    """Days that are done are read from their reports, and nothing is counted again."""
    store = tmp_path / "days.db"
    main(store, (1, 2))
    main(store, (1, 2))
    compare(store, count((1, 2)))


def test_the_history_of_a_day_is_its_own(tmp_path: Path) -> None:
    """All that was done for a day stands in its session's history, and nothing of another day."""
    with AgentSystem.open(tmp_path / "days.db", agents=AGENTS) as system:
        prepare(system)
        for day in (1, 2):
            run(system, day)
        histories = [system.sessions.get(f"january-{day}").history.list() for day in (1, 2)]
        for history in histories:
            names = [entry.name for entry in history]
            assert names[0] == "(session created)"
            assert names[-1] == "(session completed)"
            assert {"begin", "work", "close"} <= set(names)
            assert "news" not in names  # who only listens to a topic is told outside the session
        assert histories[0][-1].sequence < histories[1][0].sequence
