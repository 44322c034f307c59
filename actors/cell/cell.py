"""The cell of an agent: what is known of it while it is in memory.

A cell lives from the first message until its agent is dormant. The activation in it (an instance
of the agent class with its state) comes and goes: made on the first message, dropped on failure,
stop or passivation, always from and to what is committed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Awaitable, Callable, Container
from typing import Any, Final, Protocol

from blinker import Signal

from ...hooks.trace import TraceContext
from ...lifecycle.clock import Clock
from ...lifecycle.durability import AutoSave, Durability
from ...lifecycle.groups import SupervisionTree
from ...lifecycle.restart import Intensity
from ...lifecycle.signals import AgentEvent, fire
from ...lifecycle.status import Status
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.names.scope import Principal
from ...persistence.records.records import Commit, Reply
from ...persistence.schema.evolution import Evolution
from ...persistence.store.store import Store
from ...shared.access.boundaries import Boundary
from ...shared.access.policy import Policy
from ...shared.ledger.desk import Desk
from ...shared.ledger.ledger import Ledger
from ...shared.scopes.state import ScopedState
from ..agent.blueprint import Blueprint
from ..pool.agenda import Agenda, Errand
from ..pool.dispatcher import Dispatcher
from ..pool.future import Future
from ..pool.loop import HandlerLoop
from ..pool.mailbox import Mailbox, MailHold
from ..talk.beside import WorkPlace
from ..talk.control import Control, Verb
from ..talk.turn import Letter, PassedLetter, PassedStoredLetter, Turn, outside_turns
from .activation import Activation
from .attempts import Attempts
from .chains import identified
from .graves import Graves
from .hooks import HookOffice, TurnHooks
from .newcomers import Newcomers
from .timers import TimerService

logger = logging.getLogger("perdure.actors")

_holds_lock: Final = threading.Lock()


class CellKeeper(Protocol):
    """Keep the cells of a system."""

    def replace(self, cell: AgentCell, failed: Letter | None, error: Exception) -> None:
        """Put a fresh cell, with all the mail, in the place of one that hangs."""
        ...

    def cell(self, kind: str, key: str) -> AgentCell:
        """Return the agent's cell, making it if it has none."""
        ...

    def forget(self, cell: AgentCell) -> None:
        """Drop a closed cell."""
        ...

    def bury(self, cell: AgentCell, append: Callable[[], int]) -> tuple[int, AgentCell]:
        """Append the commit that deletes an agent; return its sequence, and the cell behind it."""
        ...


class Leftovers(Protocol):
    """Remove what deleted agents have left in the store, behind the commits that deleted them."""

    def begin(self, sequence: int) -> None:
        """Begin when a deletion is durable."""
        ...

    def behind(self, reply_to: Reply) -> Reply:
        """Return a reply that leaves when nothing is left of what its commit deletes."""
        ...

    def finish(self) -> None:
        """Remove all of it, on this thread."""
        ...


class WorkBeside(Protocol):
    """Run what turns begin beside the turns of their agents."""

    closing: bool
    """Nothing more of it is to begin."""

    def is_left(self, cell: AgentCell, name: str) -> bool:
        """Tell whether the agent of a piece of work has stopped, and is to hear no more of it."""
        ...

    def goes_on(self, cell: AgentCell, name: str) -> bool:
        """Tell whether a piece of work that is cancelled is to be begun again."""
        ...

    def leave(self, cell: AgentCell, error: Exception | None) -> None:
        """Cancel the work of an agent that stops; with an error tell it to those who wait."""
        ...

    def nap(self, seconds: float) -> Awaitable[None]:
        """Sleep as any coroutine does, until the system closes at most."""
        ...

    def pause(self, cell: AgentCell, name: str, seconds: float, what: str) -> Awaitable[None]:
        """Wait in a piece of work on the system's clock; ``what`` tells people what comes then."""
        ...

    def askers(self, future: Future[Any] | None) -> Container[WorkPlace]:
        """Return the work that waits, over whatever chain, for the answer to an ask."""
        ...

    def follow(self, cell: AgentCell, turn: Turn, sequence: int) -> None:
        """Do what a turn wants, behind the append of its commit."""
        ...


class Tracing(Protocol):
    """Know the trace of each chain of messages."""

    def begins(self, correlation: int) -> None:
        """Take note that a chain begins here, before its first message leaves."""
        ...

    watched: bool
    """Somebody asks for the spans of turns: which turn made which commit is to be noted."""

    def made(self, sequence: int, message: int) -> None:
        """Take note that the turn of a message made a commit, before what it sent arrives."""
        ...

    def span(self, letter: Letter) -> TraceContext:
        """Return the trace and the span of a message's turn."""
        ...

    def spanned(self, letter: Letter) -> tuple[TraceContext, str]:
        """Return the trace and the span of a message's turn, and the span of what led to it."""
        ...


