"""A topic: one publishes, and everybody reads on from a place of their own."""

import math
import threading
from typing import Any

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, Audit, MemoryStore, Principal, State, VirtualClock
from perdure.actors.patterns.quota import Quota
from perdure.actors.patterns.topic import SWEEP_EVERY
from perdure.persistence.errors import (
    ConfigurationError,
    Conflict,
    Denied,
    QuotaExceeded,
    ScopeError,
)

SMALL = Quota(items=3)


class Heard(State):
    """What was read."""

    values: list[object] = field(default_factory=list)
    wakes: int = 0


class Reader(Agent[Heard]):
    def subscribe(self, *, from_start: bool = False, woken: bool = False) -> None:
        wake = Reader.woken if woken else None
        self.system.sharing.topic("news").subscribe(from_start=from_start, wake=wake)

    def unsubscribe(self) -> None:
        self.system.sharing.topic("news").unsubscribe()

    def woken(self) -> None:
        self.state.wakes += 1
        self.take(100)

    def take(self, limit: int) -> list[object]:
        items = self.system.sharing.topic("news").read(limit)
        self.state.values += [item.value for item in items]
        return [item.value for item in items]

    def take_and_fail(self) -> None:
        self.take(100)
        raise LookupError("no")

    def publish(self, value: object) -> int:
        return self.system.sharing.topic("news").publish(value)

    def heard(self) -> tuple[list[object], int]:
        return self.state.values, self.state.wakes


class AsyncReader(Agent[Heard]):
    async def subscribe(self) -> None:
        self.system.sharing.topic("news").subscribe(wake="woken")

    async def listen_with(self, method: str) -> None:
        self.system.sharing.topic("news").subscribe(wake=method)

    async def woken(self) -> None:
        self.state.values += [i.value for i in self.system.sharing.topic("news").read()]

    async def heard(self) -> list[object]:
        return self.state.values


def opened(clock: VirtualClock | None = None, store: MemoryStore | None = None) -> AgentSystem:
    """Open a system of readers."""
    return AgentSystem.open(store or MemoryStore(), agents=[Reader, AsyncReader], clock=clock)


def items(system: AgentSystem) -> list[str]:
    """Return the keys of the items that are stored."""
    system.flush()
    shelf = system.sharing.topic("news")._rows
    return [key for key, _ in shelf.rows(None, "item/")]


def test_each_reads_everything_once_and_in_order() -> None:
    """Every subscriber gets every item once, in the order of publishing, at its own pace."""
    with opened() as system:
        topic = system.sharing.topic("news")
        readers = [system.agent(Reader, key).proxy() for key in "ab"]
        for reader in readers:
            reader.subscribe().get()
        assert [topic.publish({"n": n}) for n in range(5)] == [1, 2, 3, 4, 5]
        assert readers[0].take(2).get() == [{"n": 0}, {"n": 1}]
        assert readers[1].take(100).get() == [{"n": n} for n in range(5)]
        assert readers[0].take(100).get() == [{"n": 2}, {"n": 3}, {"n": 4}]
        assert readers[0].take(100).get() == []


def test_a_reader_is_woken_in_the_commit_that_publishes() -> None:
    """Sync and async handlers named to be woken are told of what came, also over a restart."""
    store = MemoryStore()
    with opened(store=store) as system:
        system.agent(Reader, "a").proxy().subscribe(woken=True).get()
        system.agent(AsyncReader, "b").proxy().subscribe().get()
    with opened(store=store) as system:
        topic = system.sharing.topic("news", owner=Principal.agent("Reader", "a"))
        system.agent(Reader, "a").proxy().publish("x").get()
        topic.publish("y")
        assert system.idle(10)
        values, wakes = system.agent(Reader, "a").proxy().heard().get()
        assert values == ["x", "y"]
        assert wakes == 2
        assert system.agent(AsyncReader, "b").proxy().heard().get() == ["x", "y"]


def test_only_the_owner_publishes() -> None:
    """Whoever is not the owner is refused, durably noted in the audit; the system may."""
    with opened() as system:
        owner = Principal.agent("Reader", "owner")
        topic = system.sharing.topic("news", owner=owner)
        assert topic.owner == owner
        with pytest.raises(Denied, match="Reader/a may not publish in topic 'news'"):
            system.agent(Reader, "a").proxy().publish(1).get()
        assert system.agent(Reader, "owner").proxy().publish(1).get() == 1
        assert topic.publish(2) == 2
        with pytest.raises(Denied, match="user:mira may not publish"):
            system.sharing.acting_as(Principal.user("mira")).topic("news").publish(3)
        refused = [entry for entry in system.audit.list() if entry.outcome == "refused"]
        assert {str(entry.who) for entry in refused} == {"agent:Reader/a", "user:mira"}


