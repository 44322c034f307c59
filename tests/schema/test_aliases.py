"""A kind whose class has another name: agents and all that is theirs are carried over."""

import base64
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    CostBudget,
    EnvironmentKeys,
    Keys,
    Log,
    Map,
    MemoryStore,
    Principal,
    Right,
    Scope,
    Secret,
    State,
    VirtualClock,
    hooked,
    migration,
    new_key,
    open_reader,
    transforms,
)
from perdure.persistence.errors import (
    ConfigurationError,
    HookCancelled,
    IncompatibleSchema,
    Isolated,
    StoreUnavailable,
)
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.upkeep.doctor import examine


class CounterState(State):
    open: int = 0
    token: Secret[str] | None = None
    tokens: Log[Secret[str]] = Log.field()
    named: Map[str, Secret[str]] = Map.field()


class Counter(Agent[CounterState]):
    def assign(self, ticket: str) -> int:
        self.state.open += 1
        self.state.token = Secret(ticket)
        self.state.tokens.append(Secret(ticket))
        self.state.named[ticket] = Secret(ticket)
        self.scopes.set(self.scopes.own, "last", ticket)
        return self.state.open

    def remind(self) -> None:
        self.after(60, self.assign, "T-timer")

    def hear(self, word: Secret[str]) -> None:
        self.state.token = word


class Desk(Agent[CounterState]):
    aliases = ("Counter",)

    def assign(self, ticket: str) -> int:
        self.state.open += 1
        self.scopes.set(self.scopes.own, "last", ticket)
        return self.state.open

    def hear(self, word: Secret[str]) -> None:
        self.state.token = word

    def read(self) -> tuple[int, list[str | None]]:
        held = [self.state.token, *self.state.tokens, *self.state.named.values()]
        return self.state.open, [None if each is None else each.reveal() for each in held]


class Helper(Agent[CounterState]):
    """Has a part in everything that is shared."""

    def begin(self) -> None:
        sharing, reference = self.system.sharing, self.system.agent(type(self), "boss")
        sharing.topic("news").subscribe(wake=type(self).work)
        sharing.pipeline("orders").attend("check", type(self).work)
        sharing.requests("weather").serve(type(self).work)
        sharing.requests("weather").send("agent:Helper/a", wake=type(self).told)
        sharing.family().join(reference)

    def work(self) -> None:
        sharing = self.system.sharing
        self.state.open += len(sharing.topic("news").read())
        for work in sharing.pipeline("orders").take("check"):
            sharing.pipeline("orders").pass_on(work)
        for request in sharing.requests("weather").take():
            sharing.requests("weather").answer(request, request.value)

    def told(self, number: int) -> None:
        self.state.named["answer"] = Secret(
            repr(self.system.sharing.requests("weather").collect(number))
        )

    def seen(self) -> tuple[int, object, str]:
        answer = self.state.named.get("answer")
        heard = "" if answer is None else answer.reveal()
        return self.state.open, self.scopes.get(Scope.workflow("w"), "k"), heard


class Aide(Helper):
    aliases = ("Helper",)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Keys:
    """Give a key for secrets."""
    monkeypatch.setenv("DESK_KEYS", f"one:{base64.b64encode(new_key()).decode()}")
    return Keys(secrets=EnvironmentKeys("DESK_KEYS"))


def fill(path: Path, keys: Keys) -> None:
    """Leave two agents, a timer, messages that wait, a key of a scope and a grant."""
    clock = VirtualClock(1_800_000_000.0)
    with AgentSystem.open(path, agents=[Counter], keys=keys, clock=clock) as system:
        for key in ("a", "b"):
            system.agent(Counter, key).call(Counter.assign, f"T-{key}").get()
        system.agent(Counter, "a").call(Counter.remind).get()
        system.access.grant(Principal.agent("Counter", "a"), Scope.workflow("w"), Right.READ)
        waiting = system.agent(Counter, "b")
        waiting.pause()
        waiting.cast(Counter.hear, Secret("heard"))
        waiting.cast(Counter.assign, "T-mail")


