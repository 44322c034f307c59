"""A turn that was overtaken begins again: another changed first what it made its change from."""

from __future__ import annotations

import logging
from typing import Final

from pykka.messages import ProxyCall

from . import decisions
from .activation import Activation
from .cell import AgentCell
from .messages import PLAIN
from .turn import Turn

logger = logging.getLogger("perdure.actors")

MOST: Final = 100
"""Times a turn begins again before its asker, or supervision, gets the Conflict.

Each time another's commit has succeeded, so all together always get on.
"""
PATIENCE: Final = 3
"""Times it does so before what it needs is reserved for it."""


def begins_again(cell: AgentCell, activation: Activation, turn: Turn) -> bool:
    """Undo an overtaken turn and put its message first in the mailbox; False if it must fail.

    That is no attempt of a poison message: the handler did nothing wrong.
    """
    letter = turn.letter
    assert turn.unit is not None
    if cell.again >= MOST or not _repeatable(turn):
        cell.again = 0
        cell.home.ledger.give_up(turn.unit)
        return False
    cell.again += 1
    if cell.again > PATIENCE:
        cell.home.ledger.reserve(turn.unit)
    activation.rollback()
    # It may have acted on what it saw, and may see something else the next time.
    decisions.keep(cell.home.supervisor, turn.unit)
    if letter.body:
        # The handler may have changed its arguments in place.
        letter.message = cell.blueprint.calls.decode(letter.name, letter.body)
    cell.mailbox.put_back(letter)
    logger.debug("%s begins a turn again: another was first", cell)
    return True


def _repeatable(turn: Turn) -> bool:
    """Tell whether the message is as it was when the handler got it."""
    letter = turn.letter
    if letter.body:
        return True
    message = letter.message
    values: tuple[object, ...] = (message,)
    if isinstance(message, ProxyCall):
        values = (*message.args, *message.kwargs.values())
    return all(value.__class__ in PLAIN for value in values)
