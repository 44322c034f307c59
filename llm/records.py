"""What is stored of agents that think: the steps of their runs, the runs, what was used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from ..persistence.options import Options
from ..persistence.state.log import Log
from ..persistence.state.map import Map
from ..persistence.state.state import State

Effect = Literal["safe", "idempotent", "once", "turn"]
"""What running a tool a second time would do: see ``tool``."""
MODEL: Final = "model"
TOOL: Final = "tool"

Why = Literal["in doubt", "approval", "question"]
"""What a run waits for."""
RunStatus = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]
RAISED: Final = "tool_failed"
"""The kind of what a tool that has raised is taken down as."""
FAILED: Final = frozenset({RAISED, "model_retry", "validation_error"})
"""Kinds of stored results of tools that have failed, and of which the model is told."""
ENDED: Final = frozenset({"done", "failed", "cancelled"})
What = Literal[
    "asked", "begun", "done", "failed", "held", "waits", "decided", "steered", "closed", "ended",
    "compacted", "edited",
]  # fmt: skip


class RunStep(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened in a run, in a commit of its own; the transcript is made of them."""

    what: What
    run: str
    at: float
    """Seconds since the epoch."""
    op: Literal["", "model", "tool"] = ""
    """What it is about, if about a call."""
    nth: int = 0
    """Which model call of the run it is, or belongs to, from 1."""
    call: str = ""
    """The id that the model gave to a call of a tool."""
    name: str = ""
    """The model or the tool."""
    attempt: int = 1
    body: Any = None
    """What was said, asked, answered or decided: JSON."""
    seconds: float = 0.0


class StepPlace(msgspec.Struct, frozen=True):
    """Which step of which run it is."""

    run: str
    op: Literal["model", "tool"]
    nth: int
    call: str
    name: str


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run has used so far."""

    models: int = 0
    """Model calls begun."""
    tools: int = 0
    """Tool calls begun."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    """In the currency of the prices."""

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.tokens_in + self.tokens_out

    @classmethod
    def of(cls, answer: Any) -> Usage:  # noqa: ANN401 - JSON
        """Return what an answer of a model has used, as it is stored."""
        usage = answer.get("usage", {})
        return cls(
            tokens_in=usage.get("input_tokens", 0),
            tokens_out=usage.get("output_tokens", 0),
            cost=answer.get("cost", 0.0),
        )

    def plus(self, other: Usage) -> Usage:
        """Return both together."""
        return Usage(
            self.models + other.models,
            self.tools + other.tools,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost + other.cost,
        )


class Budget(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run may use; a step that would exceed it is not begun. None: no limit."""

    steps: int | None = 100
    """Model calls."""
    tools: int | None = None
    """Tool calls."""
    tokens: int | None = None
    """In and out."""
    cost: float | None = None
    seconds: float | None = None
    """From the beginning of the run, waiting for people included."""

    def left(self, used: Usage) -> Budget:
        """Return what is left of it."""
        return Budget(
            None if self.steps is None else self.steps - used.models,
            None if self.tools is None else self.tools - used.tools,
            None if self.tokens is None else self.tokens - used.tokens,
            None if self.cost is None else self.cost - used.cost,
        )

    def within(self, other: Budget) -> Budget:
        """Return what neither exceeds."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        least = (min((x for x in pair if x is not None), default=None) for pair in pairs)
        return Budget(*least)


class RunWait(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run waits for."""

    why: Why
    call: str
    name: str
    args: Any
    since: float
    reason: str = ""
    """Why a hook has it wait."""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run as it stands."""

    id: str
    status: RunStatus
    asked: float
    first: int
    """Where its steps begin in the transcript."""
    start: int = -1
    """Where the transcript ended when it began to work: what it knows of before."""
    begun: float = 0.0
    ended: float = 0.0
    waiting: tuple[RunWait, ...] = ()
    output: Any = None
    error: str = ""
    keeps: int | None = None
    """Messages that are kept as they are, where it sums up those before for ``compact``."""
    budget: Budget = Budget()
    spent: Usage = Usage()
    """At its end."""
    kind: str = ""
    """What its agent's kind was called when it was asked: the keys of its calls begin with that."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class RunRetention:
    """Keep the last runs of an agent that have ended: ``runs``, none older than ``seconds``.

    ``None`` is no limit. A run goes when another ends; its steps stay in the transcript, its answer
    in the store's history as far as that is kept. Who asks by the name of one that is gone has it
    made anew.
    """

    runs: int | None = 1000
    """From 10: those who asked look at the run once more when they have its answer."""
    seconds: float | None = None
    """Since its end."""

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        options = Options(self)
        options.whole("runs", least=10, none="no limit")
        options.seconds("seconds", none="no limit")


class RunEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reader of a run is told."""

    number: int
    """To go on behind it, ask with ``after=number``."""
    what: Literal[
        "asked", "begun", "done", "failed", "held", "waits", "decided", "steered", "closed",
        "ended", "edited", "text", "end",
    ]  # fmt: skip
    """"text" is a piece of an answer under way, which is not stored; "end" is the last event."""
    op: Literal["", "model", "tool"] = ""
    name: str = ""
    call: str = ""
    body: Any = None
    """The step's; the text; of "end" the answer."""
    error: str = ""


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """What calls of a model or a tool came to, each counted once."""

    calls: int = 0
    """Ended, well or not."""
    failures: int = 0
    doubts: int = 0
    """Times that a call was begun and its end is not known: it was cut off, by whatever."""
    seconds: float = 0.0
    """Of all calls that ended."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


class ThinkingState(State):
    """The state of an agent that thinks; derive its state class from it."""

    transcript: Log[RunStep] = Log.field()
    """All its runs, step by step."""
    runs: Map[str, Run] = Map.field()
    tallies: Map[str, Tally] = Map.field()
    """By "model" or "tool", a slash and the name."""
    current: str = ""
    """The run at work or waiting for somebody."""
    queue: Map[int, str] = Map.field()
    """Runs that have not begun, by where they begin in the transcript."""
    queued: int = 0
    """How many these are."""
    ended: Map[int, str] = Map.field()
    """The runs that have ended and are kept, in order, by how many had ended by then."""
    ends: int = 0
    """How many have ended, those that are gone included."""
