"""The agents that are measured."""

from __future__ import annotations

from perdure import Agent, Durability, Log, State


class CountState(State):
    """One number."""

    count: int = 0


class Counter(Agent[CountState]):
    """Counts its messages; nothing is stored."""

    durability = Durability.VOLATILE

    def on_receive(self, message: object) -> int:
        """Count a message; answer with the count."""
        if message == "add":
            self.state.count += 1
        return self.state.count

    def add(self, by: int) -> None:
        """Count what a method was called with."""
        self.state.count += by


class SavedCounter(Counter):
    """Counts its messages; the count is stored every second."""

    durability = Durability.SNAPSHOT


class DeskState(State):
    """A desk with two small fields."""

    open: int = 0
    owner: str = ""


class Desk(Agent[DeskState]):
    """Takes assignments; each is durable before its answer arrives."""

    def assign(self, owner: str) -> int:
        """Take an assignment."""
        self.state.open += 1
        self.state.owner = owner
        return self.state.open

    def look(self) -> int:
        """Tell how many are open, and change nothing."""
        return self.state.open


class RecordedDesk(Desk):
    """The same desk, whose turns are recorded whole."""

    record = True


class TalkState(State):
    """A transcript."""

    transcript: Log[str] = Log.field()


class Talk(Agent[TalkState]):
    """A conversation."""

    def say(self, text: str) -> int:
        """Add to the transcript."""
        self.state.transcript.append(text)
        return len(self.state.transcript)

    def length(self) -> int:
        """Tell how long the transcript is."""
        return len(self.state.transcript)
