"""Carries messages from references to cells, at once or when the sender's turn commits."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Protocol, TypeVar

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from ...hooks.acting import apart
from ...hooks.following import FOLLOWED, led_to
from ...hooks.timeline.why import Provenance
from ...lifecycle.clock import VirtualClock
from ...lifecycle.status import Status
from ...persistence.errors import Denied, MailboxFull, PerdureError, SystemClosed
from ...persistence.names.keys import check_name
from ...persistence.names.scope import Scope
from ...persistence.records.page import Page
from ...persistence.records.records import Commit, JournalEntry
from ...persistence.state.state import State
from ...persistence.upkeep.entries import entries
from ...shared.ledger.guard import Right
from ...shared.ledger.unit import Unit
from ...shared.sessions.current import entered
from ...shared.timeline.timelines import Timelines
from ..cell.cell import AgentCell, Surroundings
from ..cell.chains import asker_of, cause_after, chain_of, follow
from ..cell.isolation import refuse_cut_off
from ..cell.receiver import RunningCell
from ..cell.settlement import row
from ..cell.steps import quarantined
from ..patterns.sharing import Sharing
from ..pool.future import Future
from ..pool.mailbox import MailHold
from ..talk.beside import at_work
from ..talk.control import Control, Verb
from ..talk.copies import PLAIN, detach
from ..talk.description import AgentDescription, describe
from ..talk.recorded import RecordedFuture
from ..talk.reference import AgentRef
from ..talk.turn import (
    AskedLetter,
    KeptLetter,
    Letter,
    PassedLetter,
    PassedStoredLetter,
    StoredLetter,
    Turn,
    agent_here,
    begun_in,
    collecting_in,
    current,
    under_way_in,
)
from .cells import Keeper
from .forks import EarlierStates
from .helper import AskHelper
from .traces import GIVEN

L = TypeVar("L", StoredLetter, KeptLetter, PassedStoredLetter)

_PROXIED: Final = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr})

_PROGRAMS: Final = frozenset({Verb.DELETE, Verb.ERASE, Verb.FORK})
"""What no agent may ask of another, whatever it was granted."""
LIFECYCLE: Final = "(lifecycle)"
"""Stands for the key where a right to direct an agent is asked for: a grant of ``*`` has it."""


class Exchange(Surroundings, Protocol):
    """Where the post works."""

    closed: bool
    """Nothing is handled any more."""
    sharing: Sharing
    timeline: Timelines
    earlier: EarlierStates


class PostOffice:
    """Carry messages, wait for room, tell who comes too late (reference.Post)."""

    def __init__(
        self, home: Exchange, keeper: Keeper, letters: Iterator[int], *, mailbox_wait: float
    ) -> None:
        """Carry messages to the cells of ``keeper``; ``letters`` numbers them.

        A sender outside a turn waits up to ``mailbox_wait`` seconds for room.
        """
        self._home = home
        self._keeper = keeper
        self._letters = letters
        self._mailbox_wait = mailbox_wait
        self._helper = AskHelper(
            home.dispatcher, home.loop, home.supervisor.committer, look=home.agenda.look,
            clock=home.clock if isinstance(home.clock, VirtualClock) else None,
        )  # fmt: skip

    def alive(self) -> bool:
        """Tell whether the system takes messages."""
        return not self._home.closing

    def tell(self, ref: AgentRef[Any], message: object) -> None:
        """Send a message; inside a turn it is sent when the turn commits."""
        if self._home.policy.ever:
            refuse_cut_off(self._home)
        known = ref.cell
        cell = known if isinstance(known, RunningCell) else self._cell_of(ref)
        if not cell.receives and message.__class__ not in _PROXIED:
            raise _unreceived(cell)
        turn = collecting_in(self._home)
        if turn is None:
            self._tell_from_outside(ref, cell, message)
            return
        if cell.mailbox.full(len(turn.sends)) and cell.mailbox.full(turn.sent_to(cell)):
            raise _full(cell)
        if cell.volatile:
            chain = chain_of(self._home, turn)
            turn.send(cell, Letter(detached(message), correlation=chain))
        else:
            turn.send(cell, self._stored_letter(cell, message, turn))

    def stream(self, ref: AgentRef[Any], run: str, after: int) -> AsyncIterator[Any]:
        """Iterate over the events of a run: the room of agents that think does it."""
        events: AsyncIterator[Any] = self._home.facade.runs.stream(ref, run, after=after)
        return events

    def hand_on(
        self, kind: str, key: str, message: object, *, reply: bool
    ) -> tuple[RunningCell, PassedLetter | PassedStoredLetter]:
        """Return a message of the turn under way as a letter to another agent.

        One that carries the reply is stored no more than any ask.
        """
        check_name("key", key)
        cell, turn = self._keeper.cell(kind, key), under_way_in(self._home)
        if not cell.receives and message.__class__ not in _PROXIED:
            raise _unreceived(cell)
        if not reply and not cell.volatile:
            return cell, self._stored_letter(cell, message, turn, PassedStoredLetter)
        letter = PassedLetter(detached(message), letter_id=next(self._letters))
        if turn is not None:
            letter.correlation = chain_of(self._home, turn)
        return cell, letter

    def enclose(
        self,
        ref: AgentRef[Any],
        message: object,
        unit: Unit,
        *,
        once: bool,
        within: bool = False,
    ) -> None:
        """Have a message leave with the turn under way, else with the commit of ``unit``.

        With ``once`` it is left out where the same commit brings an equal one already. ``within``
        the session that the unit is in, if it is in one.
        """
        known = ref.cell
        cell = known if isinstance(known, RunningCell) else self._cell_of(ref)
        turn = collecting_in(self._home)
        if cell.volatile:
            letter = Letter(detached(message))
            letter.correlation = unit.standing.correlation
        else:
            letter = self._stored_letter(cell, message, turn)
        if letter.correlation < 0 and not within:
            # A session goes on where its own agents speak to each other. Who only listens is told
            # outside of it: to be in a session is a right, and where to keep what one makes.
            letter.correlation = letter.id
        leaving: Any = unit.mail if turn is None else turn.sends
        if (
            once
            and letter.body
            and any(
                other is cell and (sent.name, sent.body) == (letter.name, letter.body)
                for other, sent in leaving
            )
        ):
            return
        if turn is None:
            unit.mail.append((cell, letter))
        else:
            turn.send(cell, letter)

    def _tell_from_outside(  # noqa: C901 - one path, taken by every tell
        self, ref: AgentRef[Any], cell: RunningCell, message: object
    ) -> None:
        home = self._home
        if home.closing:
            raise closed()
        if home.guarded:
            self._wait_for_relief(cell)
        if cell.mailbox.limit is not None and cell.mailbox.full():
            self._wait_for_room(cell)
        # A bare value is no burden for the garbage collector while it waits; a letter is.
        letter: object = message
        chained = entered(None) or not (
            current.get() is None and FOLLOWED.get() is None and GIVEN.get() is None
        )
        if cell.volatile:
            if chained or message.__class__ not in PLAIN:
                letter = Letter(detached(message))
                if chained:
                    letter.id = next(self._letters)
                    self._begin(letter)
        elif cell.snapshot and not cell.holds:
            # As durable as the agent itself: stored when it is paused or the system closes. Until
            # then nobody needs its text, if it is clear already that it has one.
            if not cell.blueprint.calls.proven(message):
                letter = self._stored_letter(cell, message, None, KeptLetter)
            elif chained or message.__class__ not in PLAIN:
                letter = KeptLetter(message, letter_id=next(self._letters))
                letter.correlation = letter.id
                if chained:
                    self._begin(letter)
                letter.name = letter.body = ""  # encoded when it is stored; the message is proven
                letter.sent = home.clock.now()
        else:
            self._store_and_put(cell, self._stored_letter(cell, message, None))
            return
        while not cell.mailbox.put(letter):
            cell = self._cell_of(ref)

    def _store_and_put(self, cell: RunningCell, letter: StoredLetter) -> None:
        home = self._home
        leaving: list[Any] = [(cell, letter)]
        commit = Commit()
        commit.with_effects().sends = [row(cell.kind, cell.key, letter)]
        try:
            letter.placed = home.supervisor.append(commit)
            # The cell is known before the look: deletion.py says why.
            if home.graves or not cell.mailbox.put_first(leaving):
                home.deliver_first(leaving)
        except BaseException:
            if commit.sequence and leaving:  # it is in the store, or will be
                home.dispatcher.requeue(Delivery(home, leaving))
            raise

    def ask(  # noqa: C901, PLR0912 - one path, taken by every ask
        self, ref: AgentRef[Any], message: object
    ) -> Future[Any]:
        """Send a message at once and return the reply's future."""
        home = self._home
        if home.policy.ever:
            refuse_cut_off(home)
        known = ref.cell
        cell = known if isinstance(known, RunningCell) else self._cell_of(ref)
        if not cell.receives and message.__class__ not in _PROXIED:
            raise _unreceived(cell)
        turn = under_way_in(self._home)
        # What a hook of the system asks is not the turn's: in a replay the hook does not run.
        notes = None if turn is None or apart.get() is not None else turn.notes
        tape = None if notes is None else notes.tape
        future: Future[Any] = Future() if tape is None else RecordedFuture()
        future.target = cell
        if message.__class__ in _PROXIED:
            future.path = message.attr_path  # type: ignore[attr-defined]
        letter: Letter
        if turn is None:
            letter = Letter(detached(message), future, letter_id=next(self._letters))
            self._begin(letter)
            if home.closing:
                future.fail(closed())
                return future
            work = at_work.get()
            if work is not None:
                future.work = work
        else:
            letter = AskedLetter(
                detached(message), future, edge=False, letter_id=next(self._letters)
            )
            follow(letter, home, turn, asker_of(home, turn))
            letter.knows = max(turn.cell.last_sequence, turn.cell.seen)
            future.asker = turn
            turn.asked = True
            if tape is not None:
                name = ".".join(future.path) if message.__class__ in _PROXIED else "on_receive"
                method = getattr(ref.actor_class, name, None)
                if tape.asked(f"{ref.kind}/{ref.key}.{name}", future, method):
                    return future
        mailbox = cell.mailbox
        if home.guarded or (mailbox.limit is not None and mailbox.full()):
            refusal = self._refusal(cell)
            if refusal is not None:
                future.fail(refusal)
                return future
        if cell.status is Status.QUARANTINED:
            cell = self._cell_of(ref)  # the reference may remember one that is long gone
            if cell.status is Status.QUARANTINED:
                future.fail(quarantined(cell))
                return future
        future.helper = self._helper
        while not cell.mailbox.put(letter, offer=turn is None):
            cell = future.target = self._cell_of(ref)
        if cell.holds and (
            home.guarded or cell.status is Status.QUARANTINED or MailHold.ISOLATED in cell.holds
        ):
            # It may have come behind mail that began to wait just now, for which it must not.
            cell.mailbox.put_urgent(Control(Verb.REFUSE, edge=False))
        if home.closed:
            refuse_all(cell)
        return future

    def refuse_undirected(self, ref: AgentRef[Any], operation: str) -> None:
        """Raise Denied unless the caller may take steps of an agent's lifecycle.

        The system may, the agent itself, those above it in its family, and who was granted all
        rights on its scope.
        """
        desk = self._home.desk
        who = desk.standing().principal
        if who.kind != "agent" or (who.id, who.part) == (ref.kind, ref.key):
            return
        if not self._home.sharing.family().leads(who, ref):
            scope = Scope.agent(ref.kind, ref.key)
            desk.allow(desk.unit(), Right.ALL, scope, LIFECYCLE, operation)

    def control(self, ref: AgentRef[Any], verb: Verb, value: object = None) -> Future[Any]:
        """Have a lifecycle step taken and return its future; Denied to who may not direct it."""
        home = self._home
        if verb in _PROGRAMS:
            refuse_agents(f"{'delete' if verb is Verb.ERASE else verb} {ref}")
        self.refuse_undirected(ref, verb.name.lower())
        if home.policy.ever:
            refuse_cut_off(home)
        turn = under_way_in(self._home)
        future: Future[Any] = Future()
        future.path = (verb.value,)
        if home.closing:
            future.fail(closed())
            return future
        if home.supervisor.ended is not None:
            future.fail(home.supervisor.ended)
            return future
        future.asker = turn
        future.helper = self._helper
        control = Control(verb, future, value=value, edge=turn is None)
        control.id = next(self._letters)
        if turn is None:
            self._begin(control)
        else:
            follow(control, home, turn, asker_of(home, turn))
        while True:
            cell = future.target = self._cell_of(ref)
            put = cell.mailbox.put if verb is Verb.STOP else cell.mailbox.put_urgent
            if put(control):
                break
        if verb is Verb.STOP and cell.holds:
            cell.mailbox.expedite(Control)
        if home.closed:
            refuse_all(cell)
        return future

    def history(
        self, ref: AgentRef[Any], *, after: int | None, limit: int, newest: bool
    ) -> Page[JournalEntry]:
        """Return a page of an agent's commits, oldest first."""
        if agent_here() not in (None, (ref.kind, ref.key)):
            refuse_agents(f"read the history of {ref}")
        store = self._home.store
        return entries(store, ref.kind, ref.key, after=after, limit=limit, newest=newest)

    def state_at(self, ref: AgentRef[Any], version: int) -> State:
        """Return what an agent's state was."""
        if agent_here() not in (None, (ref.kind, ref.key)):
            refuse_agents(f"read the history of {ref}")
        return self._home.earlier.state(ref.kind, ref.key, version)

    def describe(self, ref: AgentRef[Any]) -> AgentDescription:
        """Return how an agent stands; why, and what it calls, to those who may direct it."""
        cell, store = self._keeper.cells.get((ref.kind, ref.key)), self._home.store
        load = functools.cache(functools.partial(store.load, ref.kind, ref.key))
        found = describe(store, ref.kind, ref.key, cell, load)
        tallies = ref.actor_class._tallied(store, load)  # noqa: SLF001 - as its kind counts
        if not found.reason and not found.error and not tallies:
            return found
        # Such a text may hold what the agent alone should know.
        if self._directs(ref):
            return dataclasses.replace(found, tallies=tallies)
        return dataclasses.replace(found, reason="", error="")

    def _directs(self, ref: AgentRef[Any]) -> bool:
        """Tell whether the caller may direct an agent; nothing is used up or noted by that."""
        desk = self._home.desk
        standing = desk.standing()
        who = standing.principal
        if who.kind != "agent" or (who.id, who.part) == (ref.kind, ref.key):
            return True
        scope = Scope.agent(ref.kind, ref.key)
        led = self._home.sharing.family().leads(who, ref)
        return led or desk.guard.check(standing, Right.ALL, scope, LIFECYCLE).allowed

    def why(self, ref: AgentRef[Any], field: str, path: tuple[str | int, ...]) -> Provenance:
        """Return why a value of an agent's state is what it is, as far as the caller may see it."""
        return self._home.timeline.why(ref, field, *path)

    def rests(self, ref: AgentRef[Any]) -> bool:
        """Tell whether an agent takes no mail at this moment: paused, quarantined, isolated."""
        if self._home.policy.isolated(ref.kind, ref.key):
            return True
        return self.describe(ref).status in (Status.PAUSED, Status.QUARANTINED)

    def _cell_of(self, ref: AgentRef[Any]) -> RunningCell:
        """Return the cell a reference leads to, and let the reference remember it."""
        cell = self._keeper.cells.get((ref.kind, ref.key))
        while cell is None or cell.mailbox.is_closed():
            if cell is not None:
                self._keeper.forget(cell)
            cell = self._keeper.cell(ref.kind, ref.key, here=not _in_event_loop())
        ref.cell = cell
        return cell

    def _stored_letter(
        self,
        cell: AgentCell,
        message: object,
        turn: Turn | None,
        kind: type[L] = StoredLetter,  # type: ignore[assignment]  # L where none is given
    ) -> L:
        """Make a letter that stands alone: encoded, and decoded afresh for the receiver."""
        name, body, fresh = cell.blueprint.calls.encode(message, cell.key)
        letter = kind(fresh, letter_id=next(self._letters))
        if turn is None:
            self._begin(letter)
        else:
            letter.correlation = chain_of(self._home, turn)
        letter.name = name
        letter.body = body
        letter.sent = self._home.clock.now()
        return letter

    def _begin(self, letter: Letter) -> None:
        """Begin a chain with a letter from outside.

        It goes on with a session that was entered, or with the chain of a turn that is over, in
        whose context this is called: by a task or a thread that goes on, or by a hook.
        """
        if current.get() is None and FOLLOWED.get() is None and GIVEN.get() is None:  # most
            letter.correlation = entered(None) or letter.id
            return
        origin, session = begun_in(self._home), entered(None)
        if session or origin is None:
            correlation, letter.cause = led_to(self._home)
            letter.correlation = session or correlation or letter.id
            if not letter.cause:
                self._home.traces.begins(letter.correlation)
            return
        follow(letter, self._home, origin, cause_after(origin))

    def _wait_for_relief(self, cell: AgentCell) -> None:
        """Hold up a sender from outside while too much is unsaved, so that memory is bounded."""
        supervisor = self._home.supervisor
        if supervisor.ended is not None:
            raise supervisor.ended
        if not supervisor.swamped:
            return
        if not _in_event_loop():
            with self._home.dispatcher.blocking():
                if supervisor.wait_for_relief(self._mailbox_wait):
                    return
        message = (
            f"{cell} cannot take more: {supervisor.committer.backlog():,} commits are unsaved; "
            "send more slowly, or open the system with a larger Saving(most_unsaved=...)"
        )
        raise MailboxFull(message)

    def _wait_for_room(self, cell: AgentCell) -> None:
        if _in_event_loop() or under_way_in(self._home) is not None:
            raise _full(cell)
        with self._home.dispatcher.blocking():
            if not cell.mailbox.wait_for_space(self._mailbox_wait):
                raise _full(cell)

    def _refusal(self, cell: RunningCell) -> PerdureError | None:
        """Return why an ask cannot be taken now; waits for room in a full mailbox."""
        supervisor = self._home.supervisor
        if self._home.guarded and supervisor.hinders(cell.blueprint.agent_class.when_unsaved):
            refusal = supervisor.refusal()
            if refusal is not None:
                return refusal
        if cell.mailbox.full():
            try:
                self._wait_for_room(cell)
            except MailboxFull as error:
                return error
        return None


