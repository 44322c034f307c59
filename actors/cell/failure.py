"""From a handler that raised to a state as before, a restart, a dead letter or quarantine."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator

from pykka.messages import ProxyCall

from ...lifecycle import signals
from ...lifecycle.restart import Intensity
from ...persistence.errors import (
    HookCancelled,
    KeyMissing,
    PerdureError,
    SecretFound,
    StateError,
    StoreError,
    StoreUnavailable,
    storable,
)
from ...persistence.records.records import Commit, DeadLetter, Timer
from ..pool.mailbox import MailHold
from ..talk.control import Control, Verb
from ..talk.messages import ON_DEAD
from ..talk.turn import Letter, OldLetter, StoredLetter, Turn, as_letter, current, is_interrupt
from .activation import Activation
from .attempts import place_of
from .cell import AgentCell
from .chains import identified
from .isolation import handed_over
from .notes import put_notes
from .settlement import (
    answers_unsaved,
    consume,
    describe,
    hold_back,
    note_seen,
    row,
    save,
    store_mail,
)
from .timers import next_due

logger = logging.getLogger("perdure.actors")


def fail(cell: AgentCell, activation: Activation, turn: Turn, error: BaseException) -> None:
    """Undo a turn. An asker gets the error; with nobody asking, supervision decides."""
    turn.failed = error
    activation.rollback()
    letter = turn.letter
    played = turn.notes is not None and turn.notes.tape is not None and turn.notes.tape.last
    if cell.hooks is not None:
        _keep_notes(cell, turn, error)
    if isinstance(error, StateError) and not error.turn:  # else of a turn that this one asked
        error.turn = f"{cell} at {describe(letter)}"
    if turn.unit is not None:
        cell.home.ledger.give_up(turn.unit)
        cell.home.desk.forgo(turn.unit)
    if played:
        return  # nobody waits for it, and nothing is made of it
    if letter.reply_to is not None or turn.held_back:
        turn.held_back = True  # an ask, also for who comes here again when the asker was told
        note_seen(cell, turn)
        reject(cell, letter, error)
        return
    if of_the_store(cell, error):
        wait_for_the_store(cell, letter, error)
        return
    if isinstance(error, HookCancelled):  # decided, and nobody's failure
        bury(cell, letter, told_of(cell, error))
        return
    logger.warning("%s failed at %s: %r", cell, describe(letter), error, exc_info=error)
    with _over(cell, turn):
        try:
            activation.agent.on_failure(type(error), error, error.__traceback__)
        except BaseException as raised:
            if is_interrupt(raised):
                raise
            logger.exception("%s: on_failure raised", cell)
    # on_failure is no turn: what it changed in the state is not kept.
    activation.rollback()
    cell.fire(signals.agent_failed, reason=describe(letter), error=error)
    count_attempt(cell, letter)
    restart(cell, error, letter)


def count_attempt(cell: AgentCell, letter: Letter) -> None:
    """Count an attempt that failed, also for the next process if the letter waits in the store."""
    letter.attempts += 1
    if letter.marked:
        cell.home.attempts.ward.leave(letter)
    stored = letter.durable or letter.timer is not None
    last = letter.attempts >= cell.blueprint.agent_class.restarts.attempts
    if not stored or last or letter.marked >= letter.attempts:
        return
    try:
        cell.last_sequence = cell.home.attempts.put(
            place_of(cell.kind, cell.key, letter), letter.attempts
        )
    except PerdureError as problem:
        logger.warning("%s: an attempt of %s is not kept: %s", cell, describe(letter), problem)


def _keep_notes(cell: AgentCell, turn: Turn, error: BaseException) -> None:
    """Keep what hooks did in a turn that is undone, and if it is recorded, all of it."""
    notes = turn.notes
    if notes is None or not (notes.runs or notes.tape):
        return
    commit = Commit()
    put_notes(cell, turn, commit, error)
    try:
        cell.home.supervisor.append(commit)
    except PerdureError as problem:
        logger.warning("%s: the history of a turn is not kept: %s", cell, problem)


def of_the_store(cell: AgentCell, error: BaseException | None) -> bool:
    """Tell whether a handler raised because the agent's own store failed, whatever it made of it.

    Another store is a service as any other: what fails there is an attempt of the message.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if _is_own(cell, error):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(of_the_store(cell, part) for part in error.exceptions)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def wait_for_the_store(cell: AgentCell, letter: Letter, error: BaseException) -> None:
    """Have a message come again, before the other mail, at which the store has failed.

    It is no attempt of the message, however long the store fails: nothing is wrong with it.
    """
    if cell.home.policy.ever and handed_over(cell, letter):
        return
    cell.error = told_of(cell, error)
    if letter.marked:
        cell.home.attempts.ward.leave(letter)
    if cell.home.closing:
        if cell.snapshot:
            store_mail(cell, [letter])
        return  # it is in the store, and comes again when that is opened
    if letter.__class__ is not Control:
        _put_back_as_sent(cell, letter)
    if cell.home.supervisor.ended is not None:
        cell.hold(MailHold.ENDED)
        return
    logger.warning("%s: %s waits for the store: %s", cell, describe(letter), cell.error)
    wait = cell.begin_backoff()
    # Whoever waits behind the letter is told now: nobody knows how long this takes.
    told = error if isinstance(error, StoreUnavailable) and _is_own(cell, error) else None
    refuse_askers(cell, told or _failing(cell, cell.error))
    what = f"{cell} tries again after a second what the store hindered ({cell.error})"
    cell.home.agenda.when_the_store_may_be_back(lambda: cell.end_backoff(wait), what)


