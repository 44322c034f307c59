"""An agent's own methods for the steps of its life, each run as a turn."""

from __future__ import annotations

import inspect
import itertools
import logging
from typing import Final

from ...hooks.history.playback import Playback
from ...shared.ledger.ledger import Stale
from ..talk.control import Control
from ..talk.turn import Letter, Notes, OwnTurn, Turn, current
from . import isolation, settlement
from .activation import Activation
from .cell import AgentCell
from .retry import MOST

_ON_START: Final = "on_start"

logger = logging.getLogger("perdure.actors")


def run_method(cell: AgentCell, activation: Activation, name: str, letter: Letter) -> None:
    """Run one of the agent's own hooks as a turn and settle it; raises what it raises.

    Where its thread was struck, the turn is left as it is: ``recover`` goes on with it.
    """
    for attempt in itertools.count():
        turn = OwnTurn(cell, letter, name)
        cell.turn = turn
        current.set(turn)
        try:
            result = getattr(activation.agent, name)()
            if inspect.iscoroutine(result):
                with cell.home.dispatcher.blocking():
                    cell.home.loop.run(result)
            turn.settling = True
            isolation.refuse_lost(cell, activation, turn)
            settlement.settle(cell, activation, turn, None, f"({name})")
        except Stale:
            _end(cell, again=True)
            activation.rollback()
            if attempt >= MOST:
                raise
        except BaseException as error:
            if not turn.struck_by(error):
                _end(cell)
            raise
        else:
            _end(cell)
            return


def recover(cell: AgentCell) -> None:
    """Bring one of an agent's own methods to an end whose thread was struck.

    What is appended counts, and is done to the end. Else it is undone, and comes again with the
    step that it belongs to.
    """
    turn, activation = cell.turn, cell.activation
    assert isinstance(turn, OwnTurn)
    again = False
    if turn.counts:
        settlement.finish(cell, turn)
    elif turn.settling and activation is not None and (cell.volatile or cell.snapshot):
        # What the turns before have left is in memory only.
        settlement.settle(cell, activation, turn, None, f"({turn.name})")
    elif turn.settling:
        again = True
        cell.drop()  # some of it may be taken for committed
    elif activation is not None:
        again = True
        activation.rollback()
    if turn.unit is not None and not turn.counts:
        cell.home.ledger.give_up(turn.unit)
        cell.home.desk.forgo(turn.unit)
    _end(cell, again=again)


def is_struck(cell: AgentCell) -> bool:
    """Tell whether one of the agent's own methods was struck, and is still to be recovered."""
    return cell.turn.__class__ is OwnTurn


def _end(cell: AgentCell, *, again: bool = False) -> None:
    current.set(None)
    # A method that is over, or raised, does not run again for its step.
    letter = None if cell.turn is None else cell.turn.letter
    if isinstance(letter, _StepLetter) and not again:
        letter.control.prepared = True
    cell.turn = None


def rehearse(cell: AgentCell, activation: Activation, tape: Playback) -> None:
    """Run on_start for what it makes of the agent besides its state; nothing else of it is kept.

    When used: a turn is replayed. What it wants from outside is not there.
    """
    turn = Turn(cell, Letter(None, edge=False))
    turn.notes = Notes(tape.silent())
    cell.turn = turn
    current.set(turn)
    try:
        result = getattr(activation.agent, _ON_START)()  # it may be async
        if inspect.iscoroutine(result):
            with cell.home.dispatcher.blocking():
                cell.home.loop.run(result)
    except Exception as error:  # noqa: BLE001 - anybody's code
        tape.missing.append(f"on_start raised {error!r}")
    finally:
        activation.rollback()
        if turn.unit is not None:
            cell.home.desk.forgo(turn.unit)
        cell.turn = None
        current.set(None)


class _StepLetter(Letter):
    """What a method is handed that runs for a step."""

    __slots__ = ("control",)

    def __init__(self, control: Control) -> None:
        super().__init__(None, edge=False)
        self.control = control


def run_hook(cell: AgentCell, activation: Activation, name: str, control: Control) -> None:
    """Run a method before a step; if it raises, it is undone and the step goes on.

    When used: on_pause, on_resume, on_stop and on_passivate.
    """
    if control.prepared:
        return
    try:
        run_method(cell, activation, name, _StepLetter(control))
    except BaseException:
        if is_struck(cell):
            raise
        activation.rollback()
        logger.exception("%s: %s raised; the step goes on", cell, name)
