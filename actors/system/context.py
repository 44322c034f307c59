"""What the desk of shared state is told of the turn in which a call is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from ...hooks.acting import apart, refuse_replayed
from ...hooks.following import led_to
from ...persistence.names.scope import Principal
from ...persistence.records.records import Message
from ...shared.ledger.guard import Standing
from ...shared.ledger.unit import Unit
from ...shared.sessions.current import entered
from ..cell.cell import AgentCell, Surroundings
from ..cell.chains import asker_of, cause_after, chain_of, identified
from ..cell.settlement import row
from ..talk.turn import Letter, Turn, begun_in, collecting_in, under_way_in

Mail = list[tuple[AgentCell, Letter]]

_making: Final = threading.Lock()


class TurnContext:
    """Feed the desk from the turn of the calling context (ledger.context.Context)."""

    def __init__(self, home: Surroundings) -> None:
        """Speak for the cells of ``home``."""
        self._home = home
        self.clock = home.clock.now
        """Returns seconds since the epoch, whatever turn is under way."""
        self.entered = partial(entered, None)
        """Returns the correlation of the session that was entered here, outside of turns; or 0."""

    def now(self) -> float:
        """Return the moment of a call; in a recorded turn that is the turn's, for all of them."""
        turn = collecting_in(self._home)
        if turn is None or turn.notes is None or turn.notes.tape is None:
            return self._home.clock.now()
        return turn.notes.tape.started

    def number(self, draw: Callable[[], int]) -> int:
        """Return a number that is drawn or counted, recorded or played with the turn under way."""
        turn = collecting_in(self._home)
        if turn is None or turn.notes is None or turn.notes.tape is None:
            return draw()
        return turn.notes.tape.number(draw)

    @property
    def closing(self) -> bool:
        """Whether the system takes nothing more from outside."""
        return self._home.closing

    def standing(self) -> Standing | None:
        """Return who speaks: the agent, also in a task that goes on when its turn is over."""
        who = apart.get()
        if who is not None:
            refuse_replayed("shared state")
            return None if who is Principal.SYSTEM else Standing(who)
        turn = begun_in(self._home)
        if turn is None:
            return None
        unit = turn.unit
        return standing_of(turn) if unit is None else unit.standing

    def turn(self) -> object:
        """Return the turn under way; None outside of turns, and in what goes on after one."""
        return under_way_in(self._home)

    def origin(self) -> object:
        """Return what a transaction of this context belongs to; None outside of turns."""
        who = apart.get()
        if who is not None:
            return None if who is Principal.SYSTEM else who
        return begun_in(self._home)

    def unit(self) -> Unit | None:
        """Return the unit of the turn under way; its first call makes it."""
        turn = collecting_in(self._home)
        if turn is None:
            return None
        if turn.unit is None:
            # Several threads of the turn may come first: one unit for all of them.
            with _making:
                if turn.unit is None:
                    cell = turn.cell
                    unit = Unit(standing_of(turn), self._home.ledger.guard.epoch, cell)
                    unit.cause = turn.letter.cause
                    unit.witness = None if turn.notes is None else turn.notes.tape
                    turn.unit = unit
                    cell.shares = True
                    self._home.sharers.add(cell.kind)
        return turn.unit

    def led(self) -> tuple[int, int]:
        """Return the correlation and the cause of a commit that is no turn's; 0 from outside."""
        turn = begun_in(self._home)
        if turn is None:
            return led_to(self._home)
        over = turn.cell.turn is not turn or turn.commit is not None
        cause = cause_after(turn) if over else asker_of(self._home, turn)
        return chain_of(self._home, turn), cause

    def learnt(self) -> None:
        """Have the reply of the turn under way wait for what it may know of."""
        turn = under_way_in(self._home)
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
    correlation = turn.letter.correlation or identified(cell.home, turn.letter).correlation
    session = cell.home.ledger.session_of(correlation) if correlation < 0 else ""
    return Standing(cell.principal, session, correlation)


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
