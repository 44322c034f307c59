"""How one talks to agents: ask, tell, proxies, typed calls; and what messages cannot carry."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from perdure import Agent, AgentSystem, Limits, MemoryStore
from perdure.actors.pool.future import Future
from perdure.actors.talk.copies import detach
from perdure.persistence.errors import (
    ConfigurationError,
    MailboxFull,
    StateError,
    SystemClosed,
    UnknownAgent,
)
from tests.actors.agents import Clerk, ClerkState
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate
from tests.kit.stores import CountingStore


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Open a system in memory."""
    with AgentSystem.open("memory://", agents=[Clerk]) as opened:
        yield opened


def test_every_way_to_send_reaches_the_method(system: AgentSystem) -> None:
    """ask, tell, proxy, defer, call and cast all end in the same state."""
    clerk = system.agent(Clerk, "a")
    assert clerk.proxy().add(1).get() == 1
    clerk.proxy().add.defer(1)
    clerk.cast(Clerk.add, 1)
    future = clerk.call(Clerk.add, amount=1)
    assert future.get() == 4
    assert clerk.ask("hello") == "hello"
    clerk.tell({"x": [1]})
    assert clerk.ask("last", block=False).get() == "last"
    assert clerk.call(Clerk.read).get()["seen"] == ["'hello'", "{'x': [1]}", "'last'"]


def test_messages_of_one_sender_arrive_in_order(system: AgentSystem) -> None:
    """Asks and tells of one sender are handled in the order in which they were sent."""
    clerk = system.agent(Clerk, "a")
    for number in range(500):
        if number % 7:
            clerk.tell(number)
        else:
            clerk.ask(number, block=False)
    seen = clerk.call(Clerk.read).get()["seen"]
    assert seen == [str(number) for number in range(500)]


def test_a_reply_is_no_way_into_the_state(system: AgentSystem) -> None:
    """Who changes a reply changes nothing in the agent."""
    clerk = system.agent(Clerk, "a")
    notes = clerk.call(Clerk.note, "one").get()
    notes.append("forged")
    whole = clerk.call(Clerk.read).get()
    assert isinstance(whole["notes"], list)
    whole["notes"].append("forged")
    state: Any = clerk.proxy().state
    state.get().notes.append("forged")
    assert clerk.call(Clerk.note, "two").get() == ["one", "two"]


@pytest.mark.parametrize("how", ["tell", "ask"])
def test_a_sender_cannot_change_what_it_sent(system: AgentSystem, how: str) -> None:
    """What a sender does to its arguments afterwards, the receiver never sees."""
    clerk = system.agent(Clerk, "a")
    clerk.pause()
    message = {"items": [1]}
    if how == "tell":
        clerk.tell(message)
    else:
        clerk.ask(message, block=False)
    message["items"].append(2)
    clerk.resume()
    assert clerk.call(Clerk.read).get()["seen"] == ["{'items': [1]}"]


class Point(msgspec.Struct, frozen=True):
    place: list[int]


class Pair(NamedTuple):
    left: list[int]
    right: int


@pytest.mark.parametrize(
    "value",
    [[[1]], {"a": [1]}, ([1],), {1}, bytearray(b"a"), Point([1]), Pair([1], 2)],
    ids=lambda value: type(value).__name__,
)
def test_detached_values_share_nothing_that_can_change(value: object) -> None:
    """A detached value equals the original and holds none of its mutable parts."""

    def mutable_parts(item: object) -> Iterator[int]:
        if isinstance(item, list | dict | set | bytearray):
            yield id(item)
        if isinstance(item, Point):
            yield from mutable_parts(item.place)
        elif isinstance(item, dict):
            for inner in item.values():
                yield from mutable_parts(inner)
        elif isinstance(item, list | tuple):
            for inner in item:
                yield from mutable_parts(inner)

    twin = detach(value)
    assert twin == value
    assert type(twin) is type(value)
    assert not set(mutable_parts(value)) & set(mutable_parts(twin))


def test_attributes_can_be_read(system: AgentSystem) -> None:
    """A proxy's attribute that is no method gives a future of a copy; none can be set."""
    proxy: Any = system.agent(Clerk, "a").proxy()
    assert proxy.label.get() == "plain"
    with pytest.raises(AttributeError, match="'label' cannot be set from outside"):
        proxy.label = "gold"
    assert proxy.label.get() == "plain"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = proxy.nothing
    with pytest.raises(AttributeError, match="private"):
        _ = proxy._home