class Surroundings(Protocol):
    """What a cell needs from the system it lives in."""

    store: Store
    supervisor: PersistenceSupervisor
    dispatcher: Dispatcher
    loop: HandlerLoop
    clock: Clock
    timers: TimerService
    tree: SupervisionTree
    agenda: Agenda
    ledger: Ledger
    graves: Graves
    """Who was deleted, and when."""
    attempts: Attempts
    """How often what waits was begun by processes before this one."""
    desk: Desk
    """Answers for calls on shared state."""
    hooks: HookOffice
    """Who listens, and what they need."""
    policy: Policy
    evolution: Evolution
    """The schemas of the store and of the classes."""
    state: ScopedState
    """What agents share, as ``system.state``."""
    facade: Any
    """The AgentSystem that handlers see as ``self.system``, and the sender of signals."""
    guarded: bool
    """An outage or a shutdown is under way: look closer before each message."""
    closing: bool
    recovering: bool
    """Mail of an earlier process may still wait in the store."""
    sharers: set[str]
    """Kinds whose agents have shared something: the turns of others may do so, too."""
    newcomers: Newcomers
    """Whose agents may be new."""
    owed: set[tuple[str, str]]
    """Agents that were woken for such mail and have not read it yet."""
    first_letter: int
    """The smallest id of this process's letters."""
    largest_value: int
    auto_save: AutoSave
    """For classes without an ``autosave`` of their own."""
    tick: float
    """A clock that is good to a second and costs nothing to read."""

    def next_agent(self) -> int:
        """Return a number for a new agent."""
        ...

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...

    def hand_on(
        self, kind: str, key: str, message: object, *, reply: bool
    ) -> tuple[AgentCell, PassedLetter | PassedStoredLetter]:
        """Return a message of the turn under way as a letter to another agent."""
        ...

    def deliver(self, kind: str, key: str, letter: Letter) -> None:
        """Put a letter into an agent's mailbox."""
        ...

    def deliver_first(self, leaving: list[Any]) -> None:
        """Put the first of some letters that leave together into its agent's mailbox, once."""
        ...

    def order(self, kind: str, key: str, control: Control) -> None:
        """Put a control before an agent's mail."""
        ...

    def reference(self, kind: str, key: str) -> Any:  # noqa: ANN401 - AgentRef is above
        """Return a reference to an agent."""
        ...

    @property
    def leftovers(self) -> Leftovers:
        """Removes what deleted agents have left."""
        ...

    @property
    def beside(self) -> WorkBeside:
        """Runs what goes on beside turns."""
        ...

    @property
    def traces(self) -> Tracing:
        """Which trace each chain of messages belongs to."""
        ...

    @property
    def keeper(self) -> CellKeeper:
        """Where the cell is kept."""
        ...


