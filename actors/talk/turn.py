"""One message handled by one agent, and everything it wants to happen if it succeeds."""

from __future__ import annotations

import contextlib
import enum
import functools
import threading
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from pykka._envelope import Envelope

from ...hooks.acting import apart, refuse_replayed
from ...hooks.history.recording import Recorder
from ...hooks.hook import HookRun
from ...hooks.trace import TraceContext
from ...lifecycle.clock import DelayedCall
from ...persistence.names.scope import Principal
from ...persistence.records.records import Commit, Timer
from ...shared.ledger.unit import EndingUnit, Unit
from ..pool.cell import Cell
from .beside import Wishes

if TYPE_CHECKING:
    from ..pool.future import Future

P = ParamSpec("P")
R = TypeVar("R")

_deciding: Final = threading.Lock()


class Letter(Envelope[Any]):
    """An envelope to an agent: the message, and where it comes from.

    Made by the hundred thousand a second, so what only some letters have stands in subclasses.
    """

    __slots__ = ("attempts", "cause", "correlation", "edge", "id")

    reply_to: Future[Any] | None

    durable: bool = False
    """There is, or will be, a row in the mailbox table that a commit must remove."""
    name: str = ""
    """What is called, as stored."""
    body: str = ""
    """The message, as stored."""
    sent: float = 0.0
    timer: Timer | None = None
    marked: int = 0
    """Which attempt was counted before it was begun; 0 for mail of this process."""
    passed: tuple[str, ...] = ()
    """Whose hooks have handed its message on, in this process."""

    @property
    def seen(self) -> int:
        """The latest commit that its sender may know of."""
        return self.cause

    def __init__(
        self,
        message: object,
        reply_to: Future[Any] | None = None,
        *,
        edge: bool = True,
        letter_id: int = 0,
        cause: int = 0,
        correlation: int = 0,
    ) -> None:
        """Hold a message; ``edge`` says that the reply leaves the system and waits for the disk."""
        self.message = message
        self.reply_to = reply_to  # pyright: ignore[reportIncompatibleVariableOverride] - narrower
        self.edge = edge
        self.id = letter_id
        self.cause = cause
        self.correlation = correlation
        self.attempts = 0


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an error is Ctrl-C, and not what somebody's code has raised by itself."""
    on_main = threading.current_thread() is threading.main_thread()
    return on_main and error.__class__ is KeyboardInterrupt


def as_letter(item: object) -> Letter:
    """Return a mailbox item as a letter; a bare message becomes one."""
    return item if isinstance(item, Letter) else Letter(item)


class AskedLetter(Letter):
    """A letter that was asked in a turn: its cause has no sequence yet, only its message's id."""

    __slots__ = ("knows",)

    knows: int

    @property
    def seen(self) -> int:
        """The latest commit that its sender may know of."""
        return self.knows


class StoredLetter(Letter):
    """A letter that survives the process: its row is written and removed by commits."""

    __slots__ = ("body", "name", "placed", "sent")

    placed: int
    """The commit that stored it; not set where that was an earlier process."""

    durable = True


class OldLetter(StoredLetter):
    """A stored letter of an earlier process, which may have begun to handle it."""

    __slots__ = ("found", "marked", "suspect")

    found: tuple[str, str]
    """The name and the body that it was stored with: by the schema that its id stands for."""
    marked: int
    suspect: bool
    """It is counted before it is handled."""


class PassedLetter(Letter):
    """A letter whose message a hook has handed on."""

    __slots__ = ("passed",)

    passed: tuple[str, ...]


class PassedStoredLetter(StoredLetter):
    """A stored letter whose message a hook has handed on."""

    __slots__ = ("passed",)

    passed: tuple[str, ...]


class KeptLetter(Letter):
    """A letter that could be stored and is not: mail of an agent that is saved now and then."""

    __slots__ = ("body", "name", "sent")


class Alarm(Letter):
    """A letter from a timer that fell due."""

    __slots__ = ("body", "marked", "name", "sent", "suspect", "timer")

    marked: int
    suspect: bool
    """It was due in an earlier process already, and is counted before it is handled."""


