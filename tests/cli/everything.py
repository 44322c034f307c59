"""A store that holds something of everything a command can show."""

from pathlib import Path

from perdure import AgentSystem, MessageDetails, OutcomeDetails, Principal, Right, Scope
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Run, RunStep, RunWait, Tally, ThinkingState
from tests.cli.programs import Desk
from tests.kit.deadline import DEADLINE


class Asker(ThinkingAgent[ThinkingState]):
    """Has runs that wait for something of every kind."""

    model = "test"

    def pretend(self) -> None:
        """Begin to wait, without any model."""
        self.state.tallies["tool/pay"] = Tally(1)
        for why in ("in doubt", "approval", "question"):
            first = len(self.state.transcript)
            self._add(RunStep("asked", why, self.now(), body="go"))
            held = RunWait(why, "c", "pay", [5], self.now())
            self._put(Run(why, "waiting", self.now(), first, waiting=(held,)))


def _guard(details: MessageDetails) -> None:
    """Let all of it go on."""


def _late(details: OutcomeDetails) -> None:
    """Be called in vain."""
    raise LookupError("not yet")


def fill(path: Path) -> None:
    """Make the store: agents, mail, timers, letters, hooks, keys, patterns, sessions, ..."""
    work = Scope.workflow("w")
    with AgentSystem.open(path, agents=[Desk], sync="process") as system:
        system.hooks.on("message.before", _guard, on="refuse", name="guard")
        system.hooks.on("message.after", _late, on="remind", name="late", deferred=True)
        emea = system.agent(Desk, "emea")
        with system.sessions.create("chat"):
            emea.call(Desk.assign, "T-1").get()
        emea.call(Desk.remind).get()
        apac = system.agent(Desk, "apac")
        system.hooks.record(apac)
        apac.call(Desk.assign, "T-2").get()
        system.replay.schedule("nightly", at=0.0, against="tests.cli.programs:Desk")
        emea.cast(Desk.refuse, "no")
        emea.cast(Desk.refuse, "never")
        system.idle(DEADLINE)
        emea.pause()
        emea.cast(Desk.name, "later")
        system.state.set(work, "k", "AKIA" + "ABCDEFGHIJKLMNOP")
        system.access.grant(Principal.user("mira"), work, Right.READ)
        system.sharing.topic("news").publish("hello")
        first = system.artifacts.save("raw", b"bytes")
        system.artifacts.save("report", b"more bytes", sources=[first])
        system.sessions.create("done").complete()
        system.flush(DEADLINE)


def think(path: Path) -> None:
    """Add an agent that thinks, with runs that wait."""
    with AgentSystem.open(path, agents=[Asker], sync="process", service=False) as system:
        system.agent(Asker, "one").call(Asker.pretend).get()
