"""What the history has of each hook: how often it ran, how it went, how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from .record import HookRecord


def summed(records: Iterable[HookRecord]) -> list[dict[str, Any]]:
    """Return a summary for each hook at each point, in the order of their names.

    The version is that of the latest execution; ``seconds`` are of all together.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        place = (record.hook, record.point)
        facts = found.get(place)
        if facts is None:
            facts = found[place] = {"name": record.hook, "point": record.point, "version": "",
                                    "runs": 0, "seconds": 0.0, "longest": 0.0,
                                    "outcomes": Counter()}  # fmt: skip
        facts["version"] = record.version
        facts["runs"] += 1
        facts["outcomes"][record.outcome] += 1
        facts["seconds"] += record.seconds
        facts["longest"] = max(facts["longest"], record.seconds)
    for facts in found.values():
        facts["failures"] = facts["outcomes"].pop("failed", 0)
    return [found[place] for place in sorted(found)]
