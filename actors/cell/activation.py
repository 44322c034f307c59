"""A live instance of an agent with its state and its right to commit."""

from __future__ import annotations

from typing import Any

from ...lifecycle.writer import Writer
from ...persistence.records.records import Commit, Delta, Timer
from ...persistence.state.tracker import StateTracker
from ..agent.agent import Agent


class Activation:
    """Hold what lives from one start of an agent to the next drop."""

    __slots__ = (
        "_sent", "agent", "scheduled", "started", "stopped", "timers", "tracker", "unsaved",
        "unsaved_mail", "writer",
    )  # fmt: skip

    def __init__(
        self, agent: Agent[Any], tracker: StateTracker, writer: Writer, timers: list[Timer]
    ) -> None:
        """Begin with a loaded state; ``on_start`` has not run yet."""
        self.agent = agent
        self.tracker = tracker
        self.writer = writer
        self.started = False
        self.stopped = False
        """The agent was stopped, and the commit that says it no longer is is still to be made."""
        self.timers = {timer.name: timer for timer in timers}
        # What a SNAPSHOT agent has changed and consumed since its last save.
        self.unsaved: Delta | None = None
        self.unsaved_mail: list[int] = []
        self._sent: Commit | None = None  # it holds that, and may be appended
        self.scheduled = False
        """Whether an auto-save is under way."""

    def keep(self, delta: Delta | None, consumed: int | None) -> None:
        """Add a turn's changes to those of the next save; not twice, if this was interrupted."""
        if self._sent is not None:
            self._look_at_sent()
        if delta is not None:
            if self.unsaved is None:
                self.unsaved = delta
            elif self.unsaved is not delta:
                self.unsaved.merge(delta)
        if consumed is not None and consumed not in self.unsaved_mail[-1:]:
            self.unsaved_mail.append(consumed)
        self.tracker.offer = None

    def rollback(self) -> None:
        """Make the state what it was before the turn."""
        self.tracker.rollback()
        self.agent.state = self.tracker.state

    def dirty(self) -> bool:
        """Tell whether there is something to save."""
        if self._sent is not None:
            self._look_at_sent()
        tracker = self.tracker
        return (
            tracker.stale
            or tracker.offer is not None
            or self.unsaved is not None
            or bool(self.unsaved_mail)
        )

    def put_unsaved(self, commit: Commit) -> None:
        """Put what is unsaved into ``commit``, before what it holds itself.

        Invariant: that is what the turns have left that are over, whatever one does that is under
        way. So a save by whoever gives up a turn in its middle saves nothing of it.
        It stays unsaved until the commit is appended: who is struck before puts it into another.
        """
        if self._sent is not None:
            self._look_at_sent()
        while self.tracker.stale or self.tracker.offer is not None:
            self.keep(self.tracker.saved(), None)
        if self.unsaved is not None:
            if commit.delta is not None:
                self.unsaved.merge(commit.delta)
            commit.delta = self.unsaved
        if self.unsaved_mail:
            effects = commit.with_effects()
            effects.consumed = [*self.unsaved_mail, *effects.consumed]
        self._sent = commit

    def _look_at_sent(self) -> None:
        """Forget what is unsaved if the commit that it was put into is appended.

        No call between the look and the end: whoever is struck finds either all of it or nothing.
        """
        sent = self._sent
        if sent is not None and sent.sequence:
            self.unsaved = None
            self.unsaved_mail = []
        self._sent = None