def _is_own(cell: AgentCell, error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable) and (
        not error.location or error.location == cell.home.store.location
    )


def _failing(cell: AgentCell, reason: str) -> StoreUnavailable:
    message = f"the store fails ({reason}); ask again later"
    return StoreUnavailable(message, location=cell.home.store.location)


@contextlib.contextmanager
def _over(cell: AgentCell, turn: Turn) -> Iterator[None]:
    """Run a block as what goes on when ``turn`` is over: sent at once, in its agent's name."""
    kept, cell.turn = cell.turn, None
    token = current.set(turn)
    try:
        yield
    finally:
        current.reset(token)
        cell.turn = kept


def reject(cell: AgentCell, letter: Letter, error: BaseException) -> None:
    """Answer an asker with an error, not before what the handler may have seen is durable.

    When used: a turn, a step or a refused letter has nobody but its asker to tell.
    """
    # The error's traceback leads to the letter, and from there it must not lead to the future: if
    # nobody asks for it, that is to be noticed when it goes, not when the collector comes.
    # Given away when it is answered: whoever is struck before comes here again.
    reply_to = letter.reply_to
    if reply_to is None:
        return
    unsaved = cell.snapshot or cell.volatile
    if unsaved and cell.seen <= cell.home.supervisor.committer.durable:
        reply_to.fail(error)
    elif letter.edge and not answers_unsaved(cell):
        hold_back(cell, reply_to, None, error)
        cell.home.supervisor.committer.gate(reply_to)
    else:
        if cell.home.supervisor.outage:
            reply_to.unsaved = True
        reply_to.fail(error)
    letter.reply_to = None


def refuse_askers(cell: AgentCell, error: Exception, *, steps: bool = False) -> None:
    """Tell everyone whose ask would wait for long; other mail waits.

    Steps of the lifecycle are refused with ``steps`` only: mostly they do not wait for the mail.
    """
    kept: list[Letter] = []
    for item in cell.mailbox.take_all():
        envelope = as_letter(item)
        if envelope.reply_to is None or (isinstance(envelope, Control) and not steps):
            kept.append(envelope)
        elif isinstance(error, StoreError):
            # Nothing can become durable now, so there is nothing to hold the answer back for.
            envelope.reply_to.fail(error)
        else:
            reject(cell, envelope, error)
    cell.put_back(*kept)


def restart(cell: AgentCell, error: BaseException, letter: Letter | None) -> None:
    """Let supervision decide; ``letter`` is tried again or goes to the dead letters."""
    if cell.home.policy.ever and handed_over(cell, letter):
        return
    cell.error = reason = told_of(cell, error)
    policy = cell.blueprint.agent_class.restarts
    if cell.home.supervisor.ended is not None:
        # The error may come from the lost store, and nothing decided now could be kept.
        if letter is not None:
            cell.put_back(letter)
        cell.hold(MailHold.ENDED)
        return
    # A control that found no agent to act on is done with: the agent begins again by itself.
    if letter is not None and letter.__class__ is not Control:
        _try_again(cell, letter, policy.attempts, reason)
    if cell.intensity is None:
        cell.intensity = Intensity(policy)
    home = cell.home
    me = (cell.kind, cell.key)
    verdict = home.tree.failed(me, cell.intensity, policy, home.clock.monotonic())
    for kind, key in verdict.quarantine:
        home.order(kind, key, _led(Control(Verb.QUARANTINE, reason=reason, edge=False), letter))
    delay = home.supervisor.delay(verdict.policy.backoff, max(1, verdict.count))
    for member in verdict.restart:
        if member != me:
            order = Control(Verb.RESTART, reason="supervision", value=delay, edge=False)
            home.order(*member, _led(order, letter))
    if me not in verdict.quarantine:
        activation = cell.activation
        begin_again(cell, delay)
        # Told when the wait is arranged, which must not hang on a receiver.
        cell.fire(signals.agent_restarting, reason=reason, error=error, activation=activation)


def _led(order: Control, letter: Letter | None) -> Control:
    """Return an order that goes on with the chain of a letter whose turn has failed."""
    if letter is not None:
        order.cause, order.correlation = letter.cause, letter.correlation
    return order


def _try_again(cell: AgentCell, letter: Letter, attempts: int, reason: str) -> None:
    """Put a letter back before the other mail, or bury it after its last attempt."""
    if letter.attempts >= attempts:
        bury(cell, letter, reason)
        return
    _put_back_as_sent(cell, letter)


