"""What a cell sees of an isolation: a turn that is cut off, a letter that must not be lost."""

from __future__ import annotations

import logging
from typing import Final

from ...persistence.errors import Isolated
from ..talk.control import Control, Verb
from ..talk.turn import Decider, Letter, Turn, agent_here, current
from .activation import Activation
from .cell import AgentCell, Surroundings

logger = logging.getLogger("perdure.actors")

STEPS: Final = frozenset({Verb.PAUSE, Verb.RESUME, Verb.STOP, Verb.RESTART, Verb.BEGIN})
"""What runs an agent's own methods, or its mail."""


def isolated(who: object) -> Isolated:
    """Return the error for whoever asks an isolated agent; why it is isolated is not for them."""
    return Isolated(f"{who} is isolated and takes no part in anything; ask when it is restored")


def refuse_cut_off(home: Surroundings) -> None:
    """Raise Isolated in what an isolated agent still runs: it reaches nobody any more.

    When used: before each tell, ask and step, in a system where somebody was ever isolated.
    """
    who, turn = agent_here(), current.get()
    if who is None:
        return
    # A turn that was cut off stays so, also when its agent is restored while it still runs.
    lost_turn = turn is not None and turn.decided is Decider.ISOLATION
    if lost_turn or home.policy.isolated(*who):
        message = f"{'/'.join(who)} is isolated and reaches nobody; it must be restored"
        raise Isolated(message)


def lost(cell: AgentCell, activation: Activation, turn: Turn) -> bool:
    """Tell the runner of a turn that an isolation has decided it; see to what is left of it.

    Called when ``turn.settling`` is set, in a system in which somebody was isolated.
    """
    policy = cell.home.policy
    mine = turn.decide(Decider.RUNNER)
    if mine and not cell.mailbox.is_closed() and not policy.isolated(cell.kind, cell.key):
        return False
    activation.rollback()
    if turn.unit is not None:
        cell.home.desk.forgo(turn.unit)
    cell.turn = None
    current.set(None)
    if mine:  # it began just when the agent was cut off, unseen
        hand_over(cell, turn.letter)
    logger.warning("%s: a turn that was cut off is dropped", cell)
    return True


def refuse_lost(cell: AgentCell, activation: Activation, turn: Turn) -> None:
    """Raise Isolated if an isolation has decided the turn of one of the agent's own methods."""
    if cell.home.policy.ever and lost(cell, activation, turn):
        raise isolated(cell)


def hand_over(cell: AgentCell, letter: Letter) -> None:
    """Give a letter that an old cell did not finish to the agent's present one; tell an asker.

    When used: a turn or a failure ends in a cell whose place another has taken.
    """
    again = waiting(cell, letter)
    if again is not None:
        cell.put_back(again)


def handed_over(cell: AgentCell, letter: Letter | None) -> bool:
    """Tell whether a failed letter's cell was replaced, so that it is none of its business."""
    if not cell.mailbox.is_closed():
        return False
    if letter is not None:
        hand_over(cell, letter)
    return True


def waiting(cell: AgentCell, letter: Letter) -> Letter | None:
    """Return a letter that is to be handled once more, as it came; tell an asker instead."""
    if letter.reply_to is not None:
        letter.reply_to.fail(isolated(cell))
        return None
    if letter.__class__ is Control or _is_hook(letter):
        return None
    if letter.body:
        # The handler may have changed its arguments in place.
        letter.message = cell.blueprint.calls.decode(letter.name, letter.body, cell.key)
    return letter


def _is_hook(letter: Letter) -> bool:
    """Tell whether it only stands for one of the agent's own methods (methods.run_method)."""
    return letter.message is None and not letter.edge and not letter.id and not letter.timer
