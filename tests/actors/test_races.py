"""Races: no future is left unanswered, no message lost or doubled.

Those against an end are simulated, where seeds decide who comes first; the others are many messages
under a tiny switch interval.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import cast

import pytest
from pykka import ActorDeadError

from perdure import (
    AgentSystem,
    Durability,
    MemoryStore,
    Passivation,
    Resources,
    RestartPolicy,
    VirtualClock,
)
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.mailbox import Mailbox, Receiver
from perdure.actors.pool.pooled import PooledActor
from perdure.lifecycle.backoff import Backoff
from perdure.persistence.errors import InvalidTransition, SystemClosed, TurnTimeout
from perdure.persistence.records.records import Commit
from perdure.persistence.store.committer import Committer
from perdure.persistence.store.lease import Owner
from perdure.testing import Simulation, simulate
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.threads import together

MANY = 6000

pytestmark = pytest.mark.usefixtures("hasty_threads")

MOST = 20
"""Messages of a sender in a simulated race, if nothing ends it before."""
against_closing = simulate(agents=[], seeds=50, crash="never", faults=False)

Item = tuple[str, int]
"""A sender and a number."""


class Runner(Clerk):
    """Count what came, by sender, and check the order."""

    restarts = RestartPolicy(restarts=10**6, backoff=Backoff(first=0.0, longest=0.0))

    def take(self, sender: str, number: int) -> int:
        last = self.state.owners.get(sender, -1)
        if number <= last:
            self.state.notes.append(f"{sender} {number} after {last}")
        self.state.owners[sender] = number
        self.state.count += 1
        return number


class SnapshotRunner(Runner):
    durability = Durability.SNAPSHOT


class VolatileRunner(Runner):
    durability = Durability.VOLATILE


def totals(system: AgentSystem, kind: type[Runner], keys: list[str]) -> tuple[int, list[str]]:
    """Return how many messages were counted, and complaints about their order."""
    count, complaints = 0, []
    for key in keys:
        read = system.agent(kind, key).call(Runner.read).get(timeout=DEADLINE)
        assert isinstance(read["count"], int)
        assert isinstance(read["notes"], list)
        count += read["count"]
        complaints += read["notes"]
    return count, complaints


def swing(system: AgentSystem, kind: type[Runner], verbs: list[str], done: threading.Event) -> None:
    """Take lifecycle steps at random until the senders are done; the agent is active at the end."""
    dice = random.Random(7)
    agent = system.agent(kind, "a")
    while not done.is_set():
        try:
            getattr(agent, dice.choice(verbs))(timeout=DEADLINE)
        except InvalidTransition:
            continue
    if "pause" in verbs:
        try:
            agent.resume(timeout=DEADLINE)
        except InvalidTransition:
            return


@pytest.mark.parametrize("kind", [Runner, SnapshotRunner])
@pytest.mark.parametrize(
    "verbs",
    [["stop"], ["pause", "resume"], ["stop", "restart"], ["pause", "resume", "stop", "restart"]],
    ids="+".join,
)
def test_messages_against_lifecycle_steps(kind: type[Runner], verbs: list[str]) -> None:
    """While an agent is paused, stopped and restarted, every ask is answered and counted once."""
    with AgentSystem.open(MemoryStore(), agents=[kind]) as system:
        done = threading.Event()
        left = [2]
        lock = threading.Lock()

        def finished() -> None:
            with lock:
                left[0] -= 1
                if not left[0]:
                    done.set()

        def ask() -> None:
            futures = []
            for number in range(MANY // 2):
                futures.append(system.agent(kind, "a").call(Runner.take, "asker", number))
                if number % 50 == 0 and "pause" not in verbs:
                    futures[-1].get()
            finished()
            for number, future in enumerate(futures):
                assert future.get(timeout=DEADLINE) == number

        def tell() -> None:
            for number in range(MANY // 2):
                system.agent(kind, "a").cast(Runner.take, "teller", number)
            finished()

        together(ask, tell, lambda: swing(system, kind, verbs, done))
        assert system.idle(DEADLINE)
        assert totals(system, kind, ["a"]) == (2 * (MANY // 2), [])


@pytest.mark.parametrize("kind", [Runner, SnapshotRunner, VolatileRunner])
def test_messages_against_passivation(kind: type[Runner]) -> None:
    """Agents that are thrown out of memory all the time lose and double nothing."""
    keys = [str(number) for number in range(20)]
    rest = Passivation(idle=None, limit=3)
    with AgentSystem.open(
        MemoryStore(), agents=[kind], resources=Resources(passivation=rest)
    ) as system:

        def send(name: str) -> Callable[[], None]:
            def run() -> None:
                for number in range(MANY // 2):
                    agent = system.agent(kind, keys[number * 7 % len(keys)])
                    if number % 5:
                        agent.cast(Runner.take, name, number)
                    else:
                        agent.call(Runner.take, name, number).get(timeout=DEADLINE)

            return run

        together(send("x"), send("y"), send("z"))
        assert system.idle(DEADLINE)
        assert totals(system, kind, keys) == (3 * (MANY // 2), [])


@against_closing
def test_asks_against_closing(sim: Simulation) -> None:
    """Whoever asks while the system closes gets a reply or SystemClosed; replies are kept."""
    store, answered = MemoryStore(), list[int]()
    system = AgentSystem.open(store, agents=[Runner], service=False)

    def ask(name: str) -> None:
        for number in range(MOST):
            try:
                answered.append(system.agent(Runner, "a").call(Runner.take, name, number).get())
            except SystemClosed:
                return

    def close() -> None:
        assert system.close()

    together(lambda: ask("x"), lambda: ask("y"), close)
    with AgentSystem.open(store, agents=[Runner], service=False) as again:
        count, complaints = totals(again, Runner, ["a"])
    assert count >= len(answered)
    assert complaints == []


@against_closing
def test_tells_against_closing(sim: Simulation) -> None:
    """Every message that was taken before the system closed is handled once, then or later."""
    store, sent = MemoryStore(), {"x": 0, "y": 0}
    system = AgentSystem.open(store, agents=[Runner], service=False)

    def tell(name: str) -> None:
        for number in range(MOST):
            try:
                system.agent(Runner, "a").cast(Runner.take, name, number)
            except SystemClosed:
                return
            sent[name] += 1

    def close() -> None:
        assert system.close()

    together(lambda: tell("x"), lambda: tell("y"), close)
    with AgentSystem.open(store, agents=[Runner], service=False) as again:
        assert again.idle()
        assert totals(again, Runner, ["a"]) == (sent["x"] + sent["y"], [])


@against_closing
def test_appends_against_the_end_of_the_committer(sim: Simulation) -> None:
    """A commit that was taken before the end is written; one that comes later is refused."""
    store = MemoryStore()
    store.acquire(Owner.this_process())
    committer = Committer(store, Silent(), first=1, clock=time.monotonic)
    committer.start()
    taken = [0]

    def append() -> None:
        with contextlib.suppress(SystemClosed):
            for _ in range(10 * MOST):
                taken.append(committer.append(Commit()))  # noqa: PERF401 -- seen meanwhile

    def close() -> None:
        assert committer.close(DEADLINE)

    together(append, close)
    assert committer.durable == max(taken)
    store.close()


class Silent:
    """Watch a committer and say nothing."""

    def saved(self, commits: int, seconds: float) -> None:
        pass

    def released(self, commits: int) -> None:
        pass

    def failed(self, error: Exception, commits: int) -> None:
        raise AssertionError from error


def test_many_hops_arrive_exactly_once() -> None:
    """Messages that agents pass on to each other are neither lost nor doubled by any race."""
    keys = [str(number) for number in range(8)]
    rest = Passivation(idle=None, limit=2)
    with AgentSystem.open(
        MemoryStore(), agents=[Hopper], resources=Resources(passivation=rest)
    ) as system:

        def start(name: str) -> Callable[[], None]:
            def run() -> None:
                for number in range(300):
                    system.agent(Hopper, keys[number % 8]).cast(Hopper.hop, f"{name}{number}", 8)

            return run

        together(start("x"), start("y"))
        assert system.idle(DEADLINE)
        assert totals(system, Hopper, keys) == (2 * 300 * 9, [])


class Hopper(Runner):
    """Pass a message on until its hops are used up."""

    def hop(self, name: str, left: int) -> None:
        self.state.count += 1
        if left:
            onward = str((int(self.key) + 3) % 8)
            self.system.agent(Hopper, onward).cast(Hopper.hop, name, left - 1)


@against_closing
def test_a_mailbox_takes_every_message_exactly_once(sim: Simulation) -> None:
    """Senders against holds, releases and the end: a message is handled or refused, never both."""
    dispatcher, mailbox, receiver = Dispatcher(3), Mailbox(), Collector()
    mailbox.attach(cast("Receiver", receiver), dispatcher)
    accepted, left = list[Item](), list[Item]()

    def send(name: str) -> None:
        for number in range(MOST):
            if mailbox.put((name, number)):
                accepted.append((name, number))

    def disturb() -> None:
        for _ in range(sim.randomness.randrange(20)):
            mailbox.hold()
            mailbox.expedite(Collector)  # type: ignore[arg-type]
            mailbox.release()
        left.extend(cast("list[Item]", mailbox.close()))

    together(lambda: send("x"), lambda: send("y"), disturb)
    assert dispatcher.close(DEADLINE)  # the last run is over then
    assert sorted([*receiver.got, *left]) == sorted(accepted)
    for name in "xy":
        numbers = [number for sender, number in receiver.got if sender == name]
        assert numbers == sorted(numbers)


class Collector:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Item] = []

    def receive(self, envelope: Item) -> None:
        self.got.append(envelope)

    def broke(self, envelope: object, error: BaseException) -> None:
        raise AssertionError(envelope) from error

    def launch(self) -> None:
        raise AssertionError

    def drained(self) -> None:
        pass


class Echo(PooledActor):
    """A plain pykka actor on a pool of the test's own."""

    def on_receive(self, message: object) -> object:
        return message


