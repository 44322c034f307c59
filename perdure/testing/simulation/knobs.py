"""What a seed draws before a run: sizes that others choose by the machine, the faults, the crash."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ...actors.pool import mailbox
from ...persistence.store import committer


@dataclass(frozen=True, slots=True)
class Knobs:
    """The sizes and faults of one run."""

    workers: int
    """Threads that run handlers."""
    batch: int
    """Commits that one write takes at the most."""
    budget: int
    """Messages of one agent before others have their turn."""
    write_seconds: float
    """How long the store takes for a write, at the most."""
    failing: float
    """The share of writes that fail, before they are durable or after."""

    @classmethod
    def drawn(cls, randomness: random.Random, *, faults: bool) -> Knobs:
        """Draw them."""
        choice = randomness.choice
        return cls(
            workers=choice((1, 2, 2, 3, 4)),
            batch=choice((1, 1, 2, 5, committer.LARGEST_BATCH)),
            budget=choice((1, 2, mailbox.BUDGET)),
            write_seconds=choice((0.0, 0.0, 0.001, 0.05)),
            failing=choice((0.0, 0.0, 0.1, 0.3)) if faults else 0.0,
        )

    def names(self) -> list[tuple[Any, str, Any]]:
        """Return where what is put for the time of a run."""
        return [
            (committer, "LARGEST_BATCH", self.batch),
            (mailbox, "BUDGET", self.budget),
        ]
