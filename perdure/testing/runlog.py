"""What happened in a test, line by line: turns as they committed, signals, faults, crashes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..lifecycle.signals import SIGNALS
from ..persistence.records.records import Commit
from ..persistence.store.batch import Batch

_LINES: Final = 40
_WIDE: Final = 160
_QUIET: Final = frozenset(
    {"agent_starting", "agent_started", "agent_passivated", "agent_pausing", "agent_resuming",
     "agent_stopping", "agent_deleting", "secret_found", "session_changed", "rotation_done"}
)  # fmt: skip
"""Signals that are no news, or that cost agents something once anybody listens."""


@dataclass(frozen=True, slots=True)
class LoggedTurn:
    """A turn that is durable: what was handled, what it changed, what it has set going."""

    kind: str
    key: str
    name: str
    """The method, or a lifecycle step such as "(pause)"."""
    version: int
    sequence: int
    time: float
    """Seconds since the epoch."""
    message: int
    """The id of the message that was handled."""
    delta: str
    """What it changed of the agent's state, as JSON; empty for nothing."""
    sends: tuple[str, ...] = ()
    """The messages it has sent: ``Kind/key.method``."""
    timers: tuple[str, ...] = ()
    """The timers it has set: ``method in 60 s``."""
    dead: tuple[str, ...] = ()
    """The messages it has given up."""

    @classmethod
    def of(cls, commit: Commit, now: float) -> LoggedTurn:
        """Return what a commit says."""
        effects, delta = commit.effects, commit.delta
        sends = () if effects is None else effects.sends
        timers = () if effects is None else effects.timers
        dead = () if effects is None else effects.dead
        return cls(
            commit.kind, commit.key, commit.name, commit.version, commit.sequence,
            commit.time or now, commit.message, delta.text() if delta else "",
            tuple(f"{each.kind}/{each.key}.{each.name or 'on_receive'}" for each in sends),
            tuple(f"{each.method} in {each.due - now:g} s" for each in timers),
            tuple(f"{each.kind}/{each.key}.{each.name or 'on_receive'}" for each in dead),
        )  # fmt: skip

    @property
    def agent(self) -> str:
        """``Kind/key``; empty for a commit of no agent."""
        return f"{self.kind}/{self.key}" if self.kind else ""

    def said(self) -> str:
        """Return it as a line for people."""
        parts = [
            self.delta,
            *(f"sends {each}" for each in self.sends),
            *(f"sets {each}" for each in self.timers),
            *(f"gives up {each}" for each in self.dead),
        ]
        return f"{self.agent or 'outside':<20} {self.name:<14} {' · '.join(filter(None, parts))}"


@dataclass(frozen=True, slots=True)
class LoggedSignal:
    """A signal about an agent, or about saving."""

    name: str
    agent: str
    reason: str
    error: str

    def said(self) -> str:
        """Return it as a line for people."""
        why = " ".join(filter(None, (self.reason, self.error)))
        return f"{self.agent or 'the system':<20} ! {self.name} {why}"


@dataclass(slots=True)
class RunLog:
    """Keep what happens, in order, for tests that fail and for those who watch an agent."""

    now: Callable[[], float]
    """Seconds since the epoch."""
    owns: Callable[[object], bool]
    """Whether a sender of signals is one of this run's systems."""
    entries: list[tuple[float, LoggedTurn | LoggedSignal | str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _receivers: dict[str, Callable[..., None]] = field(default_factory=dict)
    begun: float = 0.0
    """From when times are counted, in seconds since the epoch."""

    def __post_init__(self) -> None:
        """Count from now."""
        self.begun = self.now()

    def listen(self) -> None:
        """Hear the signals."""
        for name, signal in SIGNALS.items():
            if name not in _QUIET:
                receiver = self._receivers[name] = self._receiver(name)
                signal.connect(receiver, weak=False)

    def deafen(self) -> None:
        """Hear nothing more."""
        for name, receiver in self._receivers.items():
            SIGNALS[name].disconnect(receiver)
        self._receivers.clear()

    def took(self, batch: Batch) -> None:
        """Take note of a durable batch."""
        now = self.now()
        for commit in batch.commits:
            turn = LoggedTurn.of(commit, now)
            if turn.kind or turn.sends or turn.dead:
                self.note(turn)

    def note(self, entry: LoggedTurn | LoggedSignal | str) -> None:
        """Take note of something, now."""
        with self._lock:
            self.entries.append((self.now(), entry))

    def turns(self, kind: str = "", key: str | None = None) -> list[LoggedTurn]:
        """Return the turns so far, of all agents, of a kind or of one."""
        return [
            entry
            for _, entry in list(self.entries)
            if isinstance(entry, LoggedTurn)
            and (not kind or entry.kind == kind)
            and (key is None or entry.key == key)
        ]

    def signals(self, agent: str = "") -> list[LoggedSignal]:
        """Return the signals so far, of all or of one agent."""
        return [
            entry
            for _, entry in list(self.entries)
            if isinstance(entry, LoggedSignal) and (not agent or entry.agent == agent)
        ]

    def text(self, lines: int = _LINES) -> str:
        """Return the latest of what happened, for people."""
        entries = list(self.entries)
        shown = [self._line(when, entry) for when, entry in entries[-lines:]]
        before = [f"({len(entries) - lines} before that)"] if len(entries) > lines else []
        return "\n".join([*before, *shown])

    def _line(self, when: float, entry: LoggedTurn | LoggedSignal | str) -> str:
        said = f"-- {entry}" if isinstance(entry, str) else entry.said()
        line = f"{_elapsed(when - self.begun):>12}  {said}".replace("\n", " ")
        return line if len(line) <= _WIDE else f"{line[: _WIDE - 1]}…"

    def _receiver(self, name: str) -> Callable[..., None]:
        def told(sender: object, event: Any) -> None:  # noqa: ANN401 - one of several records
            if self.owns(sender):
                kind, key = getattr(event, "kind", ""), getattr(event, "key", "")
                error = getattr(event, "error", None)
                said = "" if error is None else f"{type(error).__name__}: {error}"
                agent = f"{kind}/{key}" if kind else ""
                self.note(LoggedSignal(name, agent, getattr(event, "reason", ""), said))

        return told


def _elapsed(seconds: float) -> str:
    """Return a span of time as people read it: ``+3d 01:00:05``."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    clock = f"{hours:02.0f}:{minutes:02.0f}:{rest:06.3f}".removesuffix(".000")
    return f"+{days:.0f}d {clock}" if days else f"+{clock}"
