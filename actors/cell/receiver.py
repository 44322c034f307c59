"""A cell at work: takes envelopes from its mailbox and runs them as turns."""

from __future__ import annotations

import logging
from types import CoroutineType
from typing import Any, Final, cast

from pykka._introspection import get_attr_directly
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from ...lifecycle import signals
from ...persistence.errors import SystemClosed, TurnTimeout
from ...shared.ledger.ledger import Stale
from ..pool.mailbox import NOTHING, MailHold, Outcome
from ..talk.control import Control, Verb
from ..talk.copies import PLAIN
from ..talk.turn import (
    Alarm,
    AskedLetter,
    Decider,
    KeptLetter,
    Letter,
    OldLetter,
    OwnTurn,
    StoredLetter,
    Turn,
    as_letter,
    current,
)
from . import (
    controls,
    failure,
    guards,
    isolation,
    limits,
    methods,
    retry,
    settlement,
    start,
    suspects,
)
from .activation import Activation
from .cell import AgentCell

logger = logging.getLogger("perdure.actors")

_LETTERS: Final = frozenset({Letter, AskedLetter, KeptLetter, StoredLetter})
"""Classes that need no second look before an active agent handles them."""

_AGAIN: Final = frozenset({Stale, retry.TryLater})
"""What is no failure of a handler: its message is handled again."""

_TEMPORARY: Final = frozenset(
    {MailHold.BACKOFF, MailHold.UNSAVED, MailHold.PROVING, MailHold.ENDED}
)
"""Holds that are known only in memory."""


def handle(agent: object, message: object) -> object:
    """Give a message to an agent as pykka does; a coroutine is returned, not run."""
    if isinstance(message, ProxyCall):
        path, args, kwargs = message
        method = getattr(agent, path[0]) if len(path) == 1 else get_attr_directly(agent, path)
        return method(*args, **kwargs) if kwargs else method(*args)
    if isinstance(message, ProxyGetAttr):
        return get_attr_directly(agent, message.attr_path)
    if isinstance(message, ProxySetAttr):
        # It would replace a method, with the rights of this agent, for everybody.
        where = ".".join(message.attr_path)
        raise AttributeError(f"{where!r} cannot be set from outside; call a method")  # noqa: TRY004
    return agent.on_receive(message)  # type: ignore[attr-defined]


