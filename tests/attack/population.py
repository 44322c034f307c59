"""Many agents, few in memory: `python -m tests.attack.population STORE AGENTS LIMIT TASK`.

TASK is `make` (one turn each) or `visit` (open the store they are in and ask some of them). It
says in one line of JSON what it found.
"""

import json
import re
import sys
from pathlib import Path
from random import Random

from perdure import AgentSystem, Passivation, Resources
from tests.attack.agents import Tally

VISITED = 20
"""One agent in so many is visited."""
BURST = 500
"""Messages sent before looking at what is in memory."""


def peak() -> int:
    """Return the most memory this process has had, in bytes."""
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def make(system: AgentSystem, agents: int) -> int:
    """Tell each agent to add its number; return the most that were live."""
    live = 0
    for number in range(agents):
        system.agent(Tally, f"agent {number}").cast(Tally.add, number)
        if number % BURST == 0:
            live = max(live, system.statistics().live)
            system.idle()
    system.idle()
    return max(live, system.statistics().live)


def visit(system: AgentSystem, agents: int) -> int:
    """Ask some agents to add 1, and check what they are; return the most that were live."""
    random, live = Random(7), 0
    for count, number in enumerate(random.sample(range(agents), agents // VISITED)):
        assert system.agent(Tally, f"agent {number}").call(Tally.add, 1).get() == 2
        if count % 100 == 0:
            live = max(live, system.statistics().live)
    return live


def main(store: str, agents: str, limit: str, task: str) -> None:
    """Do one task and say what it took."""
    before = peak()
    with AgentSystem.open(
        store,
        agents=[Tally],
        resources=Resources(passivation=Passivation(idle=None, limit=int(limit))),
    ) as system:
        live = (make if task == "make" else visit)(system, int(agents))
        sys.stdout.write(json.dumps({"live": live, "grown": peak() - before}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