def checked(path: Path, keys: Keys) -> None:
    """Check that everything is there under the new name, and nothing under the old one."""
    clock = VirtualClock(1_800_000_001.0)
    with AgentSystem.open(path, agents=[Desk], keys=keys, clock=clock) as system:
        a, b = system.agent(Desk, "a"), system.agent(Desk, "b")
        assert a.call(Desk.read).get() == (1, ["T-a", "T-a", "T-a"])
        assert system.state.get(Scope.agent("Desk", "b"), "last") == "T-b"
        assert system.access.check(
            Principal.agent("Desk", "a"), Right.READ, Scope.workflow("w")
        ).allowed
        b.resume()
        assert system.idle(20)
        assert b.call(Desk.read).get() == (2, ["heard", "T-b", "T-b"])
        clock.advance(100)
        assert system.idle(20)
        assert a.call(Desk.read).get()[0] == 2
        names = [entry.name for entry in system.journal.list(kind="Desk", key="a")]
        assert names[:3] == ["assign", "remind", "(rename)"]
    with closing(open_reader(path)) as reader:
        assert reader.kinds() == ["Desk"]
        assert (reader.mailbox("Counter"), reader.timers("Counter")) == ([], [])
        assert examine(reader).healthy


def test_all_that_is_an_agents_is_carried_over(tmp_path: Path, keys: Keys) -> None:
    """State, secrets, mail in its order, timers, scopes, grants and history."""
    path = tmp_path / "s.db"
    fill(path, keys)
    checked(path, keys)


def test_parts_and_places_in_what_is_shared_are_carried_over(keys: Keys) -> None:
    """Readers, workers, askers, families and a grant to the whole kind; not what was said."""
    store, helpers = MemoryStore(), Principal.agents("Helper")
    with AgentSystem.open(store, agents=[Helper], keys=keys) as system:
        system.sharing.topic("news", readers=helpers)
        system.sharing.pipeline("orders", ["check"], roles={"check": helpers})
        system.sharing.requests("weather", responders=helpers)
        system.state.set(Scope.workflow("w"), "k", 7)
        system.access.grant(helpers, Scope.workflow("w"), Right.READ)
        helper = system.agent(Helper, "a")
        helper.call(Helper.begin).get()
        helper.pause()
    with AgentSystem.open(store, agents=[Aide], keys=keys) as system:
        system.sharing.topic("news").publish("first")
        system.sharing.pipeline("orders").put(1)
        aide = system.agent(Aide, "a")
        aide.resume()
        assert system.idle(20)
        opened, shared, heard = aide.call(Aide.seen).get()
        assert (opened, shared) == (1, 7)
        assert "'agent:Helper/a'" in heard
        assert system.sharing.pipeline("orders").passed() == 1
        assert system.sharing.family().parent(aide) == system.agent(Aide, "boss")
        assert system.sharing.topic("news").lag() == {Principal.agent("Aide", "a"): 0}


def test_what_there_is_without_agents_is_carried_over(keys: Keys) -> None:
    """Rights, keys, isolations and dead letters may be there before there is any agent."""
    store, flow = MemoryStore(), Scope.workflow("w")
    with AgentSystem.open(store, agents=[Helper], keys=keys) as system:
        system.state.set(flow, "k", 7)
        system.access.grant(Principal.agents("Helper"), flow, Right.READ)
        system.state.set(Scope.agent("Helper", "a"), "k", 8)
        system.access.isolate(system.agent(Helper, "cut"), "it was broken into")
        system.agent(Helper, "dead").cast(Helper.told, 99)
        assert system.idle(20)
        assert system.dead_letters.count("Helper") == 1
        assert not store.kinds()
    with AgentSystem.open(store, agents=[Aide], keys=keys) as system:
        assert system.agent(Aide, "a").call(Aide.seen).get() == (0, 7, "")
        assert system.state.get(Scope.agent("Aide", "a"), "k") == 8
        with pytest.raises(Isolated, match="Aide/cut"):
            system.agent(Aide, "cut").call(Aide.seen).get()
        assert [letter.kind for letter in system.dead_letters.list()] == ["Aide"]
        before = system.journal.list()[-1].sequence
    with AgentSystem.open(store, agents=[Aide], keys=keys) as system:
        assert system.journal.list()[-1].sequence == before, "it is done once"


