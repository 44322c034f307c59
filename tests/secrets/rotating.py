"""A process that writes secrets and rotates their keys until it is killed: PATH KEYFILE."""

import sys
import threading

from perdure import AgentSystem, FileKeys, Keys, Secret
from tests.secrets.agents import Keeper


def report(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(path: str, keyfile: str) -> None:
    """Print a line for each step that is durable."""
    system = AgentSystem.open(
        path, agents=[Keeper], keys=Keys(secrets=FileKeys(keyfile)), sync="process"
    )

    def work() -> None:
        number = 0
        while True:
            for key in range(20):
                keeper = system.agent(Keeper, str(key))
                keeper.call(Keeper.keep, Secret(f"word-{key}")).get()
                number += 1

    threading.Thread(target=work, daemon=True).start()
    report("ready")
    while True:
        rotation = system.secrets.rotate(wait=True)
        report(f"rotated {rotation.texts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