def test_a_call_the_method_does_not_take_is_refused_where_it_is_made(system: AgentSystem) -> None:
    """A tell with wrong arguments fails on the sender's line, not in the mailbox."""
    clerk = system.agent(Clerk, "a")
    with pytest.raises(TypeError, match=r"Clerk\.add"):
        clerk.proxy().add.defer(1, 2, 3)
    with pytest.raises(StateError, match=r"Clerk\.note"):
        clerk.proxy().note.defer(17)
    with pytest.raises(TypeError):
        clerk.proxy().add(1, 2, 3).get()
    assert clerk.call(Clerk.read).get()["count"] == 0


class Stranger(Agent[ClerkState]):
    """An agent no system was opened with."""


class SecondClerk(Agent[ClerkState]):
    kind = "Clerk"


def test_unknown_kinds_and_bad_keys_are_refused(system: AgentSystem) -> None:
    """A reference needs a class the system knows and a key that can be stored."""
    with pytest.raises(UnknownAgent, match="Stranger"):
        system.agent(Stranger, "a")
    with pytest.raises(UnknownAgent, match="SecondClerk"):
        system.agent(SecondClerk, "a")
    for key in ["", "nul\0", "\ud800", "x" * 2000, 7]:
        with pytest.raises(ConfigurationError, match="the key"):
            system.agent(Clerk, key)  # type: ignore[arg-type]


def test_two_classes_of_one_kind_are_refused() -> None:
    """A kind stands for one class in a system."""
    with pytest.raises(ConfigurationError, match="two agent classes"):
        AgentSystem.open("memory://", agents=[Clerk, SecondClerk])


def test_a_reference_is_what_pykka_users_expect(system: AgentSystem) -> None:
    """A reference knows its class, its URN, whether it can be used, and stops without waiting."""
    clerk = system.agent(Clerk, "a")
    assert clerk.actor_class is Clerk
    assert clerk.actor_urn == "urn:perdure:Clerk:a"
    assert clerk.is_alive()
    assert clerk == system.agent(Clerk, "a")
    assert len({clerk, system.agent(Clerk, "a"), system.agent(Clerk, "b")}) == 2
    clerk.proxy().add().get()
    assert clerk.stop(block=False).get() is True
    assert clerk.stop() is False
    assert clerk.proxy().add().get() == 2
    system.close()
    assert not clerk.is_alive()
    with pytest.raises(SystemClosed):
        clerk.tell("x")
    with pytest.raises(SystemClosed):
        clerk.ask("x")


def test_agents_are_not_started_by_hand() -> None:
    """An agent belongs to a system; pykka's start says so."""
    with pytest.raises(ConfigurationError, match=r"system\.agent"):
        Clerk.start()


def test_a_reply_nobody_reads_is_not_kept(system: AgentSystem) -> None:
    """A future that is dropped unread goes away when the reply has come."""
    clerk = system.agent(Clerk, "a")
    futures: list[Future[int]] = [clerk.call(Clerk.add) for _ in range(100)]
    watched = [weakref.ref(future) for future in futures]
    futures.clear()
    assert system.idle(DEADLINE)
    assert clerk.call(Clerk.read).get()["count"] == 100
    gc.collect()
    assert [ref for ref in watched if ref() is not None] == []


# Bounded mailboxes.


class SmallBox(Clerk):
    mailbox_limit = 3
    gate = Gate()

    def stand(self) -> None:
        self.gate.pass_through()

    def flood(self, to: str, count: int) -> None:
        for _ in range(count):
            self.system.agent(SmallBox, to).cast(SmallBox.add, 1)


@pytest.fixture
def small() -> Iterator[AgentSystem]:
    """Open a system whose agents take three messages."""
    SmallBox.gate = Gate()
    with AgentSystem.open(
        "memory://", agents=[SmallBox], limits=Limits(mailbox_wait=0.01)
    ) as opened:
        yield opened
        SmallBox.gate.open()


def test_a_full_mailbox_refuses_with_a_clear_error(small: AgentSystem) -> None:
    """From outside a full mailbox is waited for, then refused by name; nothing is lost."""
    box = small.agent(SmallBox, "a")
    box.cast(SmallBox.stand)
    SmallBox.gate.wait()
    for _ in range(3):
        box.cast(SmallBox.add)
    with pytest.raises(MailboxFull, match=r"SmallBox/a has 3 messages.*mailbox_limit"):
        box.cast(SmallBox.add)
    with pytest.raises(MailboxFull):
        box.call(SmallBox.add).get()
    SmallBox.gate.open()
    assert small.idle(DEADLINE)
    assert box.call(SmallBox.read).get()["count"] == 3


def test_a_turn_is_refused_at_once(small: AgentSystem) -> None:
    """A handler that sends more than a mailbox takes fails, and none of it is sent."""
    a, b = small.agent(SmallBox, "a"), small.agent(SmallBox, "b")
    with pytest.raises(MailboxFull):
        a.call(SmallBox.flood, "b", 4).get()
    a.call(SmallBox.flood, "b", 3).get()
    assert small.idle(DEADLINE)
    assert b.call(SmallBox.read).get()["count"] == 3