class Delivery:
    """Work: letters whose sender was interrupted between their commit and their mailboxes."""

    def __init__(self, home: Surroundings, leaving: list[Any]) -> None:
        """Put what is left of ``leaving`` into its mailboxes."""
        self._home = home
        self._leaving = leaving

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Deliver what is left."""
        while self._leaving:
            self._home.deliver_first(self._leaving)
        return True


def detached(message: object) -> object:
    """Return a message without ties to its sender's state."""
    if not isinstance(message, ProxyCall):
        return detach(message)
    path, args, kwargs = message
    for value in args:
        if value.__class__ not in PLAIN:
            return ProxyCall(path, detach(args), detach(kwargs))  # type: ignore[arg-type]
    return ProxyCall(path, args, detach(kwargs)) if kwargs else message  # type: ignore[arg-type]


def _unreceived(cell: AgentCell) -> TypeError:
    name = cell.blueprint.agent_class.__name__
    message = f"{name} has no on_receive; call a method, as in ref.cast({name}.method, ...)"
    return TypeError(message)


def refuse_all(cell: RunningCell) -> None:
    """Close a cell's mailbox; whoever waits is told that the system is closed."""
    turn = cell.turn
    if turn is not None and turn.letter.reply_to is not None:
        # It did not end in time, and nothing it could do now would be kept.
        turn.letter.reply_to.fail(closed())
    for envelope in cell.mailbox.close():
        if isinstance(envelope, Letter) and envelope.reply_to is not None:
            envelope.reply_to.fail(closed())


def refuse_agents(what: str) -> None:
    """Raise Denied in what an agent runs: only the system may do that."""
    who = agent_here()
    if who is not None:
        message = f"{'/'.join(who)} may not {what}; only the system may, and an agent itself"
        raise Denied(message)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _full(cell: AgentCell) -> MailboxFull:
    return MailboxFull(
        f"{cell} has {len(cell.mailbox):,} messages waiting, its limit; send more slowly or raise"
        f" {cell.blueprint.agent_class.__name__}.mailbox_limit"
    )


def closed() -> SystemClosed:
    """Return the error for whoever comes too late."""
    return SystemClosed("the agent system is closed; open it again to send messages")