def _put_back_as_sent(cell: AgentCell, letter: Letter) -> None:
    if letter.body:
        # The handler may have changed its arguments in place before it raised. A VOLATILE
        # agent's message has no body: it is tried again as the handler left it.
        letter.message = cell.blueprint.calls.decode(letter.name, letter.body, cell.key)
    cell.put_back(letter)


def begin_again(cell: AgentCell, delay: float) -> None:
    """Drop the activation and let the mail wait for ``delay`` seconds.

    What the turns before the failure have done is saved first: they succeeded, and their mail
    would not come again.
    """
    if cell.activation is not None:
        try:
            save(cell, cell.activation, "(restart)")
        except PerdureError as error:
            logger.warning("%s: the state before the restart is not saved: %s", cell, error)
    cell.restarting = True
    cell.drop()
    wait = cell.begin_backoff()
    if delay > 0:
        what = f"{cell} begins again {delay:g} s after it failed ({cell.error or 'by request'})"
        cell.home.agenda.later(delay, lambda: cell.end_backoff(wait), what)
    else:
        cell.end_backoff(wait)


def bury(cell: AgentCell, letter: Letter, reason: str) -> None:
    """Move a message to the dead letters, durably, and let its timer go on.

    If the agent has something to do about that (``on_dead``), it is sent with the same commit.
    """
    home = cell.home
    commit = Commit()
    effects = commit.with_effects()
    consume(cell, letter, commit)
    timer: Timer | None = None
    if letter.timer is not None:
        timer = next_due(letter.timer, home.clock.now())
        if timer is None:
            effects.cancelled = [letter.timer[:3]]
        else:
            effects.timers = [timer]
    identified(home, letter)
    dead = DeadLetter(
        letter.id or home.next_letter(), cell.kind, cell.key, *_stored(cell, letter),
        letter.cause, letter.correlation, letter.sent, letter.attempts, reason, home.clock.now(),
    )  # fmt: skip
    effects.dead = [dead]
    notice = _notice(cell, dead) if cell.blueprint.mourns and dead.name != ON_DEAD else None
    if notice is not None and notice.durable:
        effects.sends = [row(cell.kind, cell.key, notice)]
    if cell.turn is not None and cell.turn.letter is letter:
        cell.turn.commit = commit
    try:
        # Counted as the agent's: a load before this is durable would find the message again.
        cell.last_sequence = home.supervisor.append(commit)
    except PerdureError as error:
        logger.warning("%s: %s stays where it is stored: %s", cell, describe(letter), error)
        return
    # The activation, if it stays, must know as well: a tick may be delivered twice in memory.
    known = {} if cell.activation is None else cell.activation.timers
    if timer is not None:
        known[timer.name] = timer
        home.timers.set(timer)
    elif letter.timer is not None:
        known.pop(letter.timer.name, None)
        home.timers.cancelled(letter.timer[:3])
    if notice is not None:
        cell.put_back(notice)
    logger.error("%s: %s goes to the dead letters: %s", cell, describe(letter), reason)
    cell.fire(signals.message_dead, reason=reason)


def _notice(cell: AgentCell, dead: DeadLetter) -> Letter | None:
    """Return a letter that calls ``on_dead``; with less in it if all of that is too large."""
    letter_id = cell.home.next_letter()
    if cell.volatile:
        call = ProxyCall((ON_DEAD,), (dead,), {})
        return Letter(call, letter_id=letter_id, cause=dead.cause, correlation=dead.correlation)
    problem: PerdureError | None = None
    for shown in (dead, dead._replace(body=""), dead._replace(body="", reason="")):
        try:
            call = ProxyCall((ON_DEAD,), (shown,), {})
            name, body, message = cell.blueprint.calls.encode(call, cell.key)
        except (StateError, SecretFound) as error:
            problem = error
            continue
        letter = StoredLetter(
            message, letter_id=letter_id, cause=dead.cause, correlation=dead.correlation
        )
        letter.name, letter.body, letter.sent = name, body, dead.died
        return letter
    logger.error("%s is not told of its dead letter %d: %s", cell, dead.id, problem)
    return None


def told_of(cell: AgentCell, error: BaseException) -> str:
    """Return an error of an agent as its dead letters, its status and signals show it."""
    return cell.home.desk.plain.told(error, f"an error of {cell.kind}")


def _stored(cell: AgentCell, letter: Letter) -> tuple[str, str]:
    if isinstance(letter, OldLetter):
        return letter.found
    if letter.body:
        return letter.name, letter.body
    try:
        name, body, _ = cell.blueprint.calls.encode(letter.message, cell.key)
    except (ValueError, TypeError, AttributeError, KeyMissing):
        # A volatile agent's message that cannot be stored: at least show what it was.
        shown = cell.home.desk.plain.reason(storable(repr(letter.message)), f"mail of {cell.kind}")
        return describe(letter), json.dumps(shown)
    return name, body