def test_who_may_read_may_be_said() -> None:
    """Others than the named readers are refused; all agents of a kind can be named at once."""
    with opened() as system:
        system.sharing.topic("news", readers=Principal.agents("AsyncReader"))
        system.agent(AsyncReader, "b").proxy().subscribe().get()
        with pytest.raises(Denied, match="may not subscribe to"):
            system.agent(Reader, "a").proxy().subscribe().get()
        with pytest.raises(Denied, match="may not read"):
            system.agent(Reader, "a").proxy().take(1).get()


def test_reading_takes_a_place() -> None:
    """Whoever has not subscribed is told to, and whoever left has no place any more."""
    with opened() as system:
        system.sharing.topic("news")
        reader = system.agent(Reader, "a").proxy()
        with pytest.raises(Denied, match=r"may not read topic 'news': .* subscribe\(\) first"):
            reader.take(1).get()
        reader.subscribe().get()
        reader.unsubscribe().get()
        with pytest.raises(Denied, match="has no place"):
            reader.take(1).get()
        refused = system.audit.list(who=Principal.agent("Reader", "a"), outcome="refused")
        assert [entry.operation for entry in refused] == ["read", "read"]


@pytest.mark.parametrize("reads", [True, False])
def test_who_reads_what_another_publishes_stands_in_the_audit(*, reads: bool) -> None:
    """Unless the audit is told to leave allowed reads out; a read of nothing is none."""
    with AgentSystem.open("memory://", agents=[Reader], audit=Audit(reads=reads)) as system:
        topic = system.sharing.topic("news")
        reader = system.agent(Reader, "a").proxy()
        reader.subscribe().get()
        reader.take(5).get()
        topic.publish(1)
        reader.take(5).get()
        seen = system.audit.list(who=Principal.agent("Reader", "a"))
        assert [(e.operation, e.outcome) for e in seen] == [("read", "allowed")] * reads


def test_a_turn_that_fails_has_read_nothing() -> None:
    """What a failed turn has read comes again."""
    with opened() as system:
        topic = system.sharing.topic("news")
        reader = system.agent(Reader, "a").proxy()
        reader.subscribe().get()
        topic.publish(1)
        with pytest.raises(LookupError):
            reader.take_and_fail().get()
        assert reader.take(5).get() == [1]


def test_items_go_when_all_have_read_them() -> None:
    """An item is there until the slowest subscriber has passed it, and then it is gone."""
    with opened() as system:
        topic = system.sharing.topic("news")
        slow, fast = (system.agent(Reader, key).proxy() for key in "sf")
        slow.subscribe().get()
        fast.subscribe().get()
        for n in range(4):
            topic.publish(n)
        fast.take(100).get()
        assert len(items(system)) == 4
        slow.take(3).get()
        assert len(items(system)) == 1
        slow.take(3).get()
        assert items(system) == []
        assert topic.lag() == {Principal.agent("Reader", "s"): 0, Principal.agent("Reader", "f"): 0}


def test_a_slow_reader_holds_the_publisher_up() -> None:
    """A full topic refuses its publisher, and takes again when the slow reader has read."""
    with opened() as system:
        topic = system.sharing.topic("news", quota=SMALL)
        slow, fast = (system.agent(Reader, key).proxy() for key in "sf")
        slow.subscribe().get()
        fast.subscribe().get()
        for n in range(3):
            topic.publish(n)
        fast.take(100).get()
        with pytest.raises(QuotaExceeded, match="quota of 3 items; publish again when its readers"):
            topic.publish(3)
        assert topic.lag() == {Principal.agent("Reader", "s"): 3, Principal.agent("Reader", "f"): 0}
        slow.take(1).get()
        assert topic.publish(3) == 4
        with pytest.raises(QuotaExceeded):
            topic.publish(4)
        topic.unsubscribe(Principal.agent("Reader", "s"))
        assert topic.publish(4) == 5
        assert fast.take(100).get() == [3, 4]


def test_bytes_are_counted() -> None:
    """The bytes of what is there are held to the quota, as UTF-8."""
    with opened() as system:
        topic = system.sharing.topic("news", quota=Quota(bytes=20))
        reader = system.agent(Reader, "a").proxy()
        reader.subscribe().get()
        topic.publish("äöü")  # 8 bytes
        topic.publish("123456789")  # 11
        with pytest.raises(QuotaExceeded, match="quota of 20 bytes"):
            topic.publish(12)
        reader.take(1).get()
        topic.publish(12)


def test_nobody_waits_for_what_nobody_reads() -> None:
    """Without a subscriber items stay for late ones, and make room for new ones."""
    with opened() as system:
        topic = system.sharing.topic("news", quota=SMALL)
        for n in range(4):
            topic.publish(n)
        late = system.agent(Reader, "late").proxy()
        late.subscribe(from_start=True).get()
        assert late.take(100).get() == [3]


