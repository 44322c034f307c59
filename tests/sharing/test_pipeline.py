"""A pipeline: items go from stage to stage, each by one worker."""

import math
import threading
from typing import Any

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, MemoryStore, Principal, Scope, State, VirtualClock
from perdure.actors.patterns.pipeline import Pipeline, Work
from perdure.actors.patterns.quota import Quota
from perdure.actors.patterns.rows import numbered
from perdure.persistence.errors import (
    ConfigurationError,
    Conflict,
    CorruptState,
    Denied,
    QuotaExceeded,
    ScopeError,
    StateError,
    SystemClosed,
    TurnTimeout,
)
from tests.kit.deadline import DEADLINE


class Bench(State):
    """What a worker has in hand, and what it has done."""

    held: list[Work[int]] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    attempts: int = 0


class Gate:
    """Let two turns meet: each waits inside until the other has come."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)

    def wait(self) -> None:
        """Wait for the other, once."""
        if not self.barrier.broken and self.barrier.n_waiting < 2:
            self.barrier.wait(DEADLINE)


meeting = Gate()


class Worker(Agent[Bench]):
    def line(self) -> Pipeline:
        return self.system.sharing.pipeline("line", ["first", "second"])

    def put(self, *values: int) -> list[int]:
        return [self.line().put(value) for value in values]

    def put_and_fail(self, value: int) -> None:
        self.line().put(value)
        raise LookupError("no")

    def try_to_put(self, value: int) -> bool:
        try:
            self.line().put(value)
        except QuotaExceeded:
            return False
        return True

    def work(self, stage: str, limit: int = 100) -> list[int]:
        taken = self.line().take(stage, limit=limit, type=int)
        for work in taken:
            self.line().pass_on(work, work.value + 1)
        self.state.done += [work.value for work in taken]
        return [work.value for work in taken]

    def work_with_another(self, limit: int) -> list[int]:
        self.state.attempts += 1
        taken = self.line().take("first", limit=limit, type=int)
        meeting.wait()
        for work in taken:
            self.line().pass_on(work)
        return [work.value for work in taken]

    def look(self, stage: str) -> list[int]:
        line = self.line()
        return [w.value for _ in range(2) for w in line.take(stage, limit=100, type=int)]

    def take_and_fail(self, stage: str) -> None:
        self.work(stage)
        raise LookupError("no")

    def hold(self, seconds: float) -> list[int]:
        self.state.held = self.line().take("first", limit=2, lease=seconds, type=int)
        return [work.value for work in self.state.held]

    def finish(self) -> int:
        for work in self.state.held:
            self.line().pass_on(work)
        return len(self.state.held)

    def return_it(self) -> None:
        for work in self.state.held:
            self.line().give_back(work)

    def drop_all(self, stage: str, reason: str) -> None:
        for work in self.line().take(stage, limit=100):
            self.line().drop(work, reason)

    def attend(self, stage: str) -> None:
        self.line().attend(stage, Worker.woken)

    def woken(self) -> None:
        self.work("first", 2)

    def done(self) -> list[int]:
        return self.state.done


class AsyncWorker(Agent[Bench]):
    async def attend(self) -> None:
        self.system.sharing.pipeline("line").attend("second", "woken")

    async def woken(self) -> None:
        line = self.system.sharing.pipeline("line")
        for work in line.take("second", limit=2, type=int):
            line.pass_on(work)
            self.state.done = [*self.state.done, work.value]

    async def done(self) -> list[int]:
        return self.state.done


def opened(clock: VirtualClock | None = None, quota: Quota | None = None) -> AgentSystem:
    """Open a system with workers and a line of two stages."""
    system = AgentSystem.open("memory://", agents=[Worker, AsyncWorker], clock=clock)
    system.sharing.pipeline("line", ["first", "second"], quota=quota)
    return system


def depth(system: AgentSystem) -> list[int]:
    """Return how many items wait at each stage, and how many were dropped."""
    system.flush()
    return list(system.sharing.pipeline("line").depth().values())


def test_items_go_from_stage_to_stage() -> None:
    """What is put in comes out at the last stage, changed on its way, in order."""
    with opened() as system:
        worker = system.agent(Worker, "a").proxy()
        worker.put(1, 2, 3).get()
        assert depth(system) == [3, 0, 0]
        assert worker.work("first", 2).get() == [1, 2]
        assert depth(system) == [1, 2, 0]
        assert worker.work("second").get() == [2, 3]
        assert depth(system) == [1, 0, 0]
        assert system.sharing.pipeline("line").passed() == 2


def test_a_turn_that_fails_has_done_nothing() -> None:
    """What a failed turn has put in is not there, and what it has taken is where it was."""
    with opened() as system:
        worker = system.agent(Worker, "a").proxy()
        worker.put(1).get()
        for failing in (worker.put_and_fail(2), worker.take_and_fail("first")):
            with pytest.raises(LookupError):
                failing.get()
        assert depth(system) == [1, 0, 0]
        assert worker.work("first").get() == [1]


def test_what_is_not_passed_on_stays() -> None:
    """A turn takes an item once, and what it does with nothing is there for the next."""
    with opened() as system:
        worker = system.agent(Worker, "a").proxy()
        worker.put(1, 2).get()
        assert worker.look("first").get() == [1, 2]
        assert worker.look("first").get() == [1, 2]
        assert worker.work("first").get() == [1, 2]


def test_two_take_different_items_at_once() -> None:
    """Two turns under way at once get different items, and neither begins again."""
    meeting.barrier.reset()
    with opened() as system:
        a, b = (system.agent(Worker, key) for key in "ab")
        a.call(Worker.put, *range(20)).get()
        futures = [ref.call(Worker.work_with_another, 10) for ref in (a, b)]
        taken = [future.get(timeout=DEADLINE) for future in futures]
        assert sorted(taken[0] + taken[1]) == list(range(20))
        assert depth(system) == [0, 20, 0]
        assert [ref.proxy().state.get().attempts for ref in (a, b)] == [1, 1]


def test_many_take_at_once() -> None:
    """Of eight workers on four threads each item is handled by one."""
    with opened() as system:
        workers = [system.agent(Worker, str(n)) for n in range(8)]
        workers[0].call(Worker.put, *range(200)).get()
        futures = [worker.call(Worker.work, "first", 7) for worker in workers for _ in range(5)]
        taken = [value for future in futures for value in future.get(timeout=DEADLINE)]
        assert sorted(taken) == list(range(200))
        assert depth(system) == [0, 200, 0]


def test_workers_are_woken_until_nothing_is_left() -> None:
    """Sync and async workers that take a few at a time are told until all has passed."""
    with opened() as system:
        for key in "ab":
            system.agent(Worker, key).call(Worker.attend, "first").get()
        system.agent(AsyncWorker, "c").proxy().attend().get()
        system.agent(Worker, "source").call(Worker.put, *range(11)).get()
        system.sharing.pipeline("line").put(11)
        assert system.idle(DEADLINE)
        assert depth(system) == [0, 0, 0]
        assert sorted(system.agent(AsyncWorker, "c").proxy().done().get()) == list(range(1, 13))
        shares = [system.agent(Worker, key).call(Worker.done).get() for key in "ab"]
        assert sorted(shares[0] + shares[1]) == list(range(12))


def test_a_worker_that_rests_is_not_woken_while_another_can_work() -> None:
    """Items go past paused workers, dormant ones as well; when all rest, they wait for one."""
    with opened() as system:
        workers = [system.agent(Worker, key) for key in "abc"]
        for worker in workers:
            worker.call(Worker.attend, "first").get()
        for worker in workers[:2]:
            worker.pause()
        line = system.sharing.pipeline("line")
        for value in range(9):
            line.put(value)
        assert system.idle(DEADLINE)
        assert sorted(workers[2].call(Worker.done).get()) == list(range(9))
        assert [worker.describe().waiting for worker in workers] == [0, 0, 0]
        workers[2].pause()
        line.put(9)
        assert sum(worker.describe().waiting for worker in workers) == 1
        for worker in workers:
            worker.resume()
        assert system.idle(DEADLINE)
        assert depth(system)[0] == 0


def test_a_full_pipeline_refuses_and_recovers() -> None:
    """The sender gets QuotaExceeded while it is full, and goes on when work was done."""
    with opened(quota=Quota(items=2)) as system:
        worker = system.agent(Worker, "a").proxy()
        assert [worker.try_to_put(n).get() for n in range(3)] == [True, True, False]
        line = system.sharing.pipeline("line")
        with pytest.raises(QuotaExceeded, match="quota of 2 items; put more in when"):
            line.put(9)
        worker.work("first").get()
        assert not worker.try_to_put(3).get()
        worker.work("second").get()
        assert worker.try_to_put(3).get()
        assert depth(system) == [1, 0, 0]


def test_the_quota_is_exact_among_many() -> None:
    """Of many who fill it at once as many succeed as there is room, and nobody is mistaken."""
    with opened(quota=Quota(items=25)) as system:
        workers = [system.agent(Worker, str(n)) for n in range(10)]
        futures = [w.call(Worker.try_to_put, n) for n, w in enumerate(workers) for _ in range(5)]
        assert sum(future.get(timeout=DEADLINE) for future in futures) == 25
        assert depth(system) == [25, 0, 0]


def test_bytes_are_counted_where_they_are() -> None:
    """A value that shrinks or leaves makes room."""
    with opened(quota=Quota(bytes=30)) as system:
        line = system.sharing.pipeline("line")
        line.put("x" * 26)
        with pytest.raises(QuotaExceeded, match="30 bytes"):
            line.put(100)
        (work,) = line.take("first", lease=60)
        line.pass_on(work, "y")
        line.put("x" * 20)


def test_a_lease_lasts_over_turns() -> None:
    """What is leased is nobody else's until the lease is over, and passed on in a later turn."""
    clock = VirtualClock()
    with opened(clock) as system:
        a, b = (system.agent(Worker, key).proxy() for key in "ab")
        a.put(1, 2, 3).get()
        assert a.hold(60).get() == [1, 2]
        assert b.look("first").get() == [3]
        assert a.finish().get() == 2
        assert depth(system) == [1, 2, 0]