@against_closing
def test_pooled_actors_answer_every_ask_against_a_stop(sim: Simulation) -> None:
    """A pykka actor that is stopped while it is asked answers, or says that it is dead."""
    Echo.dispatcher = dispatcher = Dispatcher(3)
    ref = Echo.start()

    def ask() -> None:
        with contextlib.suppress(ActorDeadError):
            for number in range(MOST):
                assert ref.ask(number, block=False).get() == number

    together(ask, ask, ref.stop)
    assert not ref.is_alive()
    Echo.dispatcher = None
    assert dispatcher.close()


class Limited(Runner):
    """Give a turn one second of a clock that the test moves."""

    turn_limit = 1.0
    restarts = RestartPolicy(restarts=10**6, backoff=Backoff(first=0.0, longest=0.0))
    begun = threading.Event()

    def count_up(self, spins: int) -> None:
        self.begun.set()
        for _ in range(spins):
            self.state.count += 1
            self.state.count -= 1
        self.state.count += 1


def test_a_turn_ends_in_time_or_not_at_all() -> None:
    """When a turn's limit comes as it ends, it is either counted and answered, or neither."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Limited], clock=clock) as system:
        agent = system.agent(Limited, "a")
        counted = 0
        for attempt in range(400):
            future = agent.call(Limited.count_up, attempt % 40 * 50)
            assert Limited.begun.wait(DEADLINE)
            Limited.begun.clear()
            clock.advance(1.0)
            while not future.done():
                clock.advance(0.0)  # a restart, if there was one
            try:
                future.get()
                counted += 1
            except TurnTimeout:
                continue
        clock.advance(0.0)
        assert agent.call(Limited.add, 0).get(timeout=DEADLINE) == counted
