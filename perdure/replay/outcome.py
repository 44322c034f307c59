"""What came of a replay: the turn as it was, as it came out now, and what differs."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

Mode: TypeAlias = Literal["exact", "modified", "simulate", "debug"]
"""``exact``: as it was; ``modified``: of another message or state; ``simulate``: under other code;
``debug``: with a debugger."""
Severity: TypeAlias = Literal["high", "medium", "low"]
Outcome: TypeAlias = Literal["same", "different", "failed", "unclear", "error"]
"""``failed``: the turn raised, and so does its replay; ``unclear``: it differs, but could not be
recorded as it was (secrets, values that are no JSON); ``error``: it could not be replayed."""


DIFFERING: Final[frozenset[Outcome]] = frozenset({"different", "error"})
"""Outcomes of turns that came out differently, or could not be replayed."""


class ReplayFinding(msgspec.Struct, frozen=True):
    """A place where a replayed turn came out differently."""

    path: str
    """As ``delta.set.total``, ``sends[0].body``, ``result``."""
    before: Any
    """As recorded; None where there was nothing."""
    after: Any
    severity: Severity
    """``high``: the state, the result or the outcome; ``medium``: what it sends or shares;
    ``low``: how it got there."""


class Replay(msgspec.Struct, frozen=True):
    """One turn that was replayed, or one execution of a hook."""

    id: str
    """Of the recorded turn, or of the execution, in the history."""
    kind: str
    key: str
    name: str
    """What the message called; of an execution the hook."""
    mode: Mode
    outcome: Outcome
    score: float = 0.0
    """The share of what was compared that came out the same: 1 is all."""
    findings: list[ReplayFinding] = []
    missing: list[str] = []
    """What it wanted and its recording does not have."""
    recorded: dict[str, Any] = {}
    replayed: dict[str, Any] = {}
    exact: bool = True
    """Whether the turn could be recorded as it was."""
    error: str = ""
    """Why it could not be replayed."""
    point: str = ""
    """Of an execution of a hook: where it ran."""

    @property
    def same(self) -> bool:
        """Whether it came out as it was recorded, be it a result or an error."""
        return self.outcome in ("same", "failed")

    def __str__(self) -> str:
        """Return which it is: ``17.0 Desk/emea.assign``, ``17.1 spell at message.before``."""
        if self.point:
            return f"{self.id} {self.name} at {self.point}"
        return f"{self.id} {self.kind}/{self.key}.{self.name}"