def test_an_event_loop_is_refused_at_once() -> None:
    """A full mailbox never blocks an event loop."""
    SmallBox.gate = Gate()
    with AgentSystem.open(
        "memory://", agents=[SmallBox], limits=Limits(mailbox_wait=10_000)
    ) as system:
        box = system.agent(SmallBox, "a")
        box.cast(SmallBox.stand)
        SmallBox.gate.wait()
        for _ in range(3):
            box.cast(SmallBox.add)

        async def send() -> None:
            box.cast(SmallBox.add)

        with pytest.raises(MailboxFull):
            asyncio.run(send())
        SmallBox.gate.open()


def test_senders_wait_for_room_and_lose_nothing() -> None:
    """Back-pressure: with room coming, a sender waits as long as it takes."""
    SmallBox.gate = Gate()
    with AgentSystem.open(
        "memory://", agents=[SmallBox], limits=Limits(mailbox_wait=DEADLINE)
    ) as system:
        box = system.agent(SmallBox, "a")
        for _ in range(300):
            box.cast(SmallBox.add)
        assert box.call(SmallBox.read).get()["count"] == 300


# Durable mail.


def test_mail_that_is_handled_at_once_never_touches_the_store() -> None:
    """Messages sent and consumed in one batch are elided: no row is written."""
    store = CountingStore()
    with AgentSystem.open(store, agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "hub")
        system.agent(Clerk, "a").call(Clerk.read).get()
        system.idle(DEADLINE)
        written = store.mail_written
        gate = Gate()
        store.before_commit = gate.pass_through
        # The first commit stands in the store; what gathers behind it becomes one batch.
        futures = [clerk.call(Clerk.forward, "a", 1)]
        gate.wait()
        futures += [clerk.call(Clerk.forward, "a", 1) for _ in range(50)]
        assert system._runtime.quiet(DEADLINE)
        gate.open()
        for future in futures:
            future.get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert store.mail_written - written <= 1
        assert system.agent(Clerk, "a").call(Clerk.read).get()["count"] == 51


def test_unhandled_mail_is_delivered_once_when_the_system_opens_again() -> None:
    """What waited when the system was closed is handled once, in order, by the next."""
    store = CountingStore()
    with AgentSystem.open(store, agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "a")
        clerk.pause()
        for number in range(20):
            clerk.tell(number)
    assert len(store.mail("Clerk", "a")) == 20
    for _ in range(2):
        with AgentSystem.open(store, agents=[Clerk]) as system:
            clerk = system.agent(Clerk, "a")
            if clerk.describe().status == "paused":
                assert system.idle(DEADLINE)
                clerk.resume()
            assert system.idle(DEADLINE)
            assert clerk.call(Clerk.read).get()["seen"] == [str(n) for n in range(20)]
    assert store.mail("Clerk", "a") == []


class Reformed(Agent[ClerkState]):
    """The clerk after a change of its code: notes are numbers now, and nothing is forwarded."""

    kind = "Clerk"
    messages_version = "2.0.0"  # on purpose

    def note(self, text: int) -> None:
        self.state.count += text

    def add(self, amount: int = 1) -> int:
        self.state.count += amount
        return self.state.count


def test_mail_its_class_no_longer_takes_goes_to_the_dead_letters() -> None:
    """Old messages that do not decode are buried with the reason; the others are handled."""
    store = CountingStore()
    with AgentSystem.open(store, agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "a")
        clerk.pause()
        clerk.cast(Clerk.note, "text")
        clerk.cast(Clerk.forward, "b", 1)
        clerk.cast(Clerk.add, 5)
    with AgentSystem.open(store, agents=[Reformed]) as system:
        reformed = system.agent(Reformed, "a")
        reformed.resume()
        assert system.idle(DEADLINE)
        assert reformed.call(Reformed.add, 0).get() == 5
        letters = system.dead_letters.list()
        assert [letter.name for letter in letters] == ["note", "forward"]
        assert all("no longer decodes" in letter.reason for letter in letters)
    assert store.mail("Clerk", "a") == []


def test_a_message_larger_than_the_limit_is_refused_where_it_is_sent() -> None:
    """A message over ``largest_value`` raises StateError at its sender and is not stored."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Clerk], limits=Limits(largest_value=1000)) as system:
        clerk = system.agent(Clerk, "a")
        with pytest.raises(StateError, match=r"Clerk\.file: takes 1,0.* more than the limit"):
            clerk.cast(Clerk.file, "x" * 1000)
        clerk.cast(Clerk.file, "x" * 900)
        assert system.idle(DEADLINE)
        assert clerk.call(Clerk.read).get()["seen"] == ["x" * 900]
