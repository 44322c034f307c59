"""A cell at work: takes envelopes from its mailbox and runs them as turns."""

from __future__ import annotations

import inspect
import logging
from types import CoroutineType
from typing import Any, Final

from pykka._introspection import get_attr_directly
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from ..lifecycle import signals
from ..lifecycle.status import Status, Step, after
from ..persistence.errors import CorruptState, StoreError, SystemClosed, TurnTimeout
from . import failing, opening, settling
from .activation import Activation
from .cell import AgentCell
from .control import Control, Verb
from .mailbox import Outcome
from .messages import PLAIN
from .steps import Steps, quarantined, refuse_askers
from .timing import is_skipped
from .turn import Letter, StoredLetter, Turn, as_letter, current

logger = logging.getLogger("perdure.actors")

_LETTERS: Final = frozenset({Letter, StoredLetter})
"""Classes that need no second look before an active agent handles them."""

_TEMPORARY: Final = frozenset({"backoff", "unsaved", "ended"})
"""Holds that are known only in memory."""


class RunningCell(AgentCell):
    """Be the receiver of the cell's mailbox. ``receive`` runs inside the agent's context."""

    __slots__ = ()

    def receive(self, envelope: Any) -> Outcome | None:
        """Handle one letter, control or bare message."""
        activation = self.activation
        if (
            activation is None
            or not activation.started
            or self.home.guarded
            or (envelope.__class__ not in _LETTERS and envelope.__class__ not in PLAIN)
        ):
            return self._receive_carefully(as_letter(envelope))
        self.turns += 1
        if envelope.__class__ in PLAIN:
            envelope = Letter(envelope)
        return self._run(activation, envelope)

    def _receive_carefully(self, envelope: Letter) -> Outcome | None:
        if self.home.guarded and not self._may_go_on(envelope):
            return None
        if envelope.__class__ is Control:
            return self._control(envelope)
        activation = self.activation
        if activation is None or not activation.started:
            outcome = self._open(envelope)
            activation = self.activation
            if outcome is not None or activation is None or not activation.started:
                return outcome
        if envelope.timer is not None and not self._still_wanted(activation, envelope):
            return None
        self.turns += 1
        return self._run(activation, envelope)

    def broke(self, envelope: Any, error: BaseException) -> None:
        """Answer whoever waits; what was not committed is dropped, messages stay in the store.

        Only our own machinery comes this far: the committer has ended (fenced off, closed), the
        mailbox was closed at the wrong moment, or there is a defect.
        """
        logger.error("%s could not go on with a message", self, exc_info=error)
        turn, self.turn = self.turn, None
        current.set(None)
        self.drop()
        for letter in (as_letter(envelope), turn.letter if turn is not None else None):
            if letter is not None and letter.reply_to is not None:
                letter.reply_to.fail(error)

    def launch(self) -> None:
        """Begin what the mailbox was suspended for."""
        pending, self.pending = self.pending, None
        pending()

    def drained(self) -> None:
        """Leave memory for good when the agent is dormant, durable and has no mail."""
        self.used = self.home.tick
        if self.activation is None:
            self.retire()

    def retire(self) -> None:
        """Close the cell if nothing keeps it; may be called by any thread."""
        if self.mailbox.close_if_idle(self._is_spent):
            self.home.forget(self)

    def _is_spent(self) -> bool:
        """Tell whether the store knows all that this cell does.

        Asked under the mailbox's lock while nobody runs: a look before that could be out of date,
        and a state that is only in memory would go with the cell.
        """
        return (
            self.activation is None
            and self.last_sequence <= self.home.supervisor.committer.durable
            and not any(hold in _TEMPORARY for hold in self.holds)
        )

    # Opening.

    def _open(self, letter: Letter) -> Outcome | None:
        """Make the activation ready for ``letter``; put the letter back if it must wait."""
        activation = self.activation
        if activation is None:
            outcome = self._load(letter)
            if outcome is not None or self.activation is None:
                return outcome
            activation = self.activation
        if not self.mail_loaded:
            try:
                old = opening.load_old_mail(self)
            except StoreError as error:
                return self._unreadable(letter, error)
            self.mailbox.put_back(*old, letter)
            return None
        if self.status in (Status.PAUSED, Status.QUARANTINED):
            self._keep_waiting(letter)
            return None
        if self.status is Status.STOPPED and letter.timer is not None:
            self.home.timers.cancelled(letter.timer[:3])  # known again at the next start
            self.drop()
            return None
        self._start(activation, letter)
        return None

    def _load(self, letter: Letter) -> Outcome | None:
        """Make the activation, or arrange for another try."""
        committer = self.home.supervisor.committer
        if self.last_sequence > committer.durable:
            sequence = self.last_sequence
            self.pending = lambda: self._wait_for(sequence)
            return Outcome.RETRY
        try:
            if opening.load(self) is None:
                return self._load(letter)  # repaired: read again once that is durable
        except StoreError as error:
            return self._unreadable(letter, error)
        except Exception as error:
            # The agent's own class: its __init__ or its state's defaults raised.
            logger.exception("%s cannot be made", self)
            if letter.reply_to is not None:
                letter.reply_to.fail(error)
            else:
                letter.attempts += 1
                self.fire(signals.agent_failed, reason="it cannot be made", error=error)
                failing.restart(self, error, letter)
        return None

    def _unreadable(self, letter: Letter, error: StoreError) -> Outcome | None:
        """Tell an asker; give up what is corrupt, and try again what may be readable later."""
        if isinstance(error, CorruptState):
            failing.reject(self, letter, error)
            if letter.reply_to is None:
                self.mailbox.put_back(letter)
            self._quarantine_unread(str(error))
            return None
        if letter.reply_to is not None:
            letter.reply_to.fail(error)
            return None
        return self._try_later(letter, error)

    def _wait_for(self, sequence: int) -> None:
        """Go on when a commit is durable."""

        def go_on() -> None:
            self.mailbox.resume()

        if not self.home.supervisor.committer.when_durable(sequence, go_on):
            go_on()

    def _try_later(self, letter: Letter, error: StoreError) -> Outcome | None:
        """Come back to a letter when the store may be readable again."""
        if self.home.closing and letter.reply_to is None:
            return None  # it is in the store, and nobody waits for it
        logger.warning("%s cannot be read and is tried again: %s", self, error)
        # Whoever waits behind the letter is told now: nobody knows how long this takes.
        refuse_askers(self, error, steps=True)
        if isinstance(letter, Control):  # it must not keep back the steps that people ask for
            order = letter
            self.home.later(1.0, lambda: self.home.order(self.kind, self.key, order))
            return None
        self.pending = lambda: self.home.later(1.0, self.mailbox.resume)
        return Outcome.RETRY

    def _quarantine_unread(self, reason: str) -> None:
        """Give up an agent whose state cannot be read; nothing in the store is changed."""
        self.status, self.reason = Status.QUARANTINED, reason
        self.hold("quarantined")
        refuse_askers(self, quarantined(self))
        logger.error("%s is quarantined: %s", self, reason)
        self.fire(signals.agent_quarantined, reason=reason)

    def _keep_waiting(self, letter: Letter) -> None:
        if self.status is Status.QUARANTINED and letter.reply_to is not None:
            failing.reject(self, letter, quarantined(self))
            return
        self.hold("paused" if self.status is Status.PAUSED else "quarantined")
        self.mailbox.put_back(letter)
        self._refuse_askers()  # those behind this letter

    def _start(self, activation: Activation, letter: Letter) -> None:
        """Run on_start as a turn before the first message; if it raises, nothing has started."""
        again = self.status is Status.STOPPED
        if again:
            self.status = after(str(self), self.status, Step.START)
        self.fire(signals.agent_starting)
        if self.blueprint.starts:
            begin = Letter(None, edge=False, correlation=letter.correlation)
            try:
                self._run_method(activation, "on_start", begin)
            except BaseException as error:
                activation.tracker.rollback()
                logger.warning("%s: on_start raised %r", self, error, exc_info=error)
                if letter.reply_to is not None:
                    failing.reject(self, letter, error)
                    failing.restart(self, error, None)
                else:
                    letter.attempts += 1
                    self.fire(signals.agent_failed, reason="on_start", error=error)
                    failing.restart(self, error, letter)
                return
        activation.started = True
        if again:  # also if the first turn changes nothing: its timers run again from now on
            self.last_sequence = activation.writer.submit(self.commit("(start)", letter))
            opening.know_timers(self, activation)
        self.fire(signals.agent_restarted if self.restarting else signals.agent_started)
        self.restarting = False

    # Running.

    def _run(self, activation: Activation, letter: Letter) -> Outcome | None:
        turn = Turn(self, letter)
        self.turn = turn
        current.set(turn)
        limit = self.blueprint.turn_limit
        watch = None
        if limit is not None:
            watch = self.home.clock.call_later(limit, lambda: self._too_long(turn))
        try:
            result = handle(activation.agent, letter.message)
            if result.__class__ is CoroutineType:
                self.pending = lambda: self._launch_handler(turn, result)
                return Outcome.SUSPENDED
            if watch is not None and not turn.decide("runner"):
                return self._came_too_late(turn)
            settling.settle(self, activation, turn, result)
        except BaseException as error:
            if watch is not None and not turn.decide("runner"):
                return self._came_too_late(turn)
            failing.fail(self, activation, turn, error)
        if watch is not None:
            watch.cancel()
        self.turn = None
        current.set(None)
        return None

    def _came_too_late(self, turn: Turn) -> Outcome:
        what = settling.describe(turn.letter)
        logger.warning("%s: %s came back after its time limit; it is dropped", self, what)
        return Outcome.GONE

    def _launch_handler(self, turn: Turn, coroutine: Any) -> None:
        def done(result: object, error: BaseException | None) -> None:
            ended = Control(Verb.DONE, value=result, error=error, edge=False)
            if not self.mailbox.resume(ended):
                refuse(turn.letter)

        if self.mailbox.is_closed():
            coroutine.close()
            refuse(turn.letter)
            return
        turn.cancel = self.home.loop.start(coroutine, self.mailbox.context, done)

    def _handler_done(self, control: Control) -> Outcome | None:
        turn, activation = self.turn, self.activation
        assert turn is not None
        assert activation is not None
        if self.blueprint.turn_limit is not None and not turn.decide("runner"):
            return self._came_too_late(turn)
        error = control.error
        try:
            if error is None:
                settling.settle(self, activation, turn, control.value)
        except BaseException as raised:
            error = raised
        if error is not None:
            error = TurnTimeout(turn.overdue) if turn.overdue else error
            failing.fail(self, activation, turn, error)
        self.turn = None
        current.set(None)
        return None

    def _run_method(self, activation: Activation, name: str, letter: Letter) -> None:
        """Run one of the agent's own hooks as a turn and settle it; raises what it raises."""
        turn = Turn(self, letter)
        self.turn = turn
        current.set(turn)
        try:
            result = getattr(activation.agent, name)()
            if inspect.iscoroutine(result):
                with self.home.dispatcher.blocking():
                    self.home.loop.run(result)
            settling.settle(self, activation, turn, None, f"({name})")
        finally:
            self.turn = None
            current.set(None)

    def _run_hook(self, activation: Activation, name: str) -> None:
        try:
            self._run_method(activation, name, Letter(None, edge=False))
        except BaseException:
            activation.tracker.rollback()
            logger.exception("%s: %s raised; the step goes on", self, name)

    # Guards.

    def _may_go_on(self, letter: Letter) -> bool:
        """Decide about a message during an outage or a shutdown; a refused one is taken care of."""
        home, reply_to = self.home, letter.reply_to
        supervisor = home.supervisor
        if supervisor.ended is not None:
            return self._may_end(letter, supervisor.ended)
        if letter.__class__ is Control:
            return True
        if home.closing and letter.edge:
            if letter.reply_to is not None:
                letter.reply_to.fail(SystemClosed("the agent system is closing"))
            # A message stays in the store, for the next time the system is opened.
            return False
        policy = self.blueprint.agent_class.when_unsaved
        if supervisor.hinders(policy):
            refusal = supervisor.refusal()
            if refusal is not None and reply_to is not None:
                reply_to.fail(refusal)
                return False
            self.mailbox.put_back(letter)
            self.hold("unsaved")
            if not supervisor.hinders(policy):  # that ended between the look and the hold
                self.unhold("unsaved")
            self._refuse_askers()
            return False
        return True

    def _may_end(self, letter: Letter, error: StoreError) -> bool:
        """Decide about an envelope after the store was lost: nothing begins any more."""
        if letter.__class__ is Control and letter.verb in (Verb.DONE, Verb.REFUSE):
            return True
        if letter.reply_to is not None:
            letter.reply_to.fail(error)
        elif letter.__class__ is not Control:
            self.mailbox.put_back(letter)
            self.hold("ended")
            self._refuse_askers()
        return False

    def _refuse_askers(self) -> None:
        """Tell those whose asks would wait here: for the store, or for a restart by hand."""
        if self.status is Status.QUARANTINED:
            refuse_askers(self, quarantined(self))
            return
        supervisor = self.home.supervisor
        refusal = supervisor.refusal()
        if refusal is not None and supervisor.hinders(self.blueprint.agent_class.when_unsaved):
            refuse_askers(self, refusal)

    def _still_wanted(self, activation: Activation, letter: Letter) -> bool:
        """Tell whether a timer that fired still stands; a skipped tick moves on without a turn."""
        timer = letter.timer
        assert timer is not None
        if activation.timers.get(timer.name) != timer:
            self.home.timers.unwanted(timer)
            return False
        try:
            letter.message = self.blueprint.calls.decode(timer.method, timer.body)
        except (ValueError, TypeError, AttributeError) as error:
            failing.bury(self, letter, f"it no longer decodes: {error}")
            return False
        if is_skipped(timer, self.home.clock.now()):
            letter.message = None
            settling.settle(self, activation, Turn(self, letter), None, "(skipped)")
            return False
        return True

    def _too_long(self, turn: Turn) -> None:
        """Give up a turn that is over its limit; called on the clock's thread.

        A coroutine is cancelled and gets as much time again to end. A thread cannot be stopped,
        nor can a coroutine that goes on: the cell is left to it and a fresh one takes over;
        whatever the old one still does is dropped.
        """
        if self.turn is not turn:
            return
        limit = self.blueprint.turn_limit
        assert limit is not None
        what = settling.describe(turn.letter)
        message = f"{self}: {what} ran longer than its limit of {limit} seconds"
        if turn.cancel is not None and not turn.overdue:
            turn.overdue = message
            self.fire(signals.turn_timed_out, reason=message)
            turn.cancel()
            self.home.clock.call_later(limit, lambda: self._too_long(turn))
        elif turn.decide("clock"):
            if not turn.overdue:
                self.fire(signals.turn_timed_out, reason=message)
            self._abandon(turn, TurnTimeout(message))

    def _abandon(self, turn: Turn, error: TurnTimeout) -> None:
        """Leave this cell to a turn that does not end; the runner can no longer commit it."""
        thread = self.mailbox.runner
        if thread is not None:
            self.home.dispatcher.lend_for(thread)
        if self.activation is not None:
            settling.save(self, self.activation, "(save)")  # the turns before this one
            self.activation.writer.revoked = True
        letter = turn.letter
        if letter.reply_to is not None:
            letter.reply_to.fail(error)
            self.home.replace(self, None, error)
        else:
            letter.attempts += 1
            self.home.replace(self, letter, error)

    # Controls.

    def _control(self, control: Control) -> Outcome | None:
        verb = control.verb
        if verb is Verb.DONE:
            return self._handler_done(control)
        if verb is Verb.REFUSE:
            self._refuse_askers()
            return None
        if verb is Verb.QUARANTINE:
            return self._quarantine(control)
        if verb is Verb.BEGIN:
            return self._begin(control)
        if verb in (Verb.SAVE, Verb.PASSIVATE) and self.activation is None:
            settling.release(self, control, None)
            return None
        if verb is Verb.RESTART and control.reason == "supervision" and self.activation is None:
            return None
        if self.activation is None:
            outcome = self._load(control)
            if outcome is not None or self.activation is None:
                return outcome
        try:
            self._take_step(verb, self.activation, control)
        except BaseException as error:
            if control.reply_to is None:
                logger.warning("%s: %s", self, error)
            failing.reject(self, control, error)
        return None

    def _begin(self, control: Control) -> Outcome | None:
        """Start a restarted agent without waiting for mail; if it may not now, mail will do it."""
        home = self.home
        if home.closing or home.supervisor.hinders(self.blueprint.agent_class.when_unsaved):
            return None
        if self.activation is None:
            outcome = self._load(control)
            if outcome is not None or self.activation is None:
                return outcome
        if not self.mail_loaded:
            self.mailbox.put_back(*opening.load_old_mail(self))
        if self.status is Status.ACTIVE and not self.activation.started:
            self._start(self.activation, control)
        return None

    def _quarantine(self, control: Control) -> Outcome | None:
        """Give the agent up; a dormant one is loaded, so that its status is durable."""
        if self.activation is None:
            if self.last_sequence > self.home.supervisor.committer.durable:
                return self._load(control)  # waits
            try:
                if opening.load(self) is None:
                    return self._load(control)  # repaired: waits
            except Exception as error:
                # Not through _load(): it would count as one more failure and come back here.
                logger.warning("%s: its quarantine is not durable: %r", self, error)
        steps.quarantine(self, self.activation, control)
        return None

    def _take_step(self, verb: Verb, activation: Activation, control: Control) -> None:
        if verb is Verb.PAUSE:
            steps.pause(self, activation, control)
        elif verb is Verb.RESUME:
            steps.resume(self, activation, control)
        elif verb is Verb.STOP:
            steps.stop(self, activation, control)
        elif verb is Verb.RESTART:
            steps.restart(self, activation, control)
        elif verb is Verb.SAVE:
            steps.save(self, activation, control)
        elif verb is Verb.PASSIVATE:
            steps.passivate(self, activation)
        elif verb is Verb.WAKE and not self.mail_loaded:
            try:
                self.mailbox.put_back(*opening.load_old_mail(self))
            except StoreError as error:
                self._unreadable(control, error)


steps = Steps(RunningCell._run_hook)  # type: ignore[arg-type]  # noqa: SLF001


def refuse(letter: Letter) -> None:
    """Tell the asker of a turn that the system was closed under it."""
    if letter.reply_to is not None:
        letter.reply_to.fail(SystemClosed("the agent system was closed before the handler ended"))


def handle(agent: object, message: object) -> object:
    """Give a message to an agent as pykka does; a coroutine is returned, not run."""
    if message.__class__ is ProxyCall:
        path = message.attr_path
        method = getattr(agent, path[0]) if len(path) == 1 else get_attr_directly(agent, path)
        return method(*message.args, **message.kwargs)
    if isinstance(message, ProxyGetAttr):
        return get_attr_directly(agent, message.attr_path)
    if isinstance(message, ProxySetAttr):
        parent = get_attr_directly(agent, message.attr_path[:-1])
        setattr(parent, message.attr_path[-1], message.value)
        return None
    return agent.on_receive(message)  # type: ignore[attr-defined]
