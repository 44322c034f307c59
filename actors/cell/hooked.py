"""A cell whose turns hooks listen to: what they answer decides what becomes of the message.

All of it happens while the handler is under way, as far as the rest can tell: what a hook raises
undoes the turn as what a handler raises does. A cell nobody listens to is a plain RunningCell and
knows nothing of this; ``HookOffice`` has the class changed between two turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeVar

from pykka.messages import ProxyCall

from ...hooks.details import ErrorDetails, MessageDetails, OutcomeDetails, SaveDetails, StateDetails
from ...hooks.executor import Decision, run_chain
from ...hooks.history.recording import Recorder
from ...hooks.results import Addressee, Redirect, Retry, Skip
from ...persistence.errors import HookFailed, StoreError
from ...shared.ledger.ledger import Stale
from ..talk.copies import reply_of
from ..talk.turn import Letter, Notes, Turn
from .activation import Activation
from .answers import run_recorded
from .chains import identified
from .hooks import Chain, TurnHooks
from .listeners import keep_runs, refuse, tell_of_turn
from .notes import message_of
from .receiver import RunningCell, handle
from .retry import TryLater
from .settlement import describe

D = TypeVar("D")

MOST_PASSED: Final = 16
"""So often hooks hand on one message, by Redirect or Fork: agents that do so in a circle are
stopped. In memory: the next process begins to count anew, and stops as well."""


class HookedCell(RunningCell):
    """Run hooks before and after the handler, in its turn."""

    __slots__ = ()

    def _handle(self, agent: Any, message: object) -> object:  # noqa: ANN401
        turn, hooks = self.turn, self.hooks
        assert turn is not None
        if hooks is None:  # the last one was removed a moment ago
            return handle(agent, message)
        if hooks.keeps:
            turn.notes = Notes(self._tape(turn.letter) if hooks.record else None)
            turn.effects = hooks.record  # a recorded turn is kept, whatever it does
        decision: Decision[MessageDetails] | None = None
        if hooks.before:
            told = _message(self, turn, message)
            decision = self._ask(turn, hooks.before, told, told.name, agent)
            if decision is not None:
                if decision.details is not told:
                    message = _as_message(decision.details)
                self._fork(turn, message, decision)
                if decision.answer is not None:
                    return self._checked(turn, hooks, agent, self._decided(turn, message, decision))
        hand_over = self.home.hooks.handle or handle
        if not hooks.watches and (decision is None or not decision.wanted):
            return hand_over(agent, message)
        started = time.perf_counter()
        try:
            result = hand_over(agent, message)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            return self._raised(turn, hooks, agent, message, error)
        if isinstance(result, CoroutineType):
            return self._await(turn, hooks, agent, message, result, decision, started)
        return self._returned(turn, hooks, agent, message, result, decision, started)

    def _tape(self, letter: Letter) -> Recorder:
        """Return what the turn that begins is recorded with."""
        office, activation = self.home.hooks, self.activation
        assert activation is not None
        tape = office.played or Recorder(office.now, office.seed)
        tape.message, exact = message_of(self, letter)
        if not exact:
            tape.taken["exact"] = False
        if self.volatile or (self.snapshot and activation.dirty()):
            tape.taken["unsaved"] = True
        return tape

    def _ask(
        self,
        turn: Turn,
        chain: Chain,
        told: Any,  # noqa: ANN401 - the point's
        name: str,
        agent: object,
    ) -> Decision[Any] | None:
        """Run the hooks of a point; what they did is kept with the turn's commit."""
        if turn.notes is None:
            return run_chain(chain, told, name, agent, self.home.hooks)
        runs, tape, around = turn.notes.runs, turn.notes.tape, self.home.hooks
        try:
            if tape is None:
                return run_chain(chain, told, name, agent, around, runs)
            calls = self.blueprint.calls
            return run_recorded(tape, calls, chain, told, name, agent, around, runs)
        finally:
            if runs:
                turn.effects = True

    async def _await(  # noqa: PLR0917 - what the way back from the handler needs
        self, turn: Turn, hooks: TurnHooks, agent: Any, message: object,  # noqa: ANN401
        coroutine: CoroutineType[Any, Any, object], decision: Decision[MessageDetails] | None,
        started: float,
    ) -> object:  # fmt: skip
        try:
            result = await coroutine
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            end = partial(self._raised, turn, hooks, agent, message, error)
        else:
            end = partial(self._returned, turn, hooks, agent, message, result, decision, started)
        # An async hook runs on this loop: whoever waits for it must not stand on it.
        return await asyncio.to_thread(end) if hooks.awaits else end()

    def _returned(  # noqa: PLR0917 - as above
        self, turn: Turn, hooks: TurnHooks, agent: Any, message: object, result: object,  # noqa: ANN401
        decision: Decision[MessageDetails] | None, started: float,
    ) -> object:  # fmt: skip
        around = self.home.hooks
        if hooks.after:
            told = _outcome(self, turn, message, result, time.perf_counter() - started)
            after = self._ask(turn, hooks.after, told, told.name, agent)
            if after is not None:
                self._fork(turn, message, after)
                result = after.details.result
        result = self._checked(turn, hooks, agent, result)
        if decision is not None and decision.wanted:
            decision.keep(reply_of(result), around.monotonic())
        return result

    def _checked(self, turn: Turn, hooks: TurnHooks, agent: Any, result: object) -> object:  # noqa: ANN401
        """Ask who guards the state and its saving, once what the turn changes is complete."""
        if hooks.change or hooks.changed:
            self._look_at_change(turn, hooks, agent)
        if hooks.save and self.activation is not None and not (self.volatile or self.snapshot):
            name = describe(turn.letter)
            version = self.activation.writer.version + 1
            save = SaveDetails(self.kind, self.key, turn.letter.correlation, name, version, 0, 0)
            refuse(self._ask(turn, hooks.save, save, name, agent))
        return result

    def _look_at_change(self, turn: Turn, hooks: TurnHooks, agent: Any) -> None:  # noqa: ANN401
        activation = self.activation
        assert activation is not None
        change = activation.tracker.outlook()
        if change is None:
            return
        if turn.notes is not None:
            turn.notes.before = change[0]
        if not hooks.change:
            return
        name = describe(turn.letter)
        told = StateDetails(
            self.kind, self.key, identified(self.home, turn.letter).correlation, name,
            activation.writer.version + 1, change[0], change[1], "",
        )  # fmt: skip
        decision = self._ask(turn, hooks.change, told, name, agent)
        refuse(decision)
        if decision is not None and decision.details is not told:
            for field, value in decision.details.new.items():
                setattr(agent.state, field, value)

    def _decided(self, turn: Turn, message: object, decision: Decision[MessageDetails]) -> object:
        answer = decision.answer
        if isinstance(answer, Skip):
            return answer.value
        if isinstance(answer, Redirect):
            self._redirect(turn, message, answer, decision)
            return None
        refuse(decision)
        return None

    def _raised(
        self,
        turn: Turn,
        hooks: TurnHooks,
        agent: Any,  # noqa: ANN401
        message: object,
        error: Exception,
    ) -> object:
        """Ask the hooks what becomes of an error of the handler; raises it if they say nothing."""
        if not hooks.error or isinstance(error, Stale | StoreError):
            raise error
        letter = turn.letter
        told = _failure(self, turn, message, error)
        decision = self._ask(turn, hooks.error, told, told.name, agent)
        answer = None if decision is None else decision.answer
        if isinstance(answer, Retry) and letter.attempts + 1 < answer.attempts:
            raise TryLater(answer.delay) from error
        if isinstance(answer, Skip | Redirect):
            self._undo(turn)
            if isinstance(answer, Skip):
                return answer.value
            self._redirect(turn, message, answer, decision)
            return None
        raise error

    def _handled_again(self, activation: Activation, turn: Turn, error: BaseException) -> bool:
        again = super()._handled_again(activation, turn, error)
        if again and turn.notes is not None:
            # They did run, whatever becomes of the turn; but what it did has not come to be.
            runs = turn.notes.runs
            runs = [run for run in runs if not run.vain]
            keep_runs(self.home, runs, (turn.letter.id, turn.letter.cause))
        return again

    def _undo(self, turn: Turn) -> None:
        """Undo what the handler did, and go on with the turn."""
        assert self.activation is not None
        self.activation.rollback()
        turn.sends, turn.steps, turn.timers, turn.beside = (), (), None, None
        if turn.notes is not None:
            turn.notes.runs = [run for run in turn.notes.runs if not run.vain]
        if turn.unit is not None:
            self.home.ledger.give_up(turn.unit)
            self.home.desk.forgo(turn.unit)
            turn.unit = None

    def _redirect(
        self, turn: Turn, message: object, answer: Redirect, decision: Decision[Any] | None
    ) -> None:
        assert decision is not None
        assert decision.by is not None
        if (answer.to.kind, answer.to.key) == (self.kind, self.key):
            reason = (
                f"hook {decision.by.name} redirects {self} at {describe(turn.letter)} to itself,"
                " which would never end; answer Retry, or name another agent"
            )
            raise HookFailed(reason)
        self._pass_on(turn, message, answer.to, f"hook {decision.by.name} redirects", reply=True)

    def _fork(self, turn: Turn, message: object, decision: Decision[Any]) -> None:
        for fork in decision.forks:
            self._pass_on(turn, message, fork.to, "a hook forks")

    def _pass_on(
        self, turn: Turn, message: object, to: Addressee, who: str, *, reply: bool = False
    ) -> None:
        """Send a message of this turn to another agent with its commit, the reply as well."""
        passed = (*turn.letter.passed, str(self))
        if len(passed) > MOST_PASSED:
            reason = (
                f"{who} {self} at {describe(turn.letter)} to {to.kind}/{to.key}, but the message"
                f" was handed on {MOST_PASSED} times and would go round for ever:"
                f" {' -> '.join(passed)}; have one of these hooks let it be handled"
            )
            raise HookFailed(reason)
        reply_to = turn.letter.reply_to if reply else None
        cell, letter = self.home.hand_on(to.kind, to.key, message, reply=reply_to is not None)
        letter.passed = passed
        if reply_to is not None:
            letter.reply_to, letter.edge = reply_to, turn.letter.edge
            reply_to.target, turn.letter.reply_to = cell, None
        turn.send(cell, letter)


