"""What a batch shares between its turns: a system while nothing can tell, and no memory."""

from __future__ import annotations

import contextvars
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import Agent, AgentSystem, Log, MemoryStore, Scope, State
from perdure.hooks.history.record import HookRecord
from perdure.persistence.errors import ConfigurationError
from perdure.replay import batch, replayer, selection, sweep
from perdure.replay.outcome import Replay
from perdure.replay.turn import RecordedTurn
from tests.kit.deadline import DEADLINE

_here = threading.local()
_left: contextvars.ContextVar[int] = contextvars.ContextVar("_left", default=0)


class DeskState(State):
    """What a desk keeps."""

    lines: Log[str] = Log.field()


class Desk(Agent[DeskState]):
    """Takes numbers; some of them make it do more than that."""

    record = True

    def take(self, number: int) -> list[Any]:
        """Take a number down, and tell the head."""
        self.state.lines.append(str(number))
        if self.key != "head":
            self.system.agent(Desk, "head").proxy().take.defer(number)
        return []


class Leaving(Desk):
    """The same, but it leaves something wherever it can, and says what it finds."""

    kind = "Desk"

    def take(self, number: int) -> list[Any]:
        """Look around first."""
        super().take(number)
        scope = Scope.agent("Desk", self.key)
        found: list[Any] = [
            getattr(_here, "number", 0), _left.get(), len(self.state.lines), self.now(),
            self.random.random(), self.turn.attempt,
        ]  # fmt: skip
        _here.number = number
        _left.set(number)
        if number % 3 == 0:
            system: Any = self.system
            found += [len(list(system.agents.each())), len(list(system.mail.each()))]
            found += [system.state.get(scope, "k", default=None), len(system.groups())]
            system.state.set(scope, "k", number)
            system.group(f"g{number}", [system.agent(Desk, self.key)])
        if number % 5 == 0:
            self.after(60, self.take, number)
        if number % 7 == 0:
            raise ValueError(f"{found}")
        return found


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system with turns of several desks."""
    with AgentSystem.open(MemoryStore(), agents=[Desk]) as opened:
        for number in range(1, 16):
            opened.agent(Desk, f"d{number % 2}").call(Desk.take, number).get(timeout=DEADLINE)
        assert opened.idle(DEADLINE)
        yield opened


def opens(system: AgentSystem, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that takes the moments for which sandboxes are opened."""
    found: list[float] = []
    opening = system.replay._open

    def noted(agents: Any, moment: float, *rest: Any) -> Any:  # noqa: ANN401 - as it is
        found.append(moment)
        return opening(agents, moment, *rest)

    monkeypatch.setattr(system.replay, "_open", noted)
    return found


def living() -> int:
    """Return how many recorded turns, and replays with both sides, are in memory."""
    return sum(
        type(each) is RecordedTurn or (type(each) is Replay and bool(each.recorded))
        for each in gc.get_objects()
    )


def test_what_comes_before_a_turn_in_a_batch_does_not_matter(system: AgentSystem) -> None:
    """Each turn of a batch comes out as it does alone, whatever those before it have left."""
    found = system.replay.batch(agents=[Leaving], workers=1).report().replays
    assert len(found) == 30
    assert {replay.outcome for replay in found} == {"different"}
    for replay in reversed(found):
        alone = system.replay.simulate(replay.id, agents=[Leaving])
        assert (replay.id, replay.replayed) == (alone.id, alone.replayed)
        assert replay.findings == alone.findings


def test_plain_turns_share_a_system_and_others_have_one_for_themselves(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one that does not keep to itself another is opened; behind others it runs again."""
    found = opens(system, monkeypatch)
    assert system.replay.batch(workers=1).report().same
    assert len(found) == 1
    found.clear()
    system.replay.batch(agents=[Leaving], workers=1, key="d1").report()
    numbers = range(1, 16, 2)
    left = [number for number in numbers if 0 in (number % 3, number % 5, number % 7)]
    again = [number for number in left if number - 2 in numbers and number - 2 not in left]
    # One to see that the classes fit; the last turn, 15, leaves nobody behind it.
    assert len(found) == 1 + len(left) + len(again)


def test_a_batch_has_but_a_window_of_turns_in_memory(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many it replays, few turns are read before they are due, and no side is kept."""
    monkeypatch.setattr(batch, "WINDOW", 6)
    monkeypatch.setattr(batch, "PART", 2)
    given: list[list[str]] = []
    select = selection.selected

    def counted(*args: Any) -> Iterator[HookRecord]:  # noqa: ANN401 - as it is
        ids: list[str] = []
        given.append(ids)
        for record in select(*args):
            ids.append(record.id)
            yield record

    monkeypatch.setattr(replayer, "selected", counted)
    ahead: list[int] = []
    alive: list[int] = []

    def tell(done: int, _total: int) -> None:
        ahead.append(len(given[-1]) - done)
        alive.append(living() - before)

    gc.collect()
    before = living()
    report = system.replay.batch(workers=2, tell=tell).report()
    assert report.counts == {"same": 30}
    assert [len(ids) for ids in given] == [30, 30]
    assert 0 < max(ahead) <= 6 + 2 * 2
    assert 0 < max(alive) <= 8  # of two workers: the one before, and its replay
    assert not any(replay.recorded or replay.replayed for replay in report.replays)


@pytest.mark.parametrize("most", [0, 4, 100])
def test_a_batch_keeps_as_many_as_it_is_told_and_counts_the_others(
    system: AgentSystem, most: int
) -> None:
    """Those it keeps are the first that differ, in order; it says how many more there are."""
    whole = system.replay.batch(agents=[Leaving]).report()
    some = system.replay.batch(agents=[Leaving], most=most, workers=3).report()
    wanted = [replay.id for replay in whole.replays][:most]
    assert [replay.id for replay in some.replays] == wanted
    assert (some.counts, some.more) == (whole.counts, 30 - len(wanted))
    assert (f"and {some.more} more that differ" in some.text()) == (some.more > 0)
    assert not some.same
    assert system.replay.batch(most=most).report().replays == []


def test_most_is_a_number(system: AgentSystem) -> None:
    """Any other is refused by name."""
    with pytest.raises(ConfigurationError, match="most"):
        system.replay.batch(most=-1)


def test_a_schedule_keeps_the_first_that_differ_and_says_how_many_more(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is no larger, however many turns differ."""
    monkeypatch.setattr(sweep, "MOST", 3)
    against = f"{__name__}:Leaving"
    system.replay.schedule("once", at=0.0, against=against)
    assert system.idle(DEADLINE)
    (result,) = system.replay.results.each("once")
    assert (len(result.differing), result.more, result.counts) == (3, 27, {"different": 30})


def test_turns_recorded_meanwhile_are_not_of_the_batch(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch ends with the turn that was the newest when it began."""
    monkeypatch.setattr(batch, "WINDOW", 1)
    begun, go_on = threading.Event(), threading.Event()

    def tell(_done: int, _total: int) -> None:
        begun.set()
        go_on.wait(DEADLINE)

    running = system.replay.batch(workers=1, tell=tell)
    assert begun.wait(DEADLINE)
    system.agent(Desk, "d9").call(Desk.take, 1).get(timeout=DEADLINE)
    go_on.set()
    report = running.report()
    assert (report.counts, report.cancelled, running.total) == ({"same": 30}, False, 30)
