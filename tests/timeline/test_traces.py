"""Traces of chains: one for each, however many ask at once, and as long as the chain goes on."""

from operator import attrgetter
from pathlib import Path
from typing import Any

from perdure import Agent, AgentSystem, State
from perdure.hooks.trace import read_traceparent
from perdure.persistence.records.shared_tables import TRACES
from tests.kit.deadline import DEADLINE
from tests.kit.threads import at_once, hasty
from tests.timeline.test_trace import GIVEN


class Count(State):
    number: int = 0


class Counter(Agent[Count]):
    def add(self) -> int:
        self.state.number += 1
        return self.turn.correlation


def traces_of(system: AgentSystem) -> Any:  # noqa: ANN401 - it is private
    """Return what knows the traces of a system."""
    return attrgetter("_runtime.traces")(system)


def test_a_chain_has_one_trace_however_many_ask_at_once() -> None:
    """Of several that ask first, all are told the same, and it is stored once."""
    with AgentSystem.open("memory://", agents=[Counter]) as system:
        traces = traces_of(system)
        told: list[list[str]] = [[] for _ in range(40)]
        with hasty():
            for chain in range(1, 40):
                at_once(4, lambda _, at=chain: told[at].append(str(traces.of(at))))  # type: ignore[misc]
        assert {len(set(each)) for each in told[1:]} == {1}
        system.flush(DEADLINE)
        rows = [system._store.row(TRACES, (chain,)) for chain in range(1, 40)]
        assert [str(traces.of(chain)) for chain in range(1, 40)] == [str(r[1]) for r in rows if r]


def test_a_trace_stays_as_long_as_its_chain_goes_on(tmp_path: Path) -> None:
    """A session that the journal still has keeps its trace, though that is older."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Counter], sync="process") as system:
        counter = system.agent(Counter, "a")
        with system.trace(GIVEN):
            gone = counter.call(Counter.add).get(timeout=DEADLINE)
            with system.sessions.create("s"):
                lives = counter.call(Counter.add).get(timeout=DEADLINE)
        session = system.sessions.get("s")
        for _ in range(5):
            with session:
                counter.call(Counter.add).get(timeout=DEADLINE)
        system.flush(DEADLINE)
        system._store.trim_journal(system._store.journal_extent()[1] - 1, 1000)
        first, _ = system._store.journal_extent()
        row = system._store.row(TRACES, (lives,))
        assert row is not None
        assert int(str(row[-1])) < first
        traces_of(system).sweep()
        assert system._store.row(TRACES, (gone,)) is None
        kept = system._store.row(TRACES, (lives,))
        assert kept is not None
        assert read_traceparent(str(kept[1])) == read_traceparent(GIVEN)
