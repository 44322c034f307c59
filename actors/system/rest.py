"""When a system is at rest, and what it waits for while it is not."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Iterator
from contextvars import Context
from typing import Final, Protocol

from ...lifecycle.clock import Clock, VirtualClock
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import PerdureError
from ...persistence.records.records import Timer
from ...persistence.store.store import Store
from ..cell.receiver import RunningCell
from ..cell.settlement import describe
from ..cell.timers import Tick, TimerService
from ..pool.agenda import Agenda
from ..pool.cell import Cell
from ..pool.dispatcher import Dispatcher
from ..pool.loop import HandlerLoop
from ..pool.mailbox import MailHold
from ..talk.turn import Letter, Turn, current
from .beside import Beside
from .helper import hung_on

_HELD: Final = {
    MailHold.PAUSED: "is paused",
    MailHold.QUARANTINED: "is quarantined",
    MailHold.ISOLATED: "is isolated",
}
_TOLD: Final = 3
"""How many of several that wait are named."""


class Household(Protocol):
    """What comes to rest."""

    clock: Clock
    store: Store
    supervisor: PersistenceSupervisor
    dispatcher: Dispatcher
    agenda: Agenda
    loop: HandlerLoop
    beside: Beside
    timers: TimerService
    cells: dict[tuple[str, str], RunningCell]

    def moments(self) -> list[tuple[float, str]]:
        """Return when sweeps are due whose moment people see, by the monotonic clock."""
        ...


class Rest:
    """Wait until nothing goes on; say what does, or why it cannot end (clock.Resident)."""

    def __init__(self, home: Household) -> None:
        """Look at the cells, the agenda and the saves of ``home``."""
        self._home = home
        self.by_hand = isinstance(home.clock, VirtualClock)
        """Time passes only when a test says so."""
        self._looked_at: RunningCell | None = None
        self._asleep: tuple[list[Context], dict[int, Turn]] = ([], {})
        home.agenda.look = self.look
        home.agenda.asleep = self._all_asleep
        home.loop.look = home.agenda.look_again

    def look(self) -> None:
        """Have who waits for an agent to come to rest look again: it may wait for another."""
        cell = self._looked_at
        if cell is not None:
            cell.mailbox.look_again()

    def quiet(self, timeout: float | None = None) -> bool:
        """Wait until no mailbox runs or could run at once; False on timeout.

        False at once if that can only be when somebody advances the clock: ``stalled`` says why.
        """
        home, left = self._home, _countdown(timeout)
        while True:
            before = home.dispatcher.submissions()
            if not home.agenda.wait(left(), for_time=not self.by_hand):
                return False
            for cell in [each for each in list(home.cells.values()) if each.mailbox.busy()]:
                if not self._rests(cell, left()):
                    return False
            # Nothing was scheduled during the whole round: nothing can have begun behind it. But
            # what it ended with may be a wait, such as that before a restart.
            if home.dispatcher.submissions() == before + 1 and (not self.by_hand or self._still()):
                if not home.agenda.waiting() and not (self.by_hand and self._held_back()):
                    return True
                if self.by_hand:
                    return False

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing is to do and everything is durable; False on timeout, or if stalled.

        Raises the error that ended the store, if one did.
        """
        home, left = self._home, _countdown(timeout)
        committer = home.supervisor.committer
        while True:
            quiet = self.quiet(left())
            if not quiet or not committer.flush(left(), while_held=not self.by_hand):
                return False
            if self.quiet(0) and committer.backlog() == 0:
                return True

    def settle(self, timeout: float | None) -> bool:
        """Wait until nothing goes on that does not wait for time to pass; False on timeout."""
        home, left = self._home, _countdown(timeout)
        committer = home.supervisor.committer
        while True:
            if not self.quiet(left()) and not self.stalled():
                return False
            try:
                saved = committer.flush(left(), while_held=not self.by_hand)
            except PerdureError:
                return True  # the store is lost: nothing goes on any more
            if not committer.answered(left()) or not (saved or committer.held):
                return False
            # What was saved may have set something going.
            if self.quiet(0) or (self.stalled() and self._still()):
                return True

    def _still(self) -> bool:
        """Tell whether nothing runs but what is held up."""
        home = self._home
        return home.agenda.wait(0, for_time=False) and all(
            not cell.mailbox.busy() or self._held_up(cell) for cell in list(home.cells.values())
        )

    def stalled(self) -> str:
        """Say what waits for somebody to advance the clock; nothing if it runs by itself."""
        return "; ".join(self.waits()[:_TOLD]) if self.by_hand else ""

    def waits(self) -> list[str]:
        """Return what waits for time to pass, or for somebody outside."""
        home = self._home
        return [*home.agenda.waiting(), *home.supervisor.awaited(), *self._held_back()]

    def unanswered(self) -> list[str]:
        """Return the asks from outside that have no reply yet, and why."""
        found, sleepers = [], self._sleepers()
        for cell in list(self._home.cells.values()):
            turn = cell.turn
            why = "its turn has not ended" if cell.mailbox.busy() else _why(cell)
            why = "it sleeps" if id(turn) in sleepers else why
            letters = [turn.letter] if turn is not None else []
            letters += [each for each in cell.mailbox.letters() if isinstance(each, Letter)]
            for letter in letters:
                reply = letter.reply_to
                if reply is not None and letter.edge and not reply.settled:
                    found.append(f"{cell}.{describe(letter)}: {why}")
        return found

    def next_due(self, before: float) -> tuple[float, str] | None:
        """Return what is due first of what is in no delayed call yet, and what that is.

        In seconds since the epoch; None if that is not before ``before``.
        """
        home = self._home
        now, known = home.clock.now(), home.timers.horizon
        timers: list[Timer] = []
        if before > known:
            with contextlib.suppress(PerdureError):
                timers = home.store.timers_between(max(now, known), before, 1)
        found = [(timer.due, str(Tick(timer))) for timer in timers]
        apart = now - home.clock.monotonic()
        found += [(moment + apart, what) for moment, what in home.moments() if moment + apart > now]
        first = min(found, default=None)
        return first if first is not None and first[0] < before else None

    def busy(self) -> list[str]:
        """Name what keeps the system from being quiet."""
        home = self._home
        agents = [str(cell) for cell in list(home.cells.values()) if cell.mailbox.busy()]
        return agents or ([] if home.agenda.wait(0) else ["work that was due"])

    def _rests(self, cell: RunningCell, timeout: float | None) -> bool:
        self._looked_at = cell
        try:
            held_up = functools.partial(self._held_up, cell)
            return cell.mailbox.wait_until_rest(timeout, unless=held_up)
        finally:
            self._looked_at = None

    def _held_up(self, cell: Cell) -> bool:
        """Tell whether an agent does nothing before its time comes, or that of one it waits for."""
        if self._home.agenda.delays(cell) or self._sleeps(cell):
            return True
        return self.by_hand and any(self._takes_no_mail(each) for each in _waited_for(cell))

    def _takes_no_mail(self, cell: Cell) -> bool:
        """Tell whether an agent takes no mail before time passes, or somebody lets it."""
        if self._home.agenda.delays(cell) or self._sleeps(cell):
            return True
        if _why(cell) or MailHold.BACKOFF in cell.holds:
            return True
        return MailHold.UNSAVED in cell.holds and self._home.supervisor.committer.held

    def _sleeps(self, cell: Cell) -> bool:
        return id(cell.turn) in self._sleepers()

    def _sleepers(self) -> dict[int, Turn]:
        """Return by their ids the turns whose coroutines wait, if none goes on before time passes.

        Also turns that are over, and have begun work that waits: their agents do not.
        """
        contexts = self._home.loop.sleepers()
        known, turns = self._asleep
        if contexts is not known:  # once for each time that the loop falls asleep
            found = [turn for context in contexts if (turn := context.get(current)) is not None]
            turns = {id(turn): turn for turn in found}
            self._asleep = contexts, turns
        return turns

    def _all_asleep(self, works: list[object]) -> bool:
        """Tell whether each of some pieces of work beside turns waits for time to pass."""
        return bool(self._home.loop.sleepers()) and all(map(self._home.beside.runs, works))

    def _held_back(self) -> list[str]:
        """Name those in a turn that goes on when time passes, or somebody outside acts."""
        return [*(f"{turn.cell} sleeps" for turn in self._sleepers().values()), *self._stuck()]

    def _stuck(self) -> list[str]:
        """Name those in a turn that waits for an agent which takes no mail."""
        found = []
        for cell in [each for each in list(self._home.cells.values()) if each.turn is not None]:
            found += [
                f"{cell} waits for a reply from {each}, which {_why(each)}"
                for each in _waited_for(cell)
                if _why(each)
            ]
        return found


def _waited_for(cell: Cell) -> Iterator[Cell]:
    """Give the cells that a turn waits for, those that theirs wait for, and so on."""
    return itertools.islice(hung_on(cell), 1, None)  # the first is the cell itself


def _why(cell: Cell) -> str:
    """Say why an agent takes no mail; nothing if it does, or will when time passes."""
    return next((_HELD[hold] for hold in cell.holds if hold in _HELD), "")


def _countdown(timeout: float | None) -> functools.partial[float | None]:
    deadline = None if timeout is None else time.monotonic() + timeout
    return functools.partial(_left, deadline)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
