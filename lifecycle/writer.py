"""The right to commit for one agent."""

from __future__ import annotations

from typing import Protocol

from ..persistence.errors import PerdureError
from ..persistence.records.records import Commit
from ..persistence.store.committer import stale


class Intake(Protocol):
    """Take commits on their way to the store."""

    def append(self, commit: Commit) -> int:
        """Take a commit and return its sequence."""
        ...


class Writer:
    """The right of one activation to commit for one agent; revoked when the activation ends."""

    __slots__ = ("_intake", "agent", "quiet", "revoked", "sequence", "version")

    def __init__(self, intake: Intake, agent: int, version: int, sequence: int) -> None:
        """Commit for ``agent``, whose latest commit is ``version``, at ``sequence``."""
        self._intake = intake
        self.agent = agent
        self.version = version
        self.sequence = sequence
        self.revoked = False
        self.quiet = False

    def submit(self, commit: Commit) -> int:
        """Append a commit of this agent as its next version and return its sequence.

        PerdureError if this activation lost its right, also just now, or the commit holds another
        agent's rows.
        """
        if self.revoked:
            raise stale(commit)
        commit.agent = self.agent
        commit.writer = self
        commit.version = self.version + 1
        commit.previous = self.sequence
        delta = commit.delta
        if delta is not None:
            # Plain loops: this is on the path of every turn.
            agent = self.agent
            if delta.agent != agent:
                raise _foreign(commit)
            if not delta.plain:
                for place in (*delta.items, *delta.entries):
                    if place[0] != agent:
                        raise _foreign(commit)
        return self._intake.append(commit)


def _foreign(commit: Commit) -> PerdureError:
    return PerdureError(f"{commit.kind}/{commit.key} tried to write another agent's state")
