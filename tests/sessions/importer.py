"""A child process that imports a session again and again, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sessions.agents import opened


def main() -> None:
    """Import a file under one name after another, and tell of each that is there."""
    store, file = Path(sys.argv[1]), Path(sys.argv[2])
    with opened(store) as system:
        system.idle(30)
        start = len(system.sessions.list(limit=10_000))
        print("open", flush=True)  # noqa: T201 - how a test follows it
        for number in range(start, start + 1000):
            system.sessions.import_(file, session_id=f"copy-{number}")
            print(f"copy-{number}", flush=True)  # noqa: T201 - same


if __name__ == "__main__":
    main()
