"""Time limits of turns: a turn that takes too long is given up, whatever it still does."""

from __future__ import annotations

import logging

from ...lifecycle import signals
from ...lifecycle.clock import DelayedCall
from ...persistence.errors import TurnTimeout
from ..talk.turn import Decider, Turn
from . import failure, settlement
from .cell import AgentCell

logger = logging.getLogger("perdure.actors")


def watch(cell: AgentCell, turn: Turn, limit: float) -> DelayedCall:
    """Have a turn given up in ``limit`` seconds, unless it is decided before."""
    handle = cell.home.clock.call_later(limit, lambda: _too_long(cell, turn))
    return handle.named(_Limit(cell, turn))


class _Limit:
    """Say whose limit it is; nothing is put together for the many that are never reached."""

    __slots__ = ("_cell", "_turn")

    def __init__(self, cell: AgentCell, turn: Turn) -> None:
        self._cell, self._turn = cell, turn

    def __str__(self) -> str:
        return f"{self._cell}: the time limit of {settlement.describe(self._turn.letter)}"


def came_too_late(cell: AgentCell, turn: Turn) -> None:
    """Drop what a turn has done that the clock has given up."""
    what = settlement.describe(turn.letter)
    logger.warning("%s: %s came back after its time limit; it is dropped", cell, what)


def _too_long(cell: AgentCell, turn: Turn) -> None:
    """Give up a turn that is over its limit; called on the clock's thread.

    A coroutine is cancelled and gets as much time again to end. A thread cannot be stopped,
    nor can a coroutine that goes on: the cell is left to it and a fresh one takes over;
    whatever the old one still does is dropped.
    """
    if cell.turn is not turn:
        return
    limit = cell.turn_limit
    assert limit is not None
    what = settlement.describe(turn.letter)
    message = f"{cell}: {what} ran longer than its limit of {limit} seconds"
    if turn.cancel is not None and not turn.overdue:
        turn.overdue = message
        cell.fire(signals.turn_timed_out, reason=message)
        turn.cancel()
        turn.watch = watch(cell, turn, limit)
    elif turn.decide(Decider.CLOCK):
        if not turn.overdue:
            cell.fire(signals.turn_timed_out, reason=message)
        _abandon(cell, turn, TurnTimeout(message))


def _abandon(cell: AgentCell, turn: Turn, error: TurnTimeout) -> None:
    """Leave this cell to a turn that does not end; the runner can no longer commit it."""
    thread = cell.mailbox.runner
    if thread is not None:
        cell.home.dispatcher.lend_for(thread)
    if cell.activation is not None:
        settlement.save_and_revoke(cell, cell.activation)
    letter = turn.letter
    if letter.reply_to is not None:
        reply_to = letter.reply_to
        cell.errand(lambda: reply_to.fail(error))  # who waits may have callbacks
        cell.home.keeper.replace(cell, None, error)
    else:
        failure.count_attempt(cell, letter)
        cell.home.keeper.replace(cell, letter, error)
