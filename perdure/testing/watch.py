"""What one agent does, as it commits."""

from __future__ import annotations

from typing import Any

import msgspec

from .clock import SkippingClock
from .runlog import LoggedSignal, LoggedTurn, RunLog


class AgentWatch:
    """The turns of an agent since it is watched, each once it is durable, and its signals."""

    def __init__(self, log: RunLog, clock: SkippingClock, kind: str, key: str) -> None:
        """Watch ``kind/key`` from now on."""
        self._log, self._clock = log, clock
        self.kind, self.key = kind, key
        self._turns = len(log.turns(kind, key))
        self._signals = len(log.signals(f"{kind}/{key}"))
        self._seen = 0

    def __repr__(self) -> str:
        return f"<AgentWatch of {self.kind}/{self.key}: {len(self.turns)} turns>"

    @property
    def turns(self) -> list[LoggedTurn]:
        """The turns that are durable."""
        return self._log.turns(self.kind, self.key)[self._turns :]

    @property
    def signals(self) -> list[LoggedSignal]:
        """The signals, whether what they tell of is durable or not."""
        return self._log.signals(f"{self.kind}/{self.key}")[self._signals :]

    @property
    def sends(self) -> list[str]:
        """The messages its turns have sent: ``Kind/key.method``."""
        return [each for turn in self.turns for each in turn.sends]

    def expect(self, name: str, *, within: float = 0.0, **changed: object) -> LoggedTurn:
        """Return the next turn of that name, durable within so many seconds of the clock.

        ``changed``: plain fields that it must have set, to these values. Turns before it are passed
        over. AssertionError where there is none.
        """

        def found() -> LoggedTurn | None:
            turns = self.turns[self._seen :]
            return next((turn for turn in turns if turn.name == name), None)

        if not self._clock.within(within, lambda: found() is not None):
            names = [turn.name for turn in self.turns[self._seen :]]
            message = f"{self.kind}/{self.key} has not handled {name} within {within:g} s"
            raise AssertionError(f"{message}; its turns: {', '.join(names) or 'none'}")
        turn = found()
        assert turn is not None
        self._seen = self.turns.index(turn) + 1
        set_to: dict[str, Any] = msgspec.json.decode(turn.delta or "{}").get("set", {})
        for field, value in changed.items():
            if msgspec.to_builtins(value) != set_to.get(field):
                told = f"{set_to[field]!r}" if field in set_to else "nothing"
                message = f"{self.kind}/{self.key}.{name} set {field} to {told}, not {value!r}"
                raise AssertionError(message)
        return turn