@dataclass(frozen=True, slots=True)
class TurnView:
    """What a handler may know of the turn in which it runs: ``self.turn``."""

    attempt: int
    """Which attempt this is to handle the message, from 1, over the ends of processes."""
    attempts: int
    """How many there are in all, then the message goes to the dead letters."""
    message: str
    """The method that is called; "on_receive" for a message to that."""
    correlation: int
    """What it belongs to: as in the journal."""
    _trace: Callable[[], TraceContext] = field(repr=False, compare=False)

    @property
    def traceparent(self) -> str:
        """The W3C trace context to hand on with calls to the outside world, for its header.

        Of the trace that was given at the edge (``with system.trace(...)``), else of one that
        begins now; the span is this message's, the same at every attempt.
        """
        return str(self._trace())

    @property
    def tracestate(self) -> str:
        """What to hand on beside ``traceparent``, for the header of that name; empty for nothing.

        It is what was given at the edge, of 512 characters at most.
        """
        return self._trace().state

    @property
    def last(self) -> bool:
        """Whether there is no other attempt."""
        return self.attempt >= self.attempts


class Decider(enum.Enum):
    """Who may decide how a turn ends."""

    RUNNER = "runner"
    """The one who runs it: its handler ended by itself."""
    CLOCK = "clock"
    """It was over its time limit."""
    ISOLATION = "isolation"
    """Its agent was cut off."""


class Notes:
    """What is kept of a turn in the history: what hooks did, and if it is recorded, all of it."""

    __slots__ = ("before", "deferred", "runs", "tape")

    def __init__(self, tape: Recorder | None) -> None:
        """Begin a turn; with a tape it is recorded."""
        self.runs: list[HookRun] = []
        self.tape = tape
        self.deferred = False
        """Whether calls of hooks were stored with its commit."""
        self.before: dict[str, Any] | None = None
        """The plain fields that it changes, as they were; None where nobody asks."""


class Turn:
    """Collect the effects of a handler until it returns.

    Effects are kept only if the handler returns; a handler that raises sends nothing.
    """

    __slots__ = (
        "asked", "beside", "cancel", "cell", "commit", "decided", "effects", "ending", "failed",
        "held_back", "kept", "letter", "notes", "overdue", "result", "sends", "settling", "steps",
        "timers", "unit", "value", "waits", "watch",
    )  # fmt: skip

    def __init__(self, cell: Cell, letter: Letter) -> None:
        """Begin to handle ``letter``."""
        self.cell = cell
        self.letter = letter
        self.asked = False
        """Whether the handler has asked others, and so may know what is not durable yet."""
        self.effects = False
        """Whether the handler asked for anything besides a change of its state."""
        self.sends: list[tuple[Cell, Letter]] | tuple[()] = ()
        self.timers: dict[str, Timer | None] | None = None
        """By name; None for one that is cancelled."""
        self.steps: list[str] | tuple[()] = ()
        """Lifecycle steps to take after the turn."""
        self.unit: Unit | None = None
        """What it has read and wants to change of what agents share."""
        self.kept: object = None
        """A copy of its message, if that can change and the turn may have to begin again."""
        self.ending: EndingUnit | None = None
        """That, found good and about to be committed."""
        self.waits: list[Cell] | tuple[()] = ()
        """Cells whose replies this turn is waiting for."""
        self.cancel: Callable[[], None] | None = None
        """Cancels an async handler that has a time limit."""
        self.overdue = ""
        """Why it was cancelled."""
        self.watch: DelayedCall | None = None
        """The call that gives it up when its time limit is over."""
        self.decided: Decider | None = None
        self.settling = False
        """Its handler has ended, and its runner sees to what becomes of it."""
        self.result: object = None
        """What its handler returned."""
        self.value: object = None
        """The reply: that without ties to the state."""
        self.held_back = False
        """The reply leaves with the commit, or is seen to by another."""
        self.commit: Commit | None = None
        """The commit that ends it. Once that has a sequence the turn counts, whatever happens."""
        self.notes: Notes | None = None
        """What is kept with its commit for the history; None where nobody listens."""
        self.failed: BaseException | None = None
        """Why it is undone."""
        self.beside: Wishes | None = None
        """What it wants of work beside the turns of its agent."""

    @property
    def counts(self) -> bool:
        """Whether the commit that ends it is appended: nothing may be undone or done again."""
        commit = self.commit
        return commit is not None and commit.sequence != 0

    def struck_by(self, error: BaseException) -> bool:
        """Tell whether an error is not its handler's: thrown into the thread that runs it.

        Then nothing is undone, and a worker goes on with the turn.
        So is what comes where no handler runs. In a handler on the main thread it is Ctrl-C, which
        its caller gets while a worker goes on with the turn. In others it is what they raise.
        """
        if self.counts:
            return True
        if isinstance(error, Exception):
            return False
        if self.settling:
            return True
        return is_interrupt(error)

    def decide(self, who: Decider) -> bool:
        """Let the first who asks decide how the turn ends; tell whether that is ``who``.

        Only where somebody else may want to end a turn than its runner: the clock where it has a
        time limit, an isolation.
        """
        with _deciding:
            if self.decided is None:
                self.decided = who
            return self.decided is who

    def send(self, cell: Cell, letter: Letter) -> None:
        """Send a letter when the turn commits."""
        self.effects = True
        if not self.sends:
            with _deciding:  # several threads of the turn may come first
                self.sends = self.sends or []
        self.sends.append((cell, letter))

    def sent_to(self, cell: Cell) -> int:
        """Return how many letters the turn has sent to ``cell`` so far."""
        return sum(target is cell for target, _ in self.sends)

    def set_timer(self, name: str, timer: Timer | None) -> None:
        """Set or cancel a timer when the turn commits."""
        self.effects = True
        with _deciding:
            self.timers = {**(self.timers or {}), name: timer}

    def wants(self) -> Wishes:
        """Return what it wants of work beside the turns, to be added to."""
        self.effects = True
        with _deciding:
            self.beside = self.beside or Wishes()
        return self.beside

    def take_step(self, step: str) -> None:
        """Take a lifecycle step after the turn."""
        self.effects = True
        self.steps = [*self.steps, step]


