"""Agents that count each message, and rounds of messages that are struck somewhere.

What is handled twice or lost shows in the counts.
"""

from __future__ import annotations

from pathlib import Path

from perdure import (
    Agent,
    AgentSystem,
    AutoSave,
    Backoff,
    Durability,
    Log,
    Map,
    Resources,
    RestartPolicy,
    State,
    Store,
)
from tests.kit.deadline import DEADLINE

OFTEN = RestartPolicy(attempts=3, restarts=10**6, backoff=Backoff(first=0.0, longest=0.0))
"""For agents whose turns are struck again and again, which is no fault of theirs."""


class Seen(State):
    times: Map[int, int] = Map.field()
    total: int = 0


class Counter(Agent[Seen]):
    """Count what comes, and tell another of it."""

    restarts = OFTEN

    def take(self, number: int) -> int:
        self.state.times[number] = self.state.times.get(number, 0) + 1
        self.state.total += 1
        self.system.agent(Listener, "one").cast(Listener.take, number)
        return number

    def refuse(self, number: int) -> None:
        self.state.total += 1
        raise ValueError(number)

    def seen(self) -> tuple[dict[int, int], int]:
        return dict(self.state.times), self.state.total


class SnapshotCounter(Counter):
    durability = Durability.SNAPSHOT


class Noted(Seen):
    lines: Log[int] = Log.field()


class Noter(Agent[Noted]):
    """Saved now and then, not with its turns: what they leave is in memory until then."""

    restarts = OFTEN
    durability = Durability.SNAPSHOT
    autosave = AutoSave(every=3600.0)

    def note(self, number: int) -> int:
        self.state.times[number] = self.state.times.get(number, 0) + 1
        self.state.lines.append(number)
        self.state.total += 1
        return number

    def tell(self, number: int) -> None:
        """Change something and send something: a commit of its own, with what waits."""
        self.note(number)
        self.system.agent(Listener, "one").cast(Listener.take, number)

    def noted(self) -> tuple[dict[int, int], list[int], int]:
        return dict(self.state.times), list(self.state.lines), self.state.total


class VolatileCounter(Counter):
    durability = Durability.VOLATILE


class Listener(Agent[Seen]):
    """Count what is heard."""

    restarts = OFTEN

    def take(self, number: int) -> None:
        self.state.times[number] = self.state.times.get(number, 0) + 1
        self.state.total += 1

    def seen(self) -> tuple[dict[int, int], int]:
        return dict(self.state.times), self.state.total


KINDS = [Counter, SnapshotCounter, VolatileCounter]


class Rounds:
    """A system whose agents are sent numbers, in rounds each of which may be struck."""

    def __init__(self, url: str | Path | Store, kind: type[Counter]) -> None:
        self.system = AgentSystem.open(
            url,
            agents=list({*KINDS, Listener, Noter, kind}),
            sync="process",
            # A thread that is traced is slow: with a short interval a worker often takes its turn.
            resources=Resources(workers=1, switch_interval=0),
        )
        self.counter = self.system.agent(kind, "one")
        self.listener = self.system.agent(Listener, "one")
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()

    def check(self) -> None:
        """Nothing was handled twice, and nothing that was taken is missing."""
        seen, total = self.counter.call(Counter.seen).get(timeout=DEADLINE)
        heard, heard_total = self.listener.call(Listener.seen).get(timeout=DEADLINE)
        assert set(seen.values()) <= {1}
        assert set(heard.values()) <= {1}
        assert (total, heard_total) == (len(seen), len(heard))
        assert self.acknowledged <= set(seen) == set(heard) <= self.sent