class NotedCell(HookedCell):
    """Tell who listens what a turn has changed, and keep what hooks did in it."""

    __slots__ = ()

    def _end(self, turn: Turn) -> None:
        super()._end(turn)
        notes, hooks = turn.notes, self.hooks
        if notes is not None and (notes.deferred or (hooks is not None and hooks.tells)):
            tell_of_turn(self, turn)


def class_for(hooks: TurnHooks | None) -> type[RunningCell]:
    """Return the class of a cell to whose turns somebody listens, or nobody."""
    if hooks is None:
        return RunningCell
    return NotedCell if hooks.keeps else HookedCell


def _message(cell: RunningCell, turn: Turn, message: object) -> MessageDetails:
    letter = turn.letter
    if not letter.correlation:
        identified(cell.home, letter)
    if isinstance(message, ProxyCall):  # as most are, spelt out: it is on the path
        path, args, kwargs = message
        return MessageDetails(
            cell.blueprint.kind, cell.key, letter.correlation, letter.id,
            path[0] if len(path) == 1 else ".".join(path), args, kwargs, letter.cause,
            letter.attempts + 1, letter.reply_to is not None,
        )  # fmt: skip
    return MessageDetails(*_parts(cell, turn, message))


def _outcome(
    cell: RunningCell, turn: Turn, message: object, result: object, seconds: float
) -> OutcomeDetails:
    return _made(OutcomeDetails, *_parts(cell, turn, message), result, seconds)


def _failure(cell: RunningCell, turn: Turn, message: object, error: Exception) -> ErrorDetails:
    return _made(ErrorDetails, *_parts(cell, turn, message), error)


def _made(kind: Callable[..., D], *parts: object) -> D:
    return kind(*parts)


def _parts(cell: RunningCell, turn: Turn, message: object) -> tuple[Any, ...]:
    letter = identified(cell.home, turn.letter)
    args: tuple[object, ...]
    kwargs: dict[str, Any] = {}
    if isinstance(message, ProxyCall):
        _, args, kwargs = message
    else:
        args = (message,)
    return (
        cell.blueprint.kind, cell.key, letter.correlation, letter.id, describe(letter), args,
        kwargs, letter.cause, letter.attempts + 1, letter.reply_to is not None,
    )  # fmt: skip


def _as_message(details: MessageDetails) -> object:
    if details.name == "on_receive":
        return details.args[0]
    return ProxyCall(tuple(details.name.split(".")), details.args, dict(details.kwargs))
