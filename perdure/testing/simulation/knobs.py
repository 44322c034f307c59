"""What a seed draws before a run: sizes that else the machine decides, and faults."""

from __future__ import annotations

import dataclasses
import itertools
import random
from dataclasses import dataclass
from typing import Any, Final

from ...actors.pool import mailbox
from ...persistence.store import committer
from .lines import MEETINGS

_NOWHERE: Final[tuple[str, ...]] = ()
_EVERYWHERE: Final = tuple(itertools.chain(*MEETINGS))


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
    lines: tuple[str, ...]
    """Modules in which threads may change between lines, and not only at locks and queues."""

    @classmethod
    def drawn(cls, seed: int, *, faults: bool, strikes: bool) -> Knobs:
        """Return what a seed draws; with ``strikes`` there are no points between lines.

        They are calls, and behind a call an exception may strike where it otherwise cannot.
        """
        choice = random.Random(f"{seed} knobs").choice  # noqa: S311 - no secrets
        drawn = cls(
            workers=choice((1, 2, 2, 3, 4)),
            batch=choice((1, 1, 2, 5, committer.LARGEST_BATCH)),
            budget=choice((1, 2, mailbox.BUDGET)),
            write_seconds=choice((0.0, 0.0, 0.001, 0.05)),
            failing=choice((0.0, 0.0, 0.1, 0.3)) if faults else 0.0,
            lines=choice((_NOWHERE, _NOWHERE, _EVERYWHERE, choice(MEETINGS), choice(MEETINGS))),
        )
        return dataclasses.replace(drawn, lines=_NOWHERE) if strikes else drawn

    def names(self) -> list[tuple[Any, str, Any]]:
        """Return where what is put for the time of a run."""
        return [
            (committer, "LARGEST_BATCH", self.batch),
            (mailbox, "BUDGET", self.budget),
        ]
