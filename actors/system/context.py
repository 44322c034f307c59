"""What the desk of shared state is told of the turn in which a call is made."""

from __future__ import annotations

import threading
from typing import Any, Final, cast

from ...hooks.executor import aside
from ...persistence.records.records import Message
from ...shared.ledger.guard import Standing
from ...shared.ledger.unit import Unit
from ...shared.sessions.current import entered
from ..cell.cell import AgentCell, Surroundings
from ..cell.chains import identified
from ..cell.settlement import row
from ..talk.turn import Letter, Turn, current, under_way

Mail = list[tuple[AgentCell, Letter]]

_making: Final = threading.Lock()


class TurnContext:
    """Feed the desk from the turn of the calling context (ledger.context.Context)."""

    def __init__(self, home: Surroundings) -> None:
        """Speak for the cells of ``home``."""
        self._home = home
        self.now = home.clock.now

    @property
    def closing(self) -> bool:
        """Whether the system takes nothing more from outside."""
        return self._home.closing

    def standing(self) -> Standing | None:
        """Return who speaks: the agent, also in a task that goes on when its turn is over."""
        turn = current.get()
        if turn is None or aside.get():
            return None
        unit = turn.unit
        return standing_of(turn) if unit is None else unit.standing

    def entered(self) -> int:
        """Return the correlation of the session that was entered here, outside of turns; or 0."""
        return entered(None)

    def turn(self) -> object:
        """Return the turn under way; None outside of turns, and in what goes on after one."""
        return under_way()

    def origin(self) -> object:
        """Return the turn in which this context began, under way or over; None outside."""
        return None if aside.get() else current.get()

    def unit(self) -> Unit | None:
        """Return the unit of the turn under way; its first call makes it."""
        turn = under_way()
        if turn is None or aside.get():
            return None
        if turn.unit is None:
            # Several threads of the turn may come first: one unit for all of them.
            with _making:
                if turn.unit is None:
                    cell = turn.cell
                    turn.unit = Unit(standing_of(turn), self._home.ledger.guard.epoch, cell)
                    cell.shares = True
        return turn.unit

    def learnt(self) -> None:
        """Have the reply of the turn under way wait for what it may know of."""
        turn = under_way()
        if turn is not None:
            turn.asked = True

    def rows(self, mail: list[object]) -> list[Message]:
        """Return the mailbox rows of what leaves with a commit."""
        return [
            row(cell.kind, cell.key, letter)
            for cell, letter in cast("Mail", mail)
            if letter.durable
        ]

    def deliver(self, mail: list[object], sequence: int) -> None:
        """Deliver what has left with the commit ``sequence``."""
        while mail:
            letter = cast("Mail", mail)[0][1]
            letter.cause = sequence
            if letter.durable:
                letter.placed = sequence  # type: ignore[attr-defined]  # a StoredLetter
            self._home.deliver_first(mail)


def standing_of(turn: Turn) -> Standing:
    """Return whom a turn's calls speak for."""
    cell = cast("AgentCell", turn.cell)
    correlation = identified(cell.home, turn.letter).correlation
    return Standing(cell.principal, cell.home.ledger.session_of(correlation), correlation)


def hangs_on(cell: object, other: object) -> bool:
    """Tell whether a cell's turn waits, maybe by way of others, for the reply of another cell."""
    seen: set[int] = set()
    waiting: list[Any] = [cell]
    while waiting:
        turn = getattr(waiting.pop(), "turn", None)
        for asked in turn.waits if turn is not None else ():
            if asked is other:
                return True
            if id(asked) not in seen:
                seen.add(id(asked))
                waiting.append(asked)
    return False
