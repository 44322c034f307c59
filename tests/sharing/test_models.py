"""Topic and pipeline against simple models, over random histories."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure import Agent, AgentSystem, Principal, Quota, State, VirtualClock, Work
from perdure.persistence.errors import Conflict, QuotaExceeded

STAGES = ("a", "b", "c")
ITEMS, TTL, LEASE = 3, 60.0, 30.0


class Nothing(State):
    """Nothing."""


class Nobody(Agent[Nothing]):
    """A system needs a class."""


@dataclass
class Thing:
    """An item as the model knows it."""

    value: int
    until: float
    stage: str = STAGES[0]
    leased: float = 0.0
    dropped: bool = False


class PipelineMachine(RuleBasedStateMachine):
    """One pipeline, used from outside by the system, and what should be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.system = AgentSystem.open("memory://", agents=[Nobody], clock=self.clock)
        quota = Quota(items=ITEMS, ttl=TTL)
        self.line = self.system.sharing.pipeline("line", STAGES, quota=quota)
        self.things: dict[int, Thing] = {}
        self.works: list[Work[int]] = []
        self.passed = 0

    def teardown(self) -> None:
        """Close the system."""
        self.system.close()

    def old(self, thing: Thing) -> bool:
        """Tell whether an item may go: it is out of date, and nobody works on it."""
        now = self.clock.now()
        return not thing.dropped and thing.until <= now and thing.leased <= now

    @rule(value=st.integers(0, 9))
    def put(self, value: int) -> None:
        """Put something in, if there is room or room can be made."""
        if len(self.things) == ITEMS:
            self.things = {n: thing for n, thing in self.things.items() if not self.old(thing)}
        if len(self.things) == ITEMS:
            with pytest.raises(QuotaExceeded):
                self.line.put(value)
        else:
            self.things[self.line.put(value)] = Thing(value, self.clock.now() + TTL)

    @rule(stage=st.sampled_from(STAGES), limit=st.integers(1, 3))
    def take(self, stage: str, limit: int) -> None:
        """Take the oldest that nobody holds; those out of date that are met go."""
        now = self.clock.now()
        expected: list[tuple[int, int]] = []
        for number in sorted(n for n, thing in self.things.items() if thing.stage == stage):
            thing = self.things[number]
            if thing.dropped or thing.leased > now:
                continue
            if self.old(thing):
                del self.things[number]
            elif len(expected) < limit:
                expected.append((number, thing.value))
                thing.leased = now + LEASE
            else:
                break
        works = self.line.take(stage, limit=limit, lease=LEASE, type=int)
        assert [(work.number, work.value) for work in works] == expected
        self.works += works

    @precondition(lambda self: self.works)
    @rule(data=st.data(), what=st.sampled_from(["pass", "drop", "back"]))
    def settle(self, data: st.DataObject, what: str) -> None:
        """Settle work: a conflict but for its latest holder, once."""
        index = data.draw(st.integers(0, len(self.works) - 1))
        work = self.works.pop(index)
        thing = self.things.get(work.number)
        later = any(other.number == work.number for other in self.works[index:])
        mine = thing is not None and not thing.dropped and thing.stage == work.stage and not later
        calls: dict[str, Any] = {
            "pass": lambda: self.line.pass_on(work, work.value + 1),
            "drop": lambda: self.line.drop(work, "no"),
            "back": lambda: self.line.give_back(work),
        }
        if thing is None or not mine or not thing.leased:
            with pytest.raises(Conflict):
                calls[what]()
            return
        calls[what]()
        thing.leased = 0.0
        if what == "drop":
            thing.dropped = True
        elif what == "pass" and work.stage == STAGES[-1]:
            del self.things[work.number]
            self.passed += 1
        elif what == "pass":
            thing.stage = STAGES[STAGES.index(work.stage) + 1]
            thing.value += 1

    @rule(back=st.booleans())
    def decide(self, back: bool) -> None:  # noqa: FBT001 - hypothesis calls it
        """Settle the oldest dropped item as the owner."""
        dropped = self.line.dropped.list(type=int)
        assert [d.number for d in dropped] == sorted(n for n, t in self.things.items() if t.dropped)
        if dropped:
            number = dropped[0].number
            assert dropped[0].value == self.things[number].value
            assert self.line.requeue(number) if back else self.line.discard(number)
            if back:
                self.things[number].dropped = False
            else:
                del self.things[number]

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.advance(seconds)

    @invariant()
    def counts_agree(self) -> None:
        """Find what should be there at every stage."""
        expected = {
            stage: sum(t.stage == stage and not t.dropped for t in self.things.values())
            for stage in STAGES
        }
        dropped = sum(thing.dropped for thing in self.things.values())
        assert self.line.depth() == {**expected, "dropped": dropped}
        assert self.line.passed() == self.passed


@dataclass
class Published:
    """The items of a topic as the model knows them."""

    items: deque[tuple[int, int]] = field(default_factory=deque)
    last: int = 0
    places: dict[str, int] = field(default_factory=dict)


class TopicMachine(RuleBasedStateMachine):
    """One topic and three readers; in the model an item goes as soon as it may."""

    def __init__(self) -> None:
        super().__init__()
        self.system = AgentSystem.open("memory://", agents=[Nobody])
        self.topic = self.system.sharing.topic("news", quota=Quota(items=5))
        self.model = Published()

    def teardown(self) -> None:
        """Close the system."""
        self.system.close()

    def unread(self) -> int:
        """Return how many items somebody still waits for."""
        floor = min(self.model.places.values(), default=self.model.last)
        return self.model.last - floor

    @rule(value=st.integers(0, 9))
    def publish(self, value: int) -> None:
        """Publish, unless five items are waited for."""
        if self.unread() >= 5:
            with pytest.raises(QuotaExceeded):
                self.topic.publish(value)
            return
        self.model.last += 1
        assert self.topic.publish(value) == self.model.last
        self.model.items.append((self.model.last, value))

    @rule(who=st.sampled_from("xyz"))
    def subscribe(self, who: str) -> None:
        """Subscribe: a new reader begins at the end, one that is there keeps its place."""
        self.reader(who).subscribe()
        self.model.places.setdefault(who, self.model.last)

    @rule(who=st.sampled_from("xyz"))
    def unsubscribe(self, who: str) -> None:
        """Leave, if the reader is there."""
        self.reader(who).unsubscribe()
        self.model.places.pop(who, None)

    @rule(data=st.data(), limit=st.integers(1, 4))
    @precondition(lambda self: self.model.places)
    def read(self, data: st.DataObject, limit: int) -> None:
        """Read what follows the reader's place."""
        who = data.draw(st.sampled_from(sorted(self.model.places)))
        place = self.model.places[who]
        expected = [item for item in self.model.items if item[0] > place][:limit]
        read = self.reader(who).read(limit, type=int)
        assert [(item.number, item.value) for item in read] == expected
        self.model.places[who] = expected[-1][0] if expected else place

    def reader(self, who: str) -> Any:  # noqa: ANN401 - a topic
        """Return the topic as a reader has it."""
        return self.system.sharing.acting_as(Principal.user(who)).topic("news")

    @invariant()
    def lags_agree(self) -> None:
        """Find every reader as far behind as it should be."""
        lags = {who.id: lag for who, lag in self.topic.lag().items()}
        assert lags == {who: self.model.last - place for who, place in self.model.places.items()}


TestPipelineMachine = PipelineMachine.TestCase
TestPipelineMachine.settings = settings(max_examples=60, stateful_step_count=30)
TestTopicMachine = TopicMachine.TestCase
TestTopicMachine.settings = settings(max_examples=60, stateful_step_count=30)
