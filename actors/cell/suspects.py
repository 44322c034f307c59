"""A message that a process before this one may have begun: counted, durably, then handled.

See ``attempts.py`` for which these are, and why.
"""

from __future__ import annotations

from ...persistence.errors import StoreError
from ..pool.mailbox import Outcome
from ..talk.turn import Alarm, OldLetter
from . import attempts, failure, settlement, start
from .cell import AgentCell


def begin(cell: AgentCell, letter: OldLetter | Alarm) -> tuple[bool, Outcome | None]:
    """Count a message before it is handled; (False, None) if it may be handled now."""
    home = cell.home
    place = attempts.place_of(cell.kind, cell.key, letter)
    if letter.timer is not None and not letter.marked and not letter.attempts:
        try:
            letter.attempts = home.attempts.times(place)
        except StoreError as error:
            return True, start.unreadable(cell, letter, error)
    if letter.attempts >= cell.blueprint.agent_class.restarts.attempts:
        failure.bury(cell, letter, attempts.ENDED)
        return True, None
    if letter.marked <= letter.attempts:
        if letter.attempts and not home.attempts.ward.enter(letter):
            cell.pending = lambda: home.attempts.ward.wait(letter, cell.mailbox.resume)
            return True, Outcome.RETRY
        letter.marked = letter.attempts + 1
        cell.last_sequence = home.attempts.put(place, letter.marked)
    if cell.last_sequence > home.supervisor.committer.durable:
        return True, start.wait_until_durable(cell)
    return False, None


def prove(cell: AgentCell) -> None:
    """Have the mail wait until what ended such a message is durable."""
    settlement.wait_for_proof(cell, cell.last_sequence)
