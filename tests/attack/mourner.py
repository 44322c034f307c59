"""The process that is killed while it deletes: `python -m tests.attack.mourner STORE SEED LIFE`.

It writes one line of JSON per event to stdout: `["made", key]` and `["gone", key]` after what was
acknowledged, `["begins", key]` and `["ends", key]` before that. It goes on until it is killed.
"""

import json
import os
import sys
from random import Random

from perdure import Agent, AgentSystem, Log, Map, Scope, State


class Traces(State):
    life: str = ""
    lines: Log[str] = Log.field()
    marks: Map[str, str] = Map.field()


class Mortal(Agent[Traces]):
    """Leave traces of its life wherever an agent can."""

    def begin(self, life: str) -> None:
        if not self.state.life:
            self.state.life = life
        self.state.lines.extend([self.state.life] * 5)
        self.state.marks[life] = self.state.life
        self.scopes.set(self.scopes.own, "life", self.state.life)
        self.after(1e6, self.begin, life, name="later")


def say(*event: object) -> None:
    """Write one event in one write."""
    os.write(1, json.dumps(event).encode() + b"\n")


def main() -> None:
    """Make agents, leave them mail, delete them, until the end."""
    store, seed, life = sys.argv[1:]
    chance, number = Random(f"{seed}/{life}"), 0
    with AgentSystem.open(store, agents=[Mortal], sync="process") as system:
        say("open")
        for number in range(4):  # the life before was killed, maybe while one was paused
            system.agent(Mortal, f"m{number}").restart()
        while True:
            number += 1
            key, name = f"m{chance.randrange(4)}", f"LIFE-{life}-{number}-"
            mortal = system.agent(Mortal, key)
            say("begins", key)
            mortal.call(Mortal.begin, name).get()
            system.state.set(Scope.agent("Mortal", key), "more", name)
            say("made", key)
            if chance.random() < 0.5:
                mortal.pause()
                mortal.cast(Mortal.begin, name)
            if chance.random() < 0.7:
                say("ends", key)
                mortal.delete(erase=chance.random() < 0.5)
                say("gone", key)
            else:
                mortal.restart()


if __name__ == "__main__":
    main()
