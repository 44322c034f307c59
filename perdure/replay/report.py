"""What came of many replays, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from .outcome import DIFFERING, Replay, ReplayFinding

MOST: Final = 20
"""Findings of one turn that are told to people."""
_LONGEST: Final = 200
_WORDS: Final = {
    "same": "same", "failed": "failed as recorded", "different": "different",
    "unclear": "unclear, not recorded as they were", "error": "not replayed",
}  # fmt: skip


class ReplayReport(msgspec.Struct, frozen=True):
    """What came of a batch."""

    replays: list[Replay]
    """In the order of the history; ``recorded`` and ``replayed`` of a batch's turns that came out
    the same are left out."""
    counts: dict[str, int]
    """How many there are of each outcome."""
    cancelled: bool = False
    """Whether turns are missing, because it was cancelled."""
    left_out: int = 0
    """Turns that are of kinds for which there was no class."""
    seconds: float = 0.0
    more: int = 0
    """Turns that differ as well and are only counted, because the batch had a ``most``."""

    @property
    def same(self) -> bool:
        """Whether every turn came out as it was recorded, as far as that is known."""
        return not self.cancelled and DIFFERING.isdisjoint(self.counts)

    @property
    def differing(self) -> Iterator[Replay]:
        """The turns that came out differently, or could not be replayed."""
        return (replay for replay in self.replays if replay.outcome in DIFFERING)

    def json(self) -> str:
        """Return everything as JSON."""
        told = {
            "same": self.same, "counts": self.counts, "cancelled": self.cancelled,
            "left_out": self.left_out, "seconds": self.seconds, "replays": self.replays,
            "more": self.more,
        }  # fmt: skip
        return msgspec.json.encode(told).decode()

    def text(self) -> str:
        """Return it for a terminal: what differs, and how many there are of each outcome."""
        return "\n".join([*self._lines(), self.summary()])

    def summary(self) -> str:
        """Return how many there are of each outcome."""
        counts = [f"{number:,} {_WORDS[outcome]}" for outcome, number in self.counts.items()]
        what = "hook" if any(replay.point for replay in self.replays) else "turn"
        total = sum(self.counts.values())
        turns = what if total == 1 else f"{what}s"
        text = f"{total:,} {turns} replayed: {', '.join(counts) or 'none'}"
        if self.left_out:
            text += f"; {self.left_out:,} left out, of kinds without a class"
        return text + ("; cancelled" if self.cancelled else "")

    def _lines(self) -> Iterator[str]:
        for replay in self.differing:
            yield f"{replay}: {_WORDS[replay.outcome]}, score {replay.score:.2f}"
            if replay.error:
                yield f"    {replay.error}"
            for finding in replay.findings[:MOST]:
                yield f"    {line(finding)}"
            if len(replay.findings) > MOST:
                yield f"    and {len(replay.findings) - MOST} more"
            for missing in replay.missing:
                yield f"    not in the recording: {missing}"
        if self.more:
            yield f"and {self.more:,} more that differ"


def line(finding: ReplayFinding) -> str:
    """Return a finding as a line."""
    before, after = (_short(value) for value in (finding.before, finding.after))
    return f"{finding.severity:<6} {finding.path}: {before} -> {after}"


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
