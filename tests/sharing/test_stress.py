"""Many workers of every durability at one pipeline, with a tiny switch interval; odd names."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Durability, Log, Merged, Principal, Quota, Resources, State
from perdure.persistence.errors import QuotaExceeded, ScopeError
from tests.kit.deadline import DEADLINE
from tests.kit.threads import together


class Seen(State):
    """What has come by."""

    values: Log[int] = Log.field()


class Worker(Agent[Seen]):
    def attend(self, stage: str) -> None:
        self.system.sharing.pipeline("line").attend(stage, f"work_at_{stage}")

    def work_at_first(self) -> None:
        line = self.system.sharing.pipeline("line")
        for work in line.take("first", limit=3):
            line.pass_on(work)

    def work_at_last(self) -> None:
        line = self.system.sharing.pipeline("line")
        for work in line.take("last", limit=3, type=int):
            self.state.values.append(work.value)
            line.pass_on(work)

    def seen(self) -> list[int]:
        return list(self.state.values)


class SavedWorker(Worker):
    durability = Durability.SNAPSHOT


class VolatileWorker(Worker):
    durability = Durability.VOLATILE


CLASSES = (Worker, SavedWorker, VolatileWorker)


@pytest.mark.usefixtures("hasty_threads")
def test_all_arrive_once_in_haste(tmp_path: Path) -> None:
    """What four threads put into a small pipeline arrives once, whoever works at it."""
    with AgentSystem.open(
        tmp_path / "line.db", agents=CLASSES, resources=Resources(workers=8)
    ) as system:
        line = system.sharing.pipeline("line", ["first", "last"], quota=Quota(items=20))
        workers = [system.agent(cls, key) for cls in CLASSES for key in "ab"]
        for worker in workers:
            for stage in ("first", "last"):
                worker.call(Worker.attend, stage).get()

        def put(start: int) -> None:
            for value in range(start, start + 40):
                while True:
                    try:
                        line.put(value)
                    except QuotaExceeded:
                        system.flush()
                    else:
                        break

        together(*(partial(put, 100 * n) for n in range(4)))
        assert system.idle(DEADLINE)
        seen = [value for worker in workers for value in worker.call(Worker.seen).get()]
        assert sorted(seen) == [100 * n + value for n in range(4) for value in range(40)]
        assert line.passed() == len(seen)
        assert set(line.depth().values()) == {0}


names = st.text(min_size=1, max_size=30) | st.sampled_from(["\ud800", "..", "a/b", "x" * 300])


@given(name=names, stage=names, key=names)
@example(name="self", stage="unit", key="self")
@example(name="unit", stage="self", key="unit")
def test_names_may_be_anything_that_can_be_one(name: str, stage: str, key: str) -> None:
    """Whatever can be a name works as one, for patterns, stages and agents; the rest is refused."""
    with AgentSystem.open("memory://", agents=[Worker]) as system:
        try:
            who = Principal.agent("Worker", key)
            topic = system.sharing.topic(name, owner=who)
        except ScopeError:
            return
        mine = system.sharing.acting_as(who)
        assert mine.topic(name).publish(1) == 1
        mine.topic(name).subscribe(from_start=True)
        assert topic.lag() == {who: 1}
        assert [item.value for item in mine.topic(name).read()] == [1]
        document = mine.document(name, dict[str, int], initial={})
        assert isinstance(document.propose(document.read(), {key: 1}), Merged)
        if "/" not in stage and stage not in {"sources", "dropped"}:
            try:
                line = mine.pipeline(name, [stage])
            except ScopeError:
                return
            line.put(2)
            (stage,) = (known for known in line.depth() if known != "dropped")
            (work,) = line.take(stage, lease=1)
            line.pass_on(work)
            assert line.passed() == 1
