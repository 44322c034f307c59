"""A child process that fills sessions and ends them, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from perdure.shared.sessions.records import Cleanup
from tests.sessions.agents import opened


def main() -> None:
    """Begin, fill and end one session after another, and tell of each step that is durable."""
    with opened(Path(sys.argv[1])) as system:
        start = len(system.sessions.list(limit=10_000))
        print("open", flush=True)  # noqa: T201 - how a test follows it
        for number in range(start, start + 1000):
            session = system.sessions.create(f"s{number}", cleanup=Cleanup.DELETE)
            system.state.set_many(session.scope, {f"k{key}": key for key in range(1500)})
            system.artifacts.save("a", str(number).encode(), scope=session.scope)
            print(f"filled s{number}", flush=True)  # noqa: T201 - same
            session.complete()
            print(f"ended s{number}", flush=True)  # noqa: T201 - same


if __name__ == "__main__":
    main()
