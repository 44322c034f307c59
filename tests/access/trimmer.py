"""A process that decides and trims until it is killed: ``python -m tests.access.trimmer STORE``."""

from __future__ import annotations

import contextlib
import sys

from perdure import Audit
from perdure.persistence.errors import Denied
from tests.access.agents import call, opened


def main(store: str) -> None:
    """Have an agent refused, again and again, and trim all the time."""
    with opened(store, audit=Audit(keep=20), sync="process") as system:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        while True:
            for _ in range(15):
                with contextlib.suppress(Denied):
                    call(system, "anna", "read", "workflow:w", "k")
            sys.stdout.write(f"{system.audit.head()} {system.audit.trim()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