def test_what_is_out_of_date_goes() -> None:
    """After its time to live an item is not read any more, and makes room."""
    clock = VirtualClock()
    with opened(clock) as system:
        topic = system.sharing.topic("news", quota=Quota(items=3, ttl=60))
        reader = system.agent(Reader, "a").proxy()
        reader.subscribe().get()
        topic.publish("old")
        clock.advance(30)
        topic.publish("young")
        clock.advance(31)
        assert reader.take(100).get() == ["young"]
        for n in range(3):
            topic.publish(n)
        clock.advance(61)
        topic.publish("new")
        assert reader.take(100).get() == ["new"]


def test_many_publish_at_once() -> None:
    """Numbers have no gap and no double when the system publishes from many threads."""
    with opened() as system:
        topic = system.sharing.topic("news")
        reader = system.agent(Reader, "a").proxy()
        reader.subscribe().get()
        numbers: list[int] = []

        def publish(start: int) -> None:
            numbers.extend(topic.publish(start + n) for n in range(20))

        threads = [threading.Thread(target=publish, args=(100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        read: list[object] = []
        while len(read) < 80:
            read += reader.take(7).get()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == list(range(1, 81))
        assert sorted(map(int, map(str, read))) == [
            100 * t + n for t in range(4) for n in range(20)
        ]
        for _ in range(SWEEP_EVERY):
            topic.publish("more")
            reader.take(7).get()
        assert items(system) == []


def test_a_name_has_one_declaration() -> None:
    """Another quota or owner for a name that is there is a mistake, not a second topic."""
    with opened() as system:
        topic = system.sharing.topic("news", quota=SMALL)
        assert system.sharing.topic("news").owner == topic.owner == Principal.SYSTEM
        with pytest.raises(ConfigurationError, match="is there with quota"):
            system.sharing.topic("news", quota=Quota(items=4))
        with pytest.raises(ConfigurationError, match="makes no sense; give whole numbers from 1"):
            Quota(items=0)
        with pytest.raises(ConfigurationError, match="only agents can be woken"):
            topic.subscribe(wake=Reader.woken)


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": 1.5}, {"items": True}, {"bytes": "x"}, {"bytes": -1}, {"bytes": 2**63},
        {"ttl": math.inf}, {"ttl": math.nan}, {"ttl": 0}, {"ttl": "60"},
    ],
)  # fmt: skip
def test_a_quota_is_of_numbers_that_can_be_kept(wrong: dict[str, Any]) -> None:
    """What could hold nothing, and what cannot be stored as it is, is refused at once."""
    with pytest.raises(ConfigurationError, match=r"^Quota\(.* makes no sense; give whole numbers"):
        Quota(**wrong)


def test_names_are_told_from_principals() -> None:
    """Readers, who is dismissed, a limit and a name are refused in a sentence if they are none."""
    with opened() as system:
        with pytest.raises(ConfigurationError, match="who plays 'readers' must be a Principal"):
            system.sharing.topic("news", readers="mira")  # type: ignore[arg-type]
        topic = system.sharing.topic("news", readers=[Principal.user("mira")])
        with pytest.raises(ConfigurationError, match="who must be a Principal, not 'mira'"):
            topic.unsubscribe("mira")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="topic 'news': a limit of -1 makes no sense"):
            topic.read(-1)
        with pytest.raises(ScopeError, match=r"^the name of a topic must not be empty$"):
            system.sharing.topic("")
        with pytest.raises(ScopeError, match=r"the name of a topic 'xxx.* takes 300 bytes"):
            system.sharing.topic("x" * 300)


def test_a_topic_can_be_deleted() -> None:
    """Its owner deletes it with all it holds; who still has it in hand is told."""
    with opened() as system:
        topic = system.sharing.topic("news")
        topic.publish(1)
        reader = system.sharing.acting_as(Principal.user("mira")).topic("news")
        with pytest.raises(Denied, match="may not delete topic 'news'"):
            reader.delete()
        topic.delete()
        with pytest.raises(Conflict, match="is not there any more"):
            reader.subscribe()
        assert system.sharing.topic("news").publish(2) == 1


def test_who_listens_cannot_harm_who_publishes(caplog: pytest.LogCaptureFixture) -> None:
    """A wake that cannot be called is refused; one whose class has gone since is left out."""
    with opened() as system:
        with pytest.raises(ConfigurationError, match="AsyncReader has no method 'nothing'"):
            system.agent(AsyncReader, "b").proxy().listen_with("nothing").get()
        with pytest.raises(ConfigurationError, match=r"listen_with cannot be woken: missing"):
            system.agent(AsyncReader, "b").proxy().listen_with("listen_with").get()
    store = MemoryStore()
    with opened(store=store) as system:
        system.sharing.topic("news")
        system.agent(AsyncReader, "b").proxy().subscribe().get()
    with AgentSystem.open(store, agents=[Reader]) as system:
        assert system.sharing.topic("news").publish(1) == 1
        assert "agent:AsyncReader/b is not told" in caplog.text
    with opened(store=store) as system:
        system.sharing.topic("news").publish(2)
        assert system.idle(10)
        assert system.agent(AsyncReader, "b").proxy().heard().get() == [1, 2]