def test_a_lease_that_is_over_is_lost() -> None:
    """After its time another may take the item; who had it before cannot pass it on any more."""
    clock = VirtualClock()
    with opened(clock) as system:
        a, b = (system.agent(Worker, key).proxy() for key in "ab")
        a.put(1).get()
        a.hold(60).get()
        clock.advance(61)
        assert b.hold(60).get() == [1]
        with pytest.raises(Conflict, match=r"item \d+ of .* is not yours any more: it was"):
            a.finish().get()
        assert b.finish().get() == 1
        with pytest.raises(Conflict, match="is not yours any more: it is not at stage 'first'"):
            b.finish().get()
        assert depth(system) == [0, 1, 0]


def test_a_lease_can_be_given_back() -> None:
    """What is given back waits for the next."""
    with opened() as system:
        a, b = (system.agent(Worker, key).proxy() for key in "ab")
        a.put(1).get()
        a.hold(60).get()
        a.return_it().get()
        with pytest.raises(Conflict, match="is not yours any more: its lease has ended, or was"):
            a.finish().get()
        assert b.work("first").get() == [1]


def test_what_a_turn_has_passed_on_is_not_its_own_any_more() -> None:
    """Passing on twice in one turn is told as what it is, also without a lease."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        line.put(1)
        with system.state.transaction():
            (work,) = line.take("first")
            line.pass_on(work)
            with pytest.raises(Conflict, match="is not yours any more: it is not at stage 'first'"):
                line.pass_on(work)
        assert depth(system) == [0, 1, 0]


@pytest.mark.parametrize("lease", [math.inf, math.nan, 1e10, 0, -1.0, True, "60"])
def test_a_lease_is_a_time_that_ends(lease: Any) -> None:  # noqa: ANN401 - whatever a caller gives
    """What is no time in seconds is refused, and nothing is stored that nobody can read."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        line.put(1)
        with pytest.raises(ConfigurationError, match=r"pipeline 'line': a lease of .* makes no"):
            line.take("first", lease=lease)
        assert [work.value for work in line.take("first", lease=60)] == [1]


