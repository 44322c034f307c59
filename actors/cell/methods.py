"""An agent's own methods for the steps of its life, each run as a turn."""

from __future__ import annotations

import inspect
import itertools
import logging

from ...shared.ledger.ledger import Stale
from ..talk.turn import Letter, Turn, current
from . import isolation, settlement
from .activation import Activation
from .cell import AgentCell
from .retry import MOST

logger = logging.getLogger("perdure.actors")


def run_method(cell: AgentCell, activation: Activation, name: str, letter: Letter) -> None:
    """Run one of the agent's own hooks as a turn and settle it; raises what it raises."""
    for attempt in itertools.count():
        turn = Turn(cell, letter)
        cell.turn = turn
        current.set(turn)
        try:
            result = getattr(activation.agent, name)()
            if inspect.iscoroutine(result):
                with cell.home.dispatcher.blocking():
                    cell.home.loop.run(result)
            turn.settling = True
            if cell.home.policy.ever and isolation.lost(cell, activation, turn):
                raise isolation.isolated(cell)
            settlement.settle(cell, activation, turn, None, f"({name})")
        except Stale:
            activation.rollback()
            if attempt >= MOST:
                raise
        else:
            return
        finally:
            cell.turn = None
            current.set(None)


def run_hook(cell: AgentCell, activation: Activation, name: str) -> None:
    """Run a method before a step; if it raises, it is undone and the step goes on.

    When used: on_pause, on_resume, on_stop and on_passivate.
    """
    try:
        run_method(cell, activation, name, Letter(None, edge=False))
    except BaseException:
        activation.rollback()
        logger.exception("%s: %s raised; the step goes on", cell, name)