class Spender(Agent[CounterState]):
    def count(self) -> int:
        self.state.open += 1
        return self.state.open


@pytest.mark.parametrize(("per", "own"), [("agent", True), ("agent", False), ("kind", False)])
def test_what_is_spent_is_not_spent_anew(per: Literal["agent", "kind"], *, own: bool) -> None:
    """A budget of an agent or a kind goes on, whether its class or the system keeps it."""
    store, budget = MemoryStore(), CostBudget(turns=1, per=per)
    for made in (make((), "Old"), make(("Old",), "New")):
        agent_class = hooked(budget)(made) if own else made
        with AgentSystem.open(store, agents=[agent_class]) as system:
            if not own:
                system.hooks.add(budget)
            answer = system.agent(agent_class, "a").call(agent_class.count)
            if made.kind == "Old":
                assert answer.get() == 1
            else:
                with pytest.raises(HookCancelled, match="of which 1 are spent"):
                    answer.get()


def test_secrets_of_before_open_where_they_are_looked_at(tmp_path: Path, keys: Keys) -> None:
    """A state from before it had the name of today has its secrets, and so has a fork of it."""
    path = tmp_path / "s.db"
    fill(path, keys)
    with AgentSystem.open(path, agents=[Desk], keys=keys) as system:
        desk = system.agent(Desk, "a")
        state = desk.state_at(1)
        assert isinstance(state, CounterState)
        assert [each.reveal() for each in state.tokens] == ["T-a"]
        assert system.fork(desk, "c", at=1).call(Desk.read).get() == (1, ["T-a", "T-a", "T-a"])


class Plain(Counter):
    kind = "Desk"


@pytest.mark.parametrize("where", ["file", "memory"])
def test_who_is_erased_is_erased_by_every_name(tmp_path: Path, keys: Keys, where: str) -> None:
    """Keys, mail, recordings of before it had the name of today go; not a namesake of later."""
    store = tmp_path / "s.db" if where == "file" else MemoryStore()
    with AgentSystem.open(store, agents=[Counter], keys=keys) as system:
        counter = system.agent(Counter, "a")
        system.hooks.record(counter)
        counter.call(Counter.assign, "CANARY").get()
        counter.pause()
        counter.cast(Counter.assign, "CANARY")
    with AgentSystem.open(store, agents=[Desk], keys=keys):
        pass
    with AgentSystem.open(store, agents=[Plain, Counter], keys=keys) as system:
        system.hooks.record(system.agent(Counter, "a"))
        system.agent(Counter, "a").call(Counter.assign, "namesake").get()
        assert system.agent(Plain, "a").delete(erase=True)
        told = [f"{entry}" for entry in (*system.journal.each(), *system.hooks.history.each())]
        assert not any("CANARY" in each for each in told)
        assert sum("namesake" in each for each in told) == 2
    assert not any(b"CANARY" in each.read_bytes() for each in tmp_path.iterdir())


class Interrupted(SqliteStore):
    """A store that fails at its n-th commit."""

    left = 0

    def commit(self, batch: Batch) -> None:
        if self.left == 0:
            raise StoreUnavailable("the disk is gone")
        Interrupted.left -= 1
        super().commit(batch)


@pytest.mark.parametrize("commits", range(8))
def test_what_was_interrupted_goes_on(tmp_path: Path, keys: Keys, commits: int) -> None:
    """Whichever commit was the last one, the next opening carries the rest over."""
    path = tmp_path / "s.db"
    fill(path, keys)
    Interrupted.left = commits
    with closing(Interrupted(path)) as store, suppress(StoreUnavailable):
        AgentSystem.open(store, agents=[Desk], keys=keys).close(5)
    checked(path, keys)