@pytest.mark.parametrize("limit", [0, -1, True, 1.0, "many", None])
def test_a_limit_is_a_number(limit: Any) -> None:  # noqa: ANN401 - same
    """A limit below one, or that is no number, is refused."""
    refused = pytest.raises(ConfigurationError, match=r"pipeline 'line': a limit of .* makes no")
    with opened() as system, refused:
        system.sharing.pipeline("line").take("first", limit=limit, lease=60)


def damage(line: Pipeline, key: str, text: str) -> None:
    """Store something else in place of a row."""
    line._office.run(lambda unit: line._rows.put(unit, key, text))


def test_a_lease_that_does_not_decode_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Its item is given out again, the log knows it once, and its holder has lost it."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        line.put(1)
        (held,) = line.take("first", lease=60)
        lease = '{"number":1,"holder":"system","until":null}'
        damage(line, numbered("stage/first", held.number), f'{{"value":1,"lease":{lease}}}')
        for _ in range(2):
            with system.state.transaction():
                assert [work.value for work in line.take("first")] == [1]
        with pytest.raises(Conflict, match="not yours any more: its lease has ended"):
            line.pass_on(held)
        with system.state.transaction():
            line.pass_on(*line.take("first"))
        assert depth(system) == [0, 1, 0]
    told = [r.getMessage() for r in caplog.records if "does not decode" in r.getMessage()]
    assert len(told) == 1
    assert f"pipeline 'line': the lease on item {held.number} does not decode" in told[0]