class RunningCell(AgentCell):
    """Be the receiver of the cell's mailbox. ``receive`` runs inside the agent's context."""

    __slots__ = ()

    _handle = staticmethod(handle)
    """Gives a message to the agent; a coroutine is returned, not run."""

    def receive(self, envelope: Any) -> Outcome | None:  # noqa: ANN401 - bare messages too
        """Handle one letter, control or bare message."""
        activation = self.activation
        if (
            activation is None
            or not activation.started
            or self.home.guarded
            or (envelope.__class__ not in _LETTERS and envelope.__class__ not in PLAIN)
        ):
            letter = self.mailbox.hand = as_letter(envelope)
            return self._receive_carefully(letter)
        self.turns += 1
        if envelope.__class__ in PLAIN:
            # In hand as what it is handled as, so that it is known again if it is put back.
            envelope = self.mailbox.hand = Letter(envelope)
        return self._run(activation, envelope)

    def _receive_carefully(self, envelope: Letter) -> Outcome | None:
        if self.home.guarded and not guards.may_go_on(self, envelope):
            return None
        if isinstance(envelope, Control):
            if envelope.verb is Verb.DONE:
                return self._handler_done(envelope)
            return controls.obey(self, envelope)
        activation = self.activation
        if activation is None or not activation.started:
            outcome = start.make_ready(self, envelope)
            activation = self.activation
            if outcome is not None or activation is None or not activation.started:
                return outcome
        if envelope.timer is not None and not guards.still_wanted(self, activation, envelope):
            return None
        return self._run_counted(activation, envelope)

    def _run_counted(self, activation: Activation, letter: Letter) -> Outcome | None:
        """Run a turn; count it first if a process before this one may have begun it."""
        if not isinstance(letter, OldLetter | Alarm) or not letter.suspect:
            self.turns += 1
            return self._run(activation, letter)
        waits, outcome = suspects.begin(self, letter)
        if not waits:
            self.turns += 1
            outcome = self._run(activation, letter)
            suspects.prove(self)
        return outcome

    def recover(self, envelope: Any) -> Outcome | None:  # noqa: ANN401 - bare messages too
        """Go on with what was in hand when its runner was struck."""
        if self.pending is not None:
            return Outcome.SUSPENDED if self.turn is not None else Outcome.RETRY
        turn, activation = self.turn, self.activation
        if turn.__class__ is OwnTurn:
            methods.recover(self)
            return self.receive(envelope)
        if turn is None or activation is None or turn.letter is not envelope:
            return self.receive(envelope)
        current.set(turn)
        return self._go_on(activation, turn)

    def _go_on(self, activation: Activation, turn: Turn) -> Outcome | None:
        """Bring a turn that was interrupted to its end, or begin it again."""
        if turn.failed is not None:
            # A letter that is buried by a commit is not tried again.
            if turn.counts:
                failure.restart(self, turn.failed, None)
            else:
                failure.fail(self, activation, turn, turn.failed)
        elif turn.counts:
            settlement.finish(self, turn)
        elif turn.settling and (self.volatile or self.snapshot):
            settlement.settle(self, activation, turn, turn.result)
        else:
            return self._begin_again(activation, turn)
        self._end(turn)
        return None

    def _begin_again(self, activation: Activation, turn: Turn) -> Outcome | None:
        """Undo an interrupted turn and handle its message afresh; that is no attempt of it."""
        letter = turn.letter
        if turn.settling:
            self.drop()  # some of it may be taken for committed
        else:
            activation.rollback()
        if turn.unit is not None:
            self.home.ledger.give_up(turn.unit)
            self.home.desk.forgo(turn.unit)
        if letter.body:
            # The handler may have changed its arguments in place.
            letter.message = self.blueprint.calls.decode(letter.name, letter.body, self.key)
        elif turn.kept is not None:
            letter.message = turn.kept
        if turn.watch is not None:
            turn.watch.cancel()
        self.mailbox.hand, self.turn = letter, None
        current.set(None)
        return self.receive(letter)

    def broke(self, envelope: object, error: BaseException) -> None:
        """Answer whoever waits; what was not committed is dropped, messages stay in the store.

        Only our own machinery comes this far: the committer has ended (fenced off, closed), the
        mailbox was closed at the wrong moment, or there is a defect.
        """
        logger.error("%s could not go on with a message", self, exc_info=error)
        turn = self.turn
        if turn is not None and turn.counts and turn.failed is None:
            settlement.finish(self, turn)
            self._end(turn)
            return
        self.turn = None
        current.set(None)
        self.drop()
        for letter in (as_letter(envelope), turn.letter if turn is not None else None):
            if letter is not None and letter.reply_to is not None:
                letter.reply_to.fail(error)

    def launch(self) -> None:
        """Begin what the mailbox was suspended for."""
        pending = self.pending
        if pending is not None:
            pending()
            if self.pending is pending:  # afterwards: an interrupted launch is made again
                self.pending = None

    def drained(self) -> None:
        """Leave memory for good when the agent is dormant, durable and has no mail."""
        self.used = self.home.tick
        if self.activation is None:
            self.retire()

    def retire(self) -> None:
        """Close the cell if nothing keeps it; may be called by any thread."""
        if self.mailbox.close_if_idle(self._is_spent):
            self.home.keeper.forget(self)

    def leave(self) -> bool:
        """Leave memory at once, if nothing has to be done for that; may be called by any thread.

        False if something is: the agent has a say in it or somebody is told of it, there is mail,
        or something to save. Then it takes a control.
        """
        if self.home.guarded or self.blueprint.passivates or signals.agent_passivated.receivers:
            return False
        if not self.mailbox.close_if_idle(self._can_leave):
            return False
        self.home.keeper.forget(self)
        return True

    def _can_leave(self) -> bool:
        """Drop an activation that has nothing to save; tell whether the cell is spent then.

        Asked as ``_is_spent`` is. Nobody runs, so nobody else touches the activation.
        """
        if self.activation is not None and (self.activation.dirty() or not self._is_durable()):
            return False
        self.drop()
        return self._is_spent()

    def _is_spent(self) -> bool:
        """Tell whether the store knows all that this cell does.

        Asked under the mailbox's lock while nobody runs: a look before that could be out of date,
        and a state that is only in memory would go with the cell.
        """
        return (
            self.activation is None
            and self._is_durable()
            and not any(hold in _TEMPORARY for hold in self.holds)
        )

    def _is_durable(self) -> bool:
        return self.last_sequence <= self.home.supervisor.committer.durable

    def _run(self, activation: Activation, letter: Letter) -> Outcome | None:
        turn = Turn(self, letter)
        if self.shares:
            retry.keep_message(turn)
        self.turn = turn
        current.set(turn)
        limit = self.turn_limit
        if limit is not None:
            turn.watch = limits.watch(self, turn, limit)
        try:
            result = self._handle(activation.agent, letter.message)
            # No call: what is thrown in from here on is not the handler's.
            if result.__class__ is CoroutineType:
                coroutine = cast("CoroutineType[Any, Any, object]", result)
                self.pending = lambda: self._launch_handler(turn, coroutine)
                return Outcome.SUSPENDED
            turn.result, turn.settling = result, True  # then the look: system/isolator.py says why
            if (limit is not None or self.home.policy.ever) and self._too_late(activation, turn):
                return Outcome.GONE
            settlement.settle(self, activation, turn, result)
        except BaseException as error:
            if turn.struck_by(error):
                raise  # a worker goes on with it
            turn.settling = True
            if error.__class__ not in _AGAIN:
                turn.failed = error  # no call before: else a turn that failed could be settled
            if self._too_late(activation, turn):
                return Outcome.GONE
            if not self._handled_again(activation, turn, error):
                failure.fail(self, activation, turn, error)
        self._end(turn)
        return None

    def _end(self, turn: Turn) -> None:
        if turn.watch is not None:
            turn.watch.cancel()
        current.set(None)
        # In one moment: a letter in hand without a turn has not been begun.
        self.mailbox.hand, self.turn = NOTHING, None

    def _handled_again(self, activation: Activation, turn: Turn, error: BaseException) -> bool:
        """Undo a turn whose message is to be handled again; False for a failure."""
        return error.__class__ in _AGAIN and retry.begins_again(self, activation, turn, error)

    def _too_late(self, activation: Activation, turn: Turn) -> bool:
        """Tell whether the clock or an isolation has ended a turn before its handler did."""
        limited = self.turn_limit is not None
        if limited and not turn.decide(Decider.RUNNER) and turn.decided is Decider.CLOCK:
            limits.came_too_late(self, turn)
            return True
        return self.home.policy.ever and isolation.lost(self, activation, turn)

    def _launch_handler(self, turn: Turn, coroutine: CoroutineType[Any, Any, object]) -> None:
        def done(result: object, error: BaseException | None) -> None:
            ended = Control(Verb.DONE, value=result, error=error, edge=False)
            # Who has taken the turn from its runner answers for it, on another thread maybe.
            if not self.mailbox.resume(ended) and turn.decided is not Decider.CLOCK:
                refuse(turn.letter)

        if self.mailbox.is_closed():
            coroutine.close()
            refuse(turn.letter)
            return
        turn.cancel = self.home.loop.start(coroutine, self.mailbox.context, done)

    def _handler_done(self, control: Control) -> Outcome | None:
        turn, activation = self.turn, self.activation
        if turn is None:
            return None  # ended already, and interrupted behind that
        assert activation is not None
        if turn.counts or turn.failed is not None:
            return self._go_on(activation, turn)
        if turn.settling and not self.volatile and not self.snapshot:
            return self._begin_again(activation, turn)
        turn.result, turn.settling = control.value, True
        if self._too_late(activation, turn):
            return Outcome.GONE
        error = control.error
        letter = turn.letter
        try:
            if error is None:
                settlement.settle(self, activation, turn, control.value)
        except BaseException as raised:
            if turn.struck_by(raised):
                raise
            error = raised
        if error is not None and not self._handled_again(activation, turn, error):
            error = TurnTimeout(turn.overdue) if turn.overdue else error
            failure.fail(self, activation, turn, error)
        self._end(turn)
        if letter.marked:
            suspects.prove(self)
        return None


def refuse(letter: Letter) -> None:
    """Tell the asker of a turn that the system was closed under it."""
    if letter.reply_to is not None:
        letter.reply_to.fail(SystemClosed("the agent system was closed before the handler ended"))