def test_two_agents_of_one_name_are_refused(tmp_path: Path, keys: Keys) -> None:
    """Nothing is changed, and both are named."""
    path = tmp_path / "s.db"
    fill(path, keys)
    with AgentSystem.open(path, agents=[Later], keys=keys) as system:
        system.agent(Later, "a").call(Later.assign, "T").get()
    with pytest.raises(ConfigurationError, match="both Counter/a and Desk/a"):
        AgentSystem.open(path, agents=[Desk], keys=keys)
    with closing(open_reader(path)) as reader:
        assert reader.kinds() == ["Counter", "Desk"]


class Later(Agent[CounterState]):
    kind = "Desk"

    def assign(self, ticket: str) -> int:
        self.state.open += 1
        return self.state.open


class OtherState(State):
    open: str = ""


def test_code_that_cannot_read_carries_nothing_over(tmp_path: Path, keys: Keys) -> None:
    """It is compared with what the old kind was written with, before anything is changed."""

    class Changed(Agent[OtherState]):
        aliases = ("Counter",)

    path = tmp_path / "s.db"
    fill(path, keys)
    with pytest.raises(IncompatibleSchema, match=r"Counter 1\.0\.0, 2 agents: open: retyped"):
        AgentSystem.open(path, agents=[Changed], keys=keys)
    with closing(open_reader(path)) as reader:
        assert reader.kinds() == ["Counter"]


def make(aliases: tuple[str, ...], kind: str) -> type[Spender]:
    """Return a class with aliases."""
    named, alias = kind, aliases

    class Made(Spender):
        kind = named
        aliases = alias

    return Made


@pytest.mark.parametrize(
    "classes",
    [
        lambda: [make(("Old",), "A"), make(("Old",), "B")],
        lambda: [make(("B",), "A"), make((), "B")],
    ],
)
def test_an_alias_is_of_one_class(classes: Callable[[], list[type[Spender]]]) -> None:
    """One that is of two, or the kind of another, is refused."""
    with pytest.raises(ConfigurationError, match="has aliases = "):
        AgentSystem.open("memory://", agents=classes())


class Fare(msgspec.Struct):
    """A value that an agent keeps in its scope."""

    euros: int = 0


class InCents(msgspec.Struct):
    """What it is migrated to when it is read."""

    schema_version: ClassVar[str] = "2.0.0"
    cents: int = 0


migration(
    InCents, "1.0.0", "2.0.0",
    transforms.rename("euros", "cents"), transforms.convert("cents", lambda euros: euros * 100),
)  # fmt: skip


def test_values_are_migrated_under_the_new_name_as_well(tmp_path: Path) -> None:
    """A key that was written before the type was changed, and is read after the kind was."""
    path, before = tmp_path / "fares.db", Scope.agent("Counter", "a")
    with AgentSystem.open(path, agents=[Counter], schemas={"fare/*": Fare}) as system:
        system.agent(Counter, "a").call(Counter.remind).get()
        system.state.set(before, "fare/old", Fare(5))
        system.artifacts.register("report/*", Fare)
        system.artifacts.save("report/1", b"old", scope=before, meta={"euros": 5})
    with AgentSystem.open(path, agents=[Counter], schemas={"fare/*": InCents}) as system:
        system.state.set(before, "fare/new", InCents(7))
        system.artifacts.register("report/*", InCents)
        system.artifacts.save("report/2", b"new", scope=before, meta={"cents": 7})
    for _ in range(2):
        with AgentSystem.open(path, agents=[Desk], schemas={"fare/*": InCents}) as system:
            own = Scope.agent("Desk", "a")
            found = [system.state.get(own, f"fare/{key}") for key in ("old", "new")]
            assert found == [InCents(500), InCents(7)]
            system.artifacts.register("report/*", InCents)
            named = [system.artifacts.get(f"report/{n}", scope=own).meta for n in (1, 2)]
            assert named == [{"cents": 500}, {"cents": 7}]
            system.state.set(own, "other", 1)
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy
