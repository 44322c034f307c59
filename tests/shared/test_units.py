"""What belongs to which commit, in whose name, also where threads, tasks and Ctrl-C meet."""

import asyncio
import json
import threading

import pytest

from perdure import Agent, AgentSystem, Principal, Scope
from perdure.persistence.records.records import Commit
from perdure.persistence.records.shared_tables import SCOPED
from perdure.shared.ledger.guard import Standing
from perdure.shared.ledger.unit import Unit
from tests.kit.deadline import DEADLINE
from tests.shared.agents import AGENTS, WORK, Count, Fleeting, Saved, Worker


@pytest.mark.parametrize("kind", AGENTS)
def test_one_turn_is_one_commit(kind: type[Worker]) -> None:
    """A turn's state and its shared keys stand in one journal entry; a VOLATILE agent has no state.

    A SNAPSHOT agent is saved with such a turn: of what belongs together nothing is left for later.
    """
    with AgentSystem.open("memory://", agents=AGENTS) as system:
        system.agent(kind, "a").call(Worker.increment, "n").get()
        (entry,) = system.journal.list()
        delta = json.loads(entry.delta)
        assert delta["rows"]["scoped"][0][3:5] == ["n", 1]
        state = {} if kind is Fleeting else {"set": {"turns": 1}}
        assert {name: part for name, part in delta.items() if name != "rows"} == state
        assert (entry.kind, entry.key) == (("", "") if kind is Fleeting else (kind.kind, "a"))
        system.agent(Saved, "a").call(Worker.turns).get()
        assert len(system.journal.list()) == 1


def test_any_handle_is_the_agents_in_its_turn() -> None:
    """In a turn every handle acts as the agent, also the system's: what it may not is refused."""
    seen: list[str] = []

    class Sneak(Agent[Count]):
        def work(self) -> None:
            mira = self.system.state.acting_as(Principal.user("mira"))
            for state in (self.scopes, self.system.state, mira):
                with pytest.raises(PermissionError) as refused:
                    state.get(Scope.user("mira"), "k")
                seen.append(str(refused.value).split(" may ")[0])
            self.scopes.set(self.scopes.own, "mine", 1)

    with AgentSystem.open("memory://", agents=[Sneak]) as system:
        system.state.set(Scope.user("mira"), "k", 1)
        system.agent(Sneak, "s").call(Sneak.work).get()
        assert seen == ["agent:Sneak/s"] * 3
        assert system.state.get(Scope.agent("Sneak", "s"), "mine") == 1


def test_a_thread_with_the_turns_context_is_part_of_the_turn() -> None:
    """asyncio.to_thread takes the turn along; a bare thread does not, and acts as the system."""

    class Threads(Agent[Count]):
        boundary = Worker.boundary

        async def work(self) -> None:
            await asyncio.to_thread(self.scopes.set, WORK, "within", 1)
            bare = threading.Thread(target=self.scopes.set, args=(WORK, "beside", 1))
            bare.start()
            await asyncio.to_thread(bare.join)
            raise RuntimeError

    with AgentSystem.open("memory://", agents=[Threads]) as system:
        with pytest.raises(RuntimeError):
            system.agent(Threads, "a").call(Threads.work).get()
        assert system.state.list(WORK) == ["beside"]


def test_tasks_have_transactions_of_their_own() -> None:
    """Two tasks of one loop that transact at once do not see or undo each other's writes."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state

        async def one(key: str, other: str, met: asyncio.Barrier) -> None:
            with state.transaction():
                state.set(WORK, key, 1)
                await met.wait()
                assert not state.exists(WORK, other)
                await met.wait()
                if key == "bad":
                    raise RuntimeError
                state.set(WORK, "end", key)

        async def main() -> tuple[object, object]:
            met = asyncio.Barrier(2)
            return await asyncio.gather(
                one("good", "bad", met), one("bad", "good", met), return_exceptions=True
            )

        good, bad = asyncio.run(main())
        # The good one has seen that "bad" was not there, which is so.
        assert good is None
        assert isinstance(bad, RuntimeError)
        assert state.list(WORK) == ["end", "good"]


def test_an_interrupt_behind_the_append_loses_nothing() -> None:
    """Ctrl-C between append and publication: the commit stands, and whoever comes next sees it."""
    with AgentSystem.open("memory://", agents=[]) as system:
        ledger, supervisor = system._runtime.ledger, system._runtime.supervisor
        unit = Unit(Standing(Principal.SYSTEM), ledger.guard.epoch)
        key = ("workflow", "w", "", "k")
        unit.change((SCOPED, key), lambda _: (*key, "7", 1, 0, None), checked=False)

        def interrupted() -> None:
            with ledger.ending(unit) as ending:
                commit = Commit(time=1.0, name="(shared)")
                ending.put_into(commit)
                supervisor.append(commit)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert system.state.increment(WORK, "k") == 8
        assert system.flush(DEADLINE)
        assert system.state.get(WORK, "k") == 8


def test_a_lone_call_in_a_dead_transaction_is_its_own() -> None:
    """After a transaction has failed, its block's context writes commits of its own again."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        with pytest.raises(RuntimeError), state.transaction():
            raise RuntimeError
        assert state.set(WORK, "k", 1) == 1
        assert state.get(WORK, "k") == 1
