"""A process that works at a pipeline until it is killed: `python -m tests.sharing.plant STORE N`.

A feed puts 300 items in by turns, the main thread others from outside; three stages of workers, one
of them async, one with leases over two turns, pass them on to a book. It says a line of JSON for
each item acknowledged from outside, for each that has arrived, and when nothing is left.
"""

import json
import sys
from pathlib import Path

from msgspec import field

from perdure import Agent, AgentSystem, Log, State, SystemView
from perdure.actors.patterns.pipeline import Pipeline, Work
from perdure.actors.patterns.quota import Quota
from perdure.persistence.errors import QuotaExceeded

ITEMS = 300
STAGES = ("parse", "check", "load")


def say(*words: object) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def line(system: SystemView | AgentSystem) -> Pipeline:
    """Return the pipeline; it is small, so that the feed has to wait."""
    return system.sharing.pipeline("line", STAGES, quota=Quota(items=40))


class FeedState(State):
    """Where the feed stands."""

    next: int = 0


class Feed(Agent[FeedState]):
    """Put items in, a few at a time."""

    def step(self) -> None:
        """Put up to seven in, and go on later."""
        for _ in range(7):
            if self.state.next == ITEMS:
                return
            try:
                line(self.system).put(self.state.next)
            except QuotaExceeded:
                break
            self.state.next += 1
        self.after(0.01, self.step, name="step")


class Nothing(State):
    """Nothing."""


class Parser(Agent[Nothing]):
    """Work at the first stage."""

    def begin(self) -> None:
        """Ask to be woken."""
        line(self.system).attend("parse", Parser.work)

    def work(self) -> None:
        """Pass all on that is there."""
        for work in line(self.system).take("parse", limit=5):
            line(self.system).pass_on(work, {"n": work.value})


class AsyncParser(Agent[Nothing]):
    """Work at the first stage, too."""

    async def begin(self) -> None:
        """Ask to be woken."""
        line(self.system).attend("parse", "work")

    async def work(self) -> None:
        """Pass all on that is there."""
        for work in line(self.system).take("parse", limit=5):
            line(self.system).pass_on(work, {"n": work.value})


class Held(State):
    """What is worked on over several turns."""

    works: list[Work[dict[str, int]]] = field(default_factory=list)


class Checker(Agent[Held]):
    """Work at the second stage, each item over two turns."""

    def begin(self) -> None:
        """Ask to be woken."""
        line(self.system).attend("check", Checker.work)

    def work(self) -> None:
        """Take something."""
        taken = line(self.system).take("check", limit=3, lease=3600, type=dict[str, int])
        if taken:
            self.state.works = [*self.state.works, *taken]
            self.system.agent(Checker, self.key).cast(Checker.finish)

    def finish(self) -> None:
        """Pass it on."""
        for work in self.state.works:
            line(self.system).pass_on(work)
        self.state.works = []


class Written(State):
    """What has arrived."""

    numbers: Log[int] = Log.field()


class Book(Agent[Written]):
    """Work at the last stage."""

    def begin(self) -> None:
        """Ask to be woken."""
        line(self.system).attend("load", Book.work)

    def work(self) -> None:
        """Write down what has come."""
        taken = line(self.system).take("load", limit=10, type=dict[str, int])
        for work in taken:
            self.state.numbers.append(work.value["n"])
            line(self.system).pass_on(work)
        say("arrived", len(taken))

    def read(self) -> list[int]:
        """Return what has arrived."""
        return list(self.state.numbers)


AGENTS = (Feed, Parser, AsyncParser, Checker, Book)


def main(store: Path, life: int) -> None:
    """Live until everything has arrived."""
    with AgentSystem.open(store, agents=AGENTS, sync="process") as system:
        line(system)
        system.agent(Parser, "1").call(Parser.begin).get()
        system.agent(AsyncParser, "2").call(AsyncParser.begin).get()
        for key in "34":
            system.agent(Checker, key).call(Checker.begin).get()
        system.agent(Book, "book").call(Book.begin).get()
        system.agent(Feed, "feed").call(Feed.step).get()
        for number in range(20):
            own = 1000 * (life + 1) + number
            while True:
                try:
                    line(system).put(own)
                except QuotaExceeded:
                    system.flush()
                else:
                    break
            say("acknowledged", own)
        while system.agent(Feed, "feed").proxy().state.get().next < ITEMS:
            system.flush()
        while any(line(system).depth().values()):
            system.flush()
        system.idle()
        say("done", system.agent(Book, "book").call(Book.read).get(), line(system).passed())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
