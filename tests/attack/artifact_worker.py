"""The process that is killed: `python -m tests.attack.artifact_worker STORE SEED`.

Three threads save, delete and sweep artifacts; an agent makes some in its turns. Each event is one
line of JSON on stdout: `["open"]`, `["saved", number, seed]` when it was acknowledged, `["deletes",
number]` before and `["deleted", number]` after a deletion, `["swept"]` after a sweep.
"""

import json
import os
import sys
import threading
from random import Random

from perdure import Agent, AgentSystem, State
from perdure.shared.artifacts.artifacts import Artifacts
from perdure.shared.artifacts.chunking import CHUNK

SEEDS = 12
"""So few that most contents are saved again and again, beside their deletion."""


class Maker(Agent[State]):
    """Saves in a turn what others save outside."""

    def make(self, seed: int) -> int:
        artifacts = self.system.artifacts
        artifact = artifacts.save("made", content(seed), meta={"seed": seed}, tags=["made"])
        artifacts.came_from(artifact)
        return artifact.number


def content(seed: int) -> bytes:
    """Return the bytes of a seed; some share their first chunk."""
    random = Random(seed)
    return Random(seed % 3).randbytes(CHUNK) + random.randbytes(random.randint(0, 2 * CHUNK))


def say(*event: object) -> None:
    """Write one event; a single write is not torn by a kill, and needs no flush."""
    os.write(1, json.dumps(event).encode() + b"\n")


def work(system: AgentSystem, seed: str) -> None:
    """Save, delete and sweep until the end."""
    random, artifacts = Random(seed), system.artifacts
    own: list[int] = []
    while True:
        step = random.random()
        if step < 0.5:
            own.append(_save(artifacts, random.randrange(SEEDS), random))
        elif step < 0.6:
            number = random.randrange(SEEDS)
            made = system.agent(Maker, seed).call(Maker.make, number).get()
            say("saved", made, number)
            own.append(made)
        elif step < 0.95 and own:
            _delete(artifacts, own.pop(random.randrange(len(own))))
        elif step >= 0.95:
            artifacts.sweep()
            say("swept")


def _save(artifacts: Artifacts, seed: int, random: Random) -> int:
    data, size = content(seed), random.randint(1, 2 * CHUNK)
    with artifacts.create(f"n{seed}", meta={"seed": seed}, tags=["t"]) as sink:
        for start in range(0, len(data), size):
            sink.write(data[start : start + size])
    say("saved", sink.artifact.number, seed)
    return sink.artifact.number


def _delete(artifacts: Artifacts, number: int) -> None:
    (artifact,) = artifacts.list(after=number - 1, limit=1)
    say("deletes", number)
    artifacts.delete(artifact)
    say("deleted", number)


def main() -> None:
    """Open the store and work until killed."""
    store, seed = sys.argv[1:]
    with AgentSystem.open(store, agents=[Maker], sync="process") as system:
        say("open")
        threads = [
            threading.Thread(target=work, args=(system, f"{seed}-{number}"), daemon=True)
            for number in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
