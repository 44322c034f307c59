"""Many turns replayed: which, how many at once, compared by rules, reported."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import AgentSystem, MemoryStore, Principal, Right, Scope
from perdure.persistence.errors import ConfigurationError, Denied
from perdure.replay import comparison
from perdure.replay.comparison import ReplayRules

from .tills import OffByOne, Till, turns


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system with recorded turns of several tills."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as opened:
        for key in ("a", "b"):
            for amount in (1, 2, 100):
                opened.agent(Till, key).call(Till.pay, amount).get()
        with pytest.raises(ValueError, match="below 0"):
            opened.agent(Till, "a").call(Till.pay, -1).get()
        opened.idle()
        yield opened


def test_all_turns_that_are_wanted_are_replayed(system: AgentSystem) -> None:
    """A batch takes the turns of an agent, a range, a correlation, a session, or all."""
    ids = turns(system)
    whole = system.replay.batch().report()
    assert [replay.id for replay in whole.replays] == ids
    assert whole.same
    assert whole.counts == {"same": len(ids) - 1, "failed": 1}
    own = turns(system, key="a")
    assert [r.id for r in system.replay.batch(kind="Till", key="a").report().replays] == own
    part = system.replay.batch(kind="Till", key="a", first=own[1], last=own[2]).report()
    assert [replay.id for replay in part.replays] == own[1:3]
    correlation = system.hooks.history.get(own[0]).correlation
    chain = system.replay.batch(correlation=correlation).report()
    assert [(r.kind, r.key) for r in chain.replays] == [("Till", "a"), ("Till", "head")]
    assert len(system.replay.batch(limit=3).report().replays) == 3
    with system.sessions.create("s") as session:
        system.agent(Till, "c").call(Till.pay, 7).get()
        system.idle()
    found = system.replay.batch(session=session.id).report().replays
    assert {replay.key for replay in found} == {"c", "head"}
    with pytest.raises(ConfigurationError, match="no session"):
        system.replay.batch(session="nobody")


def test_a_batch_under_changed_code_finds_what_differs_and_nothing_else(
    system: AgentSystem,
) -> None:
    """Exactly the turns that the fault reaches come out differently."""
    report = system.replay.batch(agents=[OffByOne]).report()
    assert not report.same
    wrong = [replay for replay in report.replays if replay.outcome == "different"]
    assert all("100" in str(replay.recorded["delta"]) for replay in wrong)
    assert len(wrong) == 4  # two tills, and the head for each of them
    assert "result" in report.text()


def test_rules_say_what_counts(system: AgentSystem) -> None:
    """Paths that are ignored, and numbers within the tolerance, make no difference."""
    run = turns(system, key="b")[2]
    paths = {f.path for f in system.replay.simulate(run, agents=[OffByOne]).findings}
    ignored = ReplayRules(ignore=tuple(paths - {"result"}))
    found = system.replay.simulate(run, agents=[OffByOne], rules=ignored).findings
    assert [finding.path for finding in found] == ["result"]
    near = ReplayRules(ignore=("delta", "sends*"), tolerance=0.01)
    assert system.replay.simulate(run, agents=[OffByOne], rules=near).outcome == "same"


def test_an_order_does_not_count_where_it_is_said() -> None:
    """Also where the items differ in what is ignored."""
    one = {"sends": [{"to": "a", "at": 1}, {"to": "b", "at": 2}], "steps": [1, 2]}
    other = {"sends": [{"to": "b", "at": 3}, {"to": "a", "at": 4}], "steps": [2, 1]}

    def found(**rules: tuple[str, ...]) -> set[str]:
        return {each.path for each in comparison._findings(one, other, ReplayRules(**rules))}  # type: ignore[arg-type]

    assert found(ignore=("sends[*].at",), any_order=("sends",)) == {"steps[0]", "steps[1]"}
    assert found(ignore=("sends[*].at",), any_order=("sends", "steps")) == set()
    assert "sends[0].to" in found(ignore=("sends[*].at",))


@pytest.mark.parametrize(
    "wrong", [{"ignore": "delta"}, {"any_order": ["a"]}, {"tolerance": math.nan}, {"tolerance": 2}]
)
def test_rules_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    """By name, when they are made."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ReplayRules(**wrong)


def test_a_batch_tells_how_far_it_is_and_stops_when_it_is_cancelled(system: AgentSystem) -> None:
    """After a cancel no other turn begins, and the report says that some are missing."""
    told: list[tuple[int, int]] = []
    first, go_on = threading.Event(), threading.Event()

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        first.set()
        go_on.wait(10)

    batch = system.replay.batch(workers=1, tell=tell)
    assert first.wait(10)
    stopping = threading.Thread(target=batch.cancel)
    stopping.start()
    while not batch.cancelled:
        pass
    go_on.set()
    stopping.join(10)
    assert told == [(1, batch.total)]
    report = batch.report()
    assert (len(report.replays), report.cancelled, report.same) == (1, True, False)
    whole = system.replay.batch(workers=3, tell=lambda done, total: told.append((done, total)))
    whole.report()
    assert told[1:] == [(done, whole.total) for done in range(1, whole.total + 1)]


def test_to_replay_is_a_right_and_each_use_is_in_the_audit(system: AgentSystem) -> None:
    """The system may, and who was granted it; others are refused, and all of it is audited."""
    run = turns(system, key="a")[0]
    mira = system.replay.acting_as(Principal.user("mira"))
    with pytest.raises(Denied):
        mira.turn(run)
    with pytest.raises(Denied):
        mira.batch(kind="Till", key="a")
    scope = Scope.agent("Till", "a")
    system.access.grant(Principal.user("mira"), scope, Right.ALL, keys="(replay)")
    assert mira.turn(run).outcome == "same"
    with pytest.raises(Denied):
        mira.batch()
    system.replay.turn(run)
    entries = list(system.audit.each(operation="replay"))
    assert [(str(entry.who), entry.outcome) for entry in entries if entry.scope == scope] == [
        ("user:mira", "refused"), ("user:mira", "refused"), ("user:mira", "allowed"),
        ("user:mira", "allowed"), ("system", "allowed"),
    ]  # fmt: skip
    assert {entry.key for entry in entries} == {"(replay)"}
