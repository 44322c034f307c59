"""The process that its own messages end: `python -m tests.attack.fatal STORE TASK`.

TASK is `run`, or JSON: a list of `[agent, method, argument]` that are told in this order before the
system comes to rest. Every handler says what it does in a line of JSON. `["closed"]` ends a process
that nothing has killed.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    DeadLetter,
    Durability,
    Log,
    OutcomeDetails,
    RestartPolicy,
    State,
)

SLOW: float = 0.3
"""Seconds of a handler that is slow; nobody waits for it."""


class Done(State):
    done: Log[str] = Log.field()


def say(*event: object) -> None:
    """Write one event; a single write is not torn by a kill, and needs no flush."""
    os.write(1, json.dumps(event).encode() + b"\n")


class Mortal(Agent[Done]):
    """Does what it is told; some of that ends its process."""

    restarts = RestartPolicy(attempts=3, restarts=1000, backoff=Backoff(first=0.01))

    def note(self, what: str) -> None:
        say("note", self.key, what, self.turn.attempt)
        self.state.done.append(what)

    def slow(self, what: str) -> None:
        say("begin", self.key, what, self.turn.attempt)
        threading.Event().wait(SLOW)
        self.state.done.append(what)

    def die(self, what: str) -> None:
        say("die", self.key, what, self.turn.attempt)
        os.kill(os.getpid(), signal.SIGKILL)

    def fail(self, what: str) -> None:
        say("fail", self.key, what, self.turn.attempt)
        raise ValueError(what)

    def fail_then_die(self, what: str) -> None:
        say("die", self.key, what, self.turn.attempt)
        if self.turn.attempt == 1:
            raise ValueError(what)
        os.kill(os.getpid(), signal.SIGKILL)

    def set_timer(self, name: str) -> None:
        self.after(0.0, Mortal.die, name, name=name)

    def pass_on(self, what: str) -> None:
        """Tell an agent that is saved now and then: what agents send it is stored."""
        other = self.system.agent(Saved, self.key)
        other.cast(Saved.die, what)
        other.cast(Saved.note, what)

    def on_dead(self, letter: DeadLetter) -> None:
        say("dead", self.key, letter.name, letter.attempts)


class Saved(Mortal):
    """The same, saved now and then."""

    durability = Durability.SNAPSHOT


KINDS: dict[str, type[Mortal]] = {"Mortal": Mortal, "Saved": Saved}


def main(store: Path, task: str) -> None:
    """Tell what is to be told, and close when nothing is left to do."""
    with AgentSystem.open(store, agents=[Mortal, Saved]) as system:
        if os.environ.get("DEFERRED"):

            @system.hooks.on("message.after", deferred=True, name="fatal")
            def fatal(details: OutcomeDetails) -> None:
                say("hook", details.key)
                if details.args == ("fatal",):
                    os.kill(os.getpid(), signal.SIGKILL)

        steps = [] if task == "run" else json.loads(task)
        agents = {name: system.agent(KINDS[(k := name.split("/"))[0]], k[1]) for name, *_ in steps}
        for agent in agents.values():  # what kills is to be in the store before
            agent.pause()
        for name, method, argument in steps:
            agents[name].cast(getattr(Mortal, method), argument)
        system.flush()
        waiting = [head for head in system.agents.each() if head.status == "paused"]
        for head in waiting:
            system.agent(KINDS[head.kind], head.key).resume()
        system.idle()
        while system.timers.count():
            threading.Event().wait(SLOW / 10)
        system.idle()
    say("closed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
