"""A turn that was overtaken begins again: another changed first what it made its change from."""

from __future__ import annotations

import dataclasses
import enum
import logging
from typing import Any, Final

from pykka.messages import ProxyCall

from ...persistence.codec.codec import IMMUTABLE
from ..talk.copies import PLAIN, detach
from ..talk.turn import Turn
from . import failure
from .activation import Activation
from .cell import AgentCell

logger = logging.getLogger("perdure.actors")

MOST: Final = 100
"""Times a turn begins again before its asker, or supervision, gets the Conflict.

Each time another's commit has succeeded, so all together always get on.
"""
PATIENCE: Final = 3
"""Times it does so before what it needs is reserved for it."""


class TryLater(Exception):
    """Have a turn undone and its message handled again: a hook says so."""

    def __init__(self, delay: float) -> None:
        """Wait ``delay`` seconds before that."""
        super().__init__(delay)
        self.delay = delay


def begins_again(cell: AgentCell, activation: Activation, turn: Turn, why: BaseException) -> bool:
    """Undo a turn and put its message first in the mailbox; False if it must fail.

    One that was overtaken is no attempt of a poison message: the handler did nothing wrong.
    """
    if isinstance(why, TryLater):
        _try_later(cell, activation, turn, why.delay)
        return True
    if turn.unit is None:
        return False  # the Conflict of another, whom it has asked
    if cell.again >= MOST or not _repeatable(turn):
        cell.again = 0
        cell.home.ledger.give_up(turn.unit)
        return False
    cell.again += 1
    if cell.again > PATIENCE:
        cell.home.ledger.reserve(turn.unit)
    activation.rollback()
    # It may have acted on what it saw, and may see something else the next time.
    cell.home.desk.forgo(turn.unit, again=True)
    _put_back(cell, turn)
    logger.debug("%s begins a turn again: another was first", cell)
    return True


def _try_later(cell: AgentCell, activation: Activation, turn: Turn, delay: float) -> None:
    """Undo a turn and have its message come again, before the other mail, as another attempt."""
    activation.rollback()
    if turn.unit is not None:
        cell.home.ledger.give_up(turn.unit)
        cell.home.desk.forgo(turn.unit)
    failure.count_attempt(cell, turn.letter)
    _put_back(cell, turn)
    if delay > 0:
        wait = cell.begin_backoff()
        what = f"{cell} handles a message again after {delay:g} s: a hook said so"
        cell.home.agenda.later(delay, lambda: cell.end_backoff(wait), what)


def _put_back(cell: AgentCell, turn: Turn) -> None:
    letter = turn.letter
    if letter.body:
        # The handler may have changed its arguments in place.
        letter.message = cell.blueprint.calls.decode(letter.name, letter.body, cell.key)
    elif turn.kept is not None:
        letter.message = turn.kept
    cell.put_back(letter)


def keep_message(turn: Turn) -> None:
    """Keep a copy of what a turn is about to handle, if the handler could change it in place."""
    letter = turn.letter
    if letter.body or letter.message.__class__ in PLAIN:
        return
    message = letter.message
    if isinstance(message, ProxyCall):
        if _is_bare(message):
            return
        path, args, kwargs = message
        if not all(map(_copies, (args, kwargs))):
            return
        copied: Any = (detach(args), detach(kwargs))
        turn.kept = ProxyCall(path, *copied)
    elif _copies(message):
        turn.kept = detach(message)


def _repeatable(turn: Turn) -> bool:
    """Tell whether the message can be handled again as it was."""
    message = turn.letter.message
    if turn.letter.body or turn.kept is not None or message.__class__ in PLAIN:
        return True
    return isinstance(message, ProxyCall) and _is_bare(message)


def _is_bare(message: ProxyCall) -> bool:
    """Tell whether nothing of what a method is called with can be changed in place."""
    args, kwargs = message.args, message.kwargs
    return PLAIN.issuperset(map(type, args)) and PLAIN.issuperset(map(type, kwargs.values()))


def _copies(value: object) -> bool:
    """Tell whether ``detach`` copies all of a value that could change."""
    kind = value.__class__
    if kind in IMMUTABLE or isinstance(value, enum.Enum):
        return True
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return all(map(_copies, value))  # type: ignore[call-overload]
    if kind is dict:
        return all(map(_copies, value.values()))  # type: ignore[attr-defined]
    names = getattr(kind, "__struct_fields__", None)
    if names is None and dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    return names is not None and all(_copies(getattr(value, name, None)) for name in names)
