"""A roomier young generation for Python's garbage collector while systems are open.

With thousands of messages under way the collector runs every 700 new objects and visits each of
them two or three times, although reference counts free them all a moment later. Measured: a fifth
of the durable turns a second (``python -m benchmarks --only durable``). So it looks less often.
Objects in cycles wait a little longer: a few megabytes at most.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Final

from .setting import ProcessSetting

DEFAULT_YOUNG_GENERATION: Final = 100_000
"""Objects; Python's own setting is 700 or 2,000."""


class YoungGeneration(ProcessSetting[int]):
    """New objects after which the collector looks at them; a collector that is off stays off."""

    def _read(self) -> int:
        return gc.get_threshold()[0]

    def _write(self, value: int) -> None:
        _, *older = gc.get_threshold()
        gc.set_threshold(value, *older)

    def _strongest(self, values: Iterable[int]) -> int:
        found = list(values)
        return max(found) if all(found) else 0


YOUNG_GENERATION: Final = YoungGeneration()
"""The process has one collector, so there is one of these."""