class OwnTurn(Turn):
    """One of an agent's own methods for the steps of its life: no message of the mailbox."""

    __slots__ = ("name",)

    def __init__(self, cell: Cell, letter: Letter, name: str) -> None:
        """Begin to run the method ``name``."""
        super().__init__(cell, letter)
        self.name = name


current: Final[ContextVar[Turn | None]] = ContextVar("perdure_turn", default=None)
"""The turn whose handler is running in this context."""


def whose(context: Context) -> str:
    """Say for people which agent something is done for; in a turn or not."""
    turn = context.get(current)
    return "a coroutine" if turn is None else str(turn.cell)


def under_way() -> Turn | None:
    """Return the turn whose handler is running in this context.

    None outside of turns, and in a task that goes on after the handler which began it: what it
    sends belongs to no turn any more.
    """
    turn = current.get()
    return turn if turn is None or turn.cell.turn is turn else None


def under_way_in(home: object) -> Turn | None:
    """Return the turn under way, if its agent lives in the system ``home``.

    What a handler wants of another system is wanted from outside: no commit holds both.
    """
    turn = current.get()
    if turn is None or turn.cell.turn is not turn or turn.cell.home is not home:
        return None
    return turn


def collecting_in(home: object) -> Turn | None:
    """Return the turn under way in ``home`` with whose commit leaves what is sent here.

    None for a hook that is no part of it: what that sends is sent at once.
    """
    if current.get() is None:  # mostly, for whoever sends much
        return None
    turn = under_way_in(home)
    return None if turn is None or apart.get() is not None else turn


def agent_here() -> tuple[str, str] | None:
    """Return the kind and key of the agent in whose name this runs, also in what its turn began.

    None where the system acts: in the program outside of turns, and in hooks of the system.
    """
    who, turn = apart.get(), current.get()
    if who is not None:
        refuse_replayed("the system")
        return None if who is Principal.SYSTEM else (who.id, who.part)
    return None if turn is None else (turn.cell.kind, turn.cell.key)


def begun_in(home: object) -> Turn | None:
    """Return the turn in which this context began, under way or over, if it is one of ``home``."""
    turn = current.get()
    return turn if turn is None or turn.cell.home is home else None


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that runs in this context, whichever thread calls it, and how often."""
    context = copy_context()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context is entered by one thread at a time: each call has its own copy.
        return context.copy().run(function, *args, **kwargs)

    return run


@contextlib.contextmanager
def outside_turns() -> Iterator[None]:
    """Run a block as if no turn was under way: what it sends is sent at once."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)