@pytest.mark.parametrize(
    ("text", "value"), [('{"value":7,"until":"soon"}', 7), ('{"until":1}', '{"until":1}')]
)
def test_an_item_that_does_not_decode_is_dropped(
    text: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The stage goes on without it; the owner finds what there is of it, with the reason."""
    clock = VirtualClock()
    with opened(clock, Quota(items=3, ttl=60)) as system:
        line = system.sharing.pipeline("line")
        bad = [line.put(7), line.put(7)]
        for number in bad:
            damage(line, numbered("stage/first", number), text)
        line.put(8)
        clock.advance(60)
        line.put(9)  # makes room; who takes finds the damage
        assert [work.value for work in line.take("first", limit=5, lease=60)] == [9]
        assert depth(system) == [1, 0, 2]
        assert [(d.number, d.stage, d.value) for d in line.dropped.list()] == [
            (number, "first", value) for number in bad
        ]
        assert line.dropped.list(limit=1)[0].reason == "it does not decode as it was stored"
        assert line.dropped.list(limit=1).more
        assert list(line.dropped.each()) == line.dropped.list()
        assert line.dropped.count() == 2
        with pytest.raises(ConfigurationError, match="limit=-1"):
            line.dropped.list(limit=-1)
        assert line.discard(bad[0])
        assert line.requeue(bad[1])
        assert [work.value for work in line.take("first", lease=60)] == [value]
        assert caplog.text.count(f"pipeline 'line': item {bad[0]} does not decode") == 1


def test_a_dropped_item_that_does_not_decode_can_be_discarded() -> None:
    """It stops neither the list nor the others; where it was is not known any more."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        number = line.put(1)
        (work,) = line.take("first", lease=60)
        with pytest.raises(ScopeError, match="the reason must be text"):
            line.drop(work, 5)  # type: ignore[arg-type]
        line.drop(work, "no")
        damage(line, numbered("dropped", number), '{"value":1,"reason":5}')
        assert [d.value for d in line.dropped.list()] == [1]
        with pytest.raises(CorruptState, match="its stage is not known; discard it"):
            line.requeue(number)
        assert line.discard(number)


def test_outside_of_turns_a_lease_is_needed() -> None:
    """A caller outside leases, or does all in one transaction; else nothing would hold the item."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        line.put(1)
        line.put(2)
        with pytest.raises(ConfigurationError, match="needs a lease"):
            line.take("first")
        (work,) = line.take("first", lease=60, type=int)
        line.pass_on(work, work.value * 10)
        with system.state.transaction() as state:
            (work,) = line.take("first", type=int)
            line.pass_on(work, 20)
            state.set(Scope.GLOBAL, "worked", 1)
        assert [w.value for w in line.take("second", limit=5, lease=60, type=int)] == [10, 20]
        with pytest.raises(Conflict, match="was not taken in this turn"):
            line.pass_on(Work(work.number, "second", 20))


def test_a_transaction_that_fails_leaves_all_where_it_was() -> None:
    """Outside, too, what was taken in a block that raises is there afterwards."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        line.put(1)

        def work_and_fail(_: object) -> None:
            (work,) = line.take("first")
            line.pass_on(work)
            raise LookupError

        with pytest.raises(LookupError):
            system.state.transact(work_and_fail)
        assert [w.value for w in line.take("first", lease=60)] == [1]


def test_dropped_items_wait_for_a_decision() -> None:
    """A dropped item is kept with its reason, to be put back or discarded by the owner."""
    with opened(quota=Quota(items=2)) as system:
        line = system.sharing.pipeline("line")
        worker = system.agent(Worker, "a").proxy()
        worker.put(1, 2).get()
        worker.drop_all("first", "no good").get()
        found = line.dropped.list(type=int)
        assert [(d.value, d.stage, d.reason) for d in found] == [
            (1, "first", "no good"), (2, "first", "no good"),
        ]  # fmt: skip
        assert not worker.try_to_put(3).get()
        assert line.requeue(found[0].number)
        assert not line.requeue(found[0].number)
        assert line.discard(found[1].number)
        assert depth(system) == [1, 0, 0]
        assert worker.try_to_put(3).get()
        assert worker.work("first").get() == [1, 3]
        with pytest.raises(Denied, match="may not settle the dropped items"):
            system.sharing.acting_as(Principal.user("mira")).pipeline("line").requeue(1)


def test_old_items_go() -> None:
    """After its time to live an item is not given out any more, and makes room."""
    clock = VirtualClock()
    with opened(clock, Quota(items=2, ttl=60)) as system:
        worker = system.agent(Worker, "a").proxy()
        worker.put(1, 2).get()
        clock.advance(61)
        assert worker.try_to_put(3).get()
        assert worker.work("first").get() == [3]
        clock.advance(61)
        assert worker.work("second").get() == []
        assert depth(system) == [0, 0, 0]


def test_each_stage_has_its_workers() -> None:
    """Who has no part in a stage neither takes, nor passes on, nor listens there."""
    roles = {"sources": Principal.user("mira"), "first": Principal.agents("Worker")}
    with AgentSystem.open("memory://", agents=[Worker, AsyncWorker]) as system:
        line = system.sharing.pipeline("line", ["first", "second"], roles=roles)
        worker = system.agent(Worker, "a").proxy()
        with pytest.raises(Denied, match="Worker/a may not put items into pipeline 'line'"):
            worker.put(1).get()
        mira = system.sharing.acting_as(Principal.user("mira")).pipeline("line")
        mira.put(1)
        with pytest.raises(Denied, match="user:mira may not take items from"):
            mira.take("first", lease=60)
        (work,) = line.take("first", lease=60)
        with pytest.raises(Denied, match="user:mira may not pass on"):
            mira.pass_on(work)
        line.give_back(work)
        assert worker.work("first").get() == [1]
        (work,) = line.take("second", lease=60)
        with pytest.raises(Conflict, match="is leased to another, who settles it"):
            mira.pass_on(work)
        line.give_back(work)
        assert [w.value for w in mira.take("second", lease=60)] == [2]


def test_what_an_agent_keeps_for_itself_is_not_reached_through_scopes() -> None:
    """The rows of a pattern are nobody's to read or write but through the pattern."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        stranger = system.state.acting_as(Principal.user("mira"))
        with pytest.raises(Denied):
            stranger.get(line._rows.scope, "head")
        with pytest.raises(Denied):
            stranger.list(line._rows.scope)


def test_mistakes_are_told() -> None:
    """Unknown stages, other stages, bad names and values are refused in a sentence."""
    with opened() as system:
        line = system.sharing.pipeline("line")
        with pytest.raises(ConfigurationError, match="has no stage 'third'; it has first, second"):
            line.take("third", lease=1)
        with pytest.raises(ConfigurationError, match="is there with stages"):
            system.sharing.pipeline("line", ["first"])
        for stages in (["a", "a"], ["a/b"], ["dropped"], [""]):
            with pytest.raises(ConfigurationError, match="must be different names"):
                system.sharing.pipeline("other", stages)
        with pytest.raises(ConfigurationError, match="no stages of pipeline"):
            system.sharing.pipeline("other", ["a"], roles={"b": Principal.SYSTEM})
        with pytest.raises(ConfigurationError, match="there is no pipeline 'typo'; name its st"):
            system.sharing.pipeline("typo")
        with pytest.raises(ConfigurationError, match="must be a list of names, not the text 'ab'"):
            system.sharing.pipeline("other", "ab")
        with pytest.raises(ScopeError, match=r"^the name of a pipeline must not be empty$"):
            system.sharing.pipeline("", ["a"])
        for mira in ("mira", ["mira"], "", 5):
            with pytest.raises(ConfigurationError, match="who plays 'sources' must be a Principal"):
                system.sharing.pipeline("other", ["a"], roles={"sources": mira})  # type: ignore[dict-item]
        with pytest.raises(ConfigurationError, match="owner must be a Principal, not 'mira'"):
            system.sharing.pipeline("other", ["a"], owner="mira")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="quota must be a Quota, not 5"):
            system.sharing.pipeline("other", ["a"], quota=5)  # type: ignore[arg-type]
        with pytest.raises(StateError, match="NaN"):
            line.put(float("nan"))
        line.put("text")
        with pytest.raises(CorruptState, match="does not decode as int"):
            line.take("first", lease=1, type=int)


def test_it_is_there_after_a_restart() -> None:
    """Items, leases and those who listen outlive the process."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Worker, AsyncWorker]) as system:
        line = system.sharing.pipeline("line", ["first", "second"])
        line.put(1)
        system.agent(Worker, "a").proxy().hold(3600).get()
        system.agent(Worker, "b").call(Worker.attend, "first").get()
    with AgentSystem.open(store, agents=[Worker, AsyncWorker]) as system:
        line = system.sharing.pipeline("line")
        assert line.take("first", lease=1) == []
        line.put(2)
        assert system.idle(DEADLINE)
        assert system.agent(Worker, "b").call(Worker.done).get() == [2]
        assert system.agent(Worker, "a").proxy().finish().get() == 1
        assert depth(system) == [0, 2, 0]


def test_a_closed_system_shares_nothing() -> None:
    """What is still in hand when the system is closed says so."""
    with opened() as system:
        line = system.sharing.pipeline("line")
    with pytest.raises(SystemClosed):
        line.put(1)


def test_a_turn_over_its_limit_holds_nothing_up() -> None:
    """What a turn has taken that was given up is there for others, and it can pass nothing on."""
    clock = VirtualClock()
    go_on = threading.Event()
    begun, ended = threading.Event(), threading.Event()

    class Slow(Agent[Bench]):
        turn_limit = 10.0

        def work(self, wait: bool) -> list[int]:  # noqa: FBT001 - a message
            line = self.system.sharing.pipeline("line")
            taken = line.take("first", limit=9, type=int)
            if wait:
                begun.set()
                go_on.wait(DEADLINE)
            try:
                for work in taken:
                    line.pass_on(work)
            finally:
                ended.set()
            return [work.value for work in taken]

    with AgentSystem.open("memory://", agents=[Slow], clock=clock) as system:
        line = system.sharing.pipeline("line", ["first", "second"])
        line.put(1)
        future = system.agent(Slow, "a").call(Slow.work, wait=True)
        assert begun.wait(DEADLINE)
        assert system.agent(Slow, "b").call(Slow.work, wait=False).get() == []
        clock.advance(10)
        with pytest.raises(TurnTimeout):
            future.get(timeout=DEADLINE)
        assert system.agent(Slow, "b").call(Slow.work, wait=False).get() == [1]
        ended.clear()
        go_on.set()
        assert ended.wait(DEADLINE)
        system.flush()
        assert list(line.depth().values()) == [0, 1, 0]