class AgentCell:
    """Hold an agent's mailbox, status and activation.

    Touched only by the mailbox's runner, but for the mailbox itself and the holds.
    """

    __slots__ = (
        "_principal", "activation", "again", "backoff", "blueprint", "error", "holds", "home",
        "hooks", "intensity", "key", "last_sequence", "mail_loaded", "mailbox", "missing",
        "pending", "reason", "receives", "restarting", "seen", "shares", "snapshot", "status",
        "turn", "turn_limit", "turns", "unread", "used", "volatile",
    )  # fmt: skip

    def __init__(self, home: Surroundings, blueprint: Blueprint, key: str) -> None:
        """Make a cell without an activation; its mailbox takes messages at once."""
        self.home = home
        self.blueprint = blueprint
        self.key = key
        self.volatile = blueprint.durability is Durability.VOLATILE
        self.snapshot = blueprint.durability is Durability.SNAPSHOT
        self.receives = blueprint.receives
        self.turn_limit = blueprint.turn_limit
        self.mailbox = Mailbox(limit=blueprint.agent_class.mailbox_limit)
        self.activation: Activation | None = None
        self.status = Status.ACTIVE
        self.reason = ""
        self.error = ""
        """The latest failure, for people."""
        self.last_sequence = 0
        """The agent's latest commit in this process: an activation must not load before it is
        durable."""
        self.seen = 0
        """The latest commit a reply may know of and must wait for. For an agent that is not saved
        with each turn its own saves are none: its replies do not promise that they are there."""
        self.unread = True
        """Its agent was never looked for by it."""
        self.missing = False
        """The store had no such agent while it was unread."""
        self.mail_loaded = not home.recovering and (blueprint.kind, key) not in home.owed
        self.holds: tuple[MailHold, ...] = ()
        self.turn: Turn | None = None
        self.pending: Any = None
        """What ``launch`` begins when the mailbox is suspended."""
        self.intensity: Intensity | None = None
        self.backoff: object | None = None
        """The wait before a restart, if one is under way."""
        self.restarting = False
        self.again = 0
        """Times in a row that a turn of this agent was overtaken."""
        strict = blueprint.agent_class.boundary is Boundary.STRICT
        self.shares = not strict or blueprint.kind in home.sharers
        """Whether its turns may be overtaken: they write, or may write, what others do."""
        self.turns = 0
        self.used = math.inf
        """When it last came to rest, by ``home.tick``; never so far if infinite."""
        self._principal: Principal | None = None
        self.hooks: TurnHooks | None = None
        """Who listens to its turns."""

    @property
    def kind(self) -> str:
        """The agent's kind."""
        return self.blueprint.kind

    @property
    def principal(self) -> Principal:
        """Whom its turns speak for; made when the agent first shares something."""
        if self._principal is None:
            self._principal = Principal.agent(self.blueprint.kind, self.key)
        return self._principal

    def __str__(self) -> str:
        return f"{self.blueprint.kind}/{self.key}"

    def is_new(self) -> bool:
        """Tell whether it has not handled its first envelope yet, or is at it."""
        return self.used == math.inf

    def hold(self, why: MailHold) -> None:
        """Keep the mail waiting for reason ``why``, besides others."""
        with _holds_lock:
            if why not in self.holds:
                self.holds = (*self.holds, why)
            self.mailbox.hold()
        # A stop waits its turn among the mail; where the mail stands still it must not.
        self.mailbox.expedite(Control)
        self.home.agenda.look()

    def unhold(self, why: MailHold) -> None:
        """End one reason to hold; the mail goes on when none is left."""
        with _holds_lock:
            self._unhold(why)

    def _unhold(self, why: MailHold) -> None:
        self.holds = tuple(hold for hold in self.holds if hold != why)
        if not self.holds:
            self.mailbox.release()  # also if nothing was held: who was struck here comes again

    def begin_backoff(self) -> object:
        """Hold the mail before a restart; the wait it returns replaces one under way."""
        wait = object()
        with _holds_lock:
            self.backoff = wait
        self.hold(MailHold.BACKOFF)
        return wait

    def end_backoff(self, wait: object) -> None:
        """End that wait, unless another has replaced it."""
        with _holds_lock:
            if self.backoff is not wait:
                return
            self.mailbox.put_urgent(Control(Verb.BEGIN, edge=False))
            self._unhold(MailHold.BACKOFF)
            self.backoff = None  # last: who is struck before does all of it once more

    def put_back(self, *letters: Letter) -> None:
        """Put letters before the waiting mail; that of its successor if this cell was replaced."""
        home = self.home
        cell: AgentCell = self
        while letters and not cell.mailbox.put_back(*letters):
            if home.closing:
                return  # what is durable is in the store
            home.keeper.forget(cell)
            cell = home.keeper.cell(self.kind, self.key)
            if home.graves:
                dead = home.graves.hold
                letters = tuple(x for x in letters if not dead(self.kind, self.key, x))
        if cell is not self:
            home.order(self.kind, self.key, Control(Verb.WAKE, edge=False))

    @property
    def live(self) -> bool:
        """Whether the agent is in memory: who was answered that it stopped may look at once."""
        return self.activation is not None and self.status is not Status.STOPPED

    def drop(self) -> None:
        """End the activation, if there is one; the next message makes another."""
        if self.activation is not None:
            self.activation.writer.revoked = True
            self.activation = None

    def commit(self, name: str, letter: Letter | None = None) -> Commit:
        """Return a commit of this agent, still without effects."""
        if letter is not None and not letter.correlation:
            identified(self.home, letter)
        commit = Commit(
            self.blueprint.kind, self.key, self.status, self.reason, self.home.clock.now(), name
        )
        if letter is not None:
            commit.message, commit.cause = letter.id, letter.cause
            commit.correlation = letter.correlation
        return commit

    def fire(
        self,
        signal: Signal,
        *,
        reason: str = "",
        error: BaseException | None = None,
        activation: Activation | None = None,
    ) -> None:
        """Send a signal about this agent, or about an ``activation`` it has just dropped.

        Costs nothing while nobody listens.
        """
        if not signal.receivers:
            return
        activation = activation or self.activation
        version = activation.writer.version if activation is not None else 0
        event = AgentEvent(
            self.kind, self.key, version, self.status, self.home.clock.now(), reason, error
        )
        if self.home.clock.calls_here():
            self.errand(lambda: self._tell(signal, event))
        else:
            self._tell(signal, event)

    def errand(self, call: Callable[[], object]) -> None:
        """Have a worker make a call: it is people's code, and the clock's thread must go on."""
        Errand(self.home.agenda, call).send(self.home.dispatcher)

    def _tell(self, signal: Signal, event: AgentEvent) -> None:
        # A receiver is not part of the turn: what it sends is sent at once.
        with outside_turns(), self.home.dispatcher.blocking():
            fire(signal, self.home.facade, event, self.home.clock.monotonic)
