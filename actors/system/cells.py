"""The cells of a system: found or made for a message, put to rest when memory runs short."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ...lifecycle.status import stored_status
from ...persistence.options import Options
from ...persistence.records.records import AgentRow
from ..agent.blueprint import Blueprint, Catalogue
from ..cell import failure
from ..cell.cell import AgentCell, Surroundings
from ..cell.hooked import class_for
from ..cell.isolation import isolated
from ..cell.receiver import RunningCell
from ..pool.mailbox import MailHold
from ..talk.control import Control, Verb
from ..talk.turn import Letter, as_letter
from .room import Room

SWEEP_SECONDS: Final = 1.0
CommitAsleep: TypeAlias = Callable[[AgentRow, Callable[[], int]], bool]
"""Is given the head of an agent, and what appends the commit."""


@dataclass(frozen=True, slots=True)
class Passivation:
    """Drop activations idle for ``idle`` seconds, and the longest idle ones above ``limit``.

    ``None`` switches either off. Volatile agents are never dropped, nor is one at work: where
    they fill the limit, it is exceeded by those who come.
    """

    idle: float | None = 300.0
    limit: int | None = 20_000

    def __post_init__(self) -> None:
        """Refuse limits that make no sense."""
        options = Options(self)
        options.seconds("idle", none="never")
        options.whole("limit", least=1, none="no limit")


class Keeper:
    """Keep the cells of a system, one for each agent in memory (cell.CellKeeper)."""

    def __init__(self, home: Surroundings, catalogue: Catalogue, limits: Passivation) -> None:
        """Make cells that live in ``home``, for the classes of ``catalogue``."""
        self._home = home
        self._catalogue = catalogue
        self._idle = limits.idle
        self.cells: dict[tuple[str, str], RunningCell] = {}
        self._lock = threading.Lock()
        self._turns = 0  # of cells that are gone
        home.hooks.changed = self.listen
        self._asleep: set[tuple[str, str]] = set()
        """Agents without a cell for which somebody else commits just now, if none is made."""
        self._committed: dict[tuple[str, str], tuple[int, AgentRow]] = {}
        """What was committed for them, and their heads: cells read nothing before that is
        durable, and until then know the status by it."""
        self._room = None if limits.limit is None else Room(self.cells, limits.limit)

    def cell(self, kind: str, key: str, *, here: bool = False) -> RunningCell:
        """Return the agent's cell, making it if it has none.

        ``here`` says that this thread may put other agents to rest for it.
        """
        cell = self.cells.get((kind, key))
        if cell is not None:
            return cell
        blueprint = self._catalogue.of_kind(kind)
        with self._lock:
            cell = self.cells.get((kind, key))
            if made := cell is None:
                cell = self._new(blueprint, key)
                if self._home.policy.isolated(kind, key):
                    cell.hold(MailHold.ISOLATED)
                self._asleep.discard((kind, key))
                if (committed := self._committed.pop((kind, key), None)) is not None:
                    cell.last_sequence, head = committed
                    cell.status = stored_status(str(cell), head.status)
                    cell.reason = head.reason
                cell.mailbox.attach(cell, self._home.dispatcher)
                self.cells[kind, key] = cell
                self._home.newcomers.add(cell)
        if made and self._room is not None:
            self._room.make(here=here)
        return cell

    def _new(self, blueprint: Blueprint, key: str) -> RunningCell:
        cell = RunningCell(self._home, blueprint, key)
        self._listen(cell)
        return cell

    def _listen(self, cell: RunningCell) -> None:
        """Have hooks listen to a cell's turns from the next one on; nobody, if there are none."""
        cell.hooks = self._home.hooks.of_turns(cell.kind, cell.key)
        cell.__class__ = class_for(cell.hooks)

    def listen(self) -> None:
        """Look again who listens to which cells."""
        with self._lock:
            for cell in self.cells.values():
                self._listen(cell)

    def forget(self, cell: AgentCell) -> None:
        """Drop a closed cell."""
        with self._lock:
            if self.cells.get((cell.kind, cell.key)) is cell:
                del self.cells[cell.kind, cell.key]
                self._turns += cell.turns

    @contextlib.contextmanager
    def asleep(self, kind: str, keys: Iterable[str]) -> Iterator[CommitAsleep]:
        """Give what commits for agents of a kind that have no cell, during the block.

        It tells whether it did: not for one that has a cell, or had one meanwhile, as what was read
        of that may be out of date, nor for one that is cut off. One caller at a time.
        """
        with self._lock:
            self._asleep = {
                (kind, key)
                for key in keys
                if (kind, key) not in self.cells
                and (kind, key) not in self._committed
                and not self._home.policy.isolated(kind, key)
            }
        try:
            yield self._commit_asleep
        finally:
            with self._lock:
                self._asleep.clear()
                durable = self._home.supervisor.committer.durable
                left = {name: made for name, made in self._committed.items() if made[0] > durable}
                self._committed = left  # it could not be waited for

    def _commit_asleep(self, head: AgentRow, append: Callable[[], int]) -> bool:
        name = head.kind, head.key
        with self._lock:
            if name not in self._asleep or self._home.policy.isolated(*name):
                return False
            self._committed[name] = append(), head
            self._asleep.discard(name)
        return True

    def replace(self, cell: AgentCell, failed: Letter | None, error: Exception) -> None:
        """Put a fresh cell, with all the mail, in the place of one that hangs."""
        fresh = self._take_over(cell)
        if fresh is None:  # it was cut off at the same moment
            if failed is not None:
                self._home.deliver(cell.kind, cell.key, failed)
            return
        failure.restart(fresh, error, failed)
        fresh.mailbox.attach(fresh, self._home.dispatcher)

    def set_aside(self, cell: AgentCell, first: Letter | None, why: MailHold) -> None:
        """Put a fresh cell in the place of one that is cut off; its mail waits, ``first`` first."""
        fresh = self._take_over(cell)
        if fresh is None:
            # It has retired; who came after it was made when the isolation was known.
            if first is not None:
                self._home.deliver(cell.kind, cell.key, first)
            return
        if first is not None:
            fresh.mailbox.put_back(first)
        for hold in cell.holds:
            # A wait before a restart does not go on: its end is known to the old cell alone.
            if hold is not MailHold.BACKOFF:
                fresh.hold(hold)
        fresh.hold(why)
        fresh.mailbox.attach(fresh, self._home.dispatcher)
        fresh.mailbox.put_urgent(Control(Verb.REFUSE, edge=False))

    def bury(self, cell: AgentCell, append: Callable[[], int]) -> tuple[int, RunningCell]:
        """Append the commit that deletes an agent; return its sequence, and the cell behind it.

        In one lock hold: an isolation that takes the cell over comes before or after. The new cell
        reads nothing before the commit is durable, and is not attached yet.
        """
        home, name = self._home, (cell.kind, cell.key)
        fresh = self._new(cell.blueprint, cell.key)
        fresh.mail_loaded = True
        fresh.turns = cell.turns
        with self._lock:
            if self.cells.get(name) is not cell:
                raise isolated(cell)
            sequence = fresh.last_sequence = append()
            home.graves.add(*name, sequence)
            self.cells[name] = fresh
            if home.policy.isolated(*name):
                fresh.hold(MailHold.ISOLATED)
        home.owed.discard(name)
        return sequence, fresh

    def _take_over(self, cell: AgentCell) -> RunningCell | None:
        """Return a fresh cell with all the mail of another, which is closed; not attached yet.

        None if it is not the agent's present cell.
        """
        fresh = self._new(cell.blueprint, cell.key)
        fresh.last_sequence, fresh.seen = cell.last_sequence, cell.seen
        fresh.status, fresh.reason = cell.status, cell.reason
        fresh.intensity = cell.intensity
        fresh.mail_loaded = cell.mail_loaded
        fresh.restarting = True
        fresh.turns = cell.turns
        fresh.error = cell.error
        # In this order: whoever finds the old mailbox closed finds the fresh one in its place,
        # where mail gathers behind what is left of the old, and nothing runs before the attach.
        with self._lock:
            if self.cells.get((cell.kind, cell.key)) is not cell:
                return None
            self.cells[cell.kind, cell.key] = fresh
            if self._home.policy.isolated(cell.kind, cell.key):
                fresh.hold(MailHold.ISOLATED)
        left = [as_letter(item) for item in cell.mailbox.close()]
        fresh.mailbox.put_back(*[e for e in left if getattr(e, "verb", None) is not Verb.DONE])
        return fresh

    def turns(self) -> int:
        """Return how many messages were handled since the system was opened."""
        with self._lock:
            return self._turns + sum(cell.turns for cell in self.cells.values())

    def sweep(self) -> None:
        """Put to rest what has been idle for long, and do so again and again."""
        if self._home.closing:
            return
        self._home.tick = self._home.clock.monotonic()
        horizon = self._home.tick - self._idle if self._idle is not None else None
        for cell in list(self.cells.values()):
            if cell.activation is None:
                if not cell.mailbox.busy():
                    cell.retire()
            elif horizon is not None and cell.used < horizon:
                self._put_to_rest(cell)
        if self._room is not None:
            self._room.sweep()
        self.sweep_later()

    def sweep_later(self) -> None:
        """Have a sweep made in a while."""
        later = self._home.clock.call_later(SWEEP_SECONDS, self.sweep)
        later.named("a look at which agents are idle", routine=True)

    def _put_to_rest(self, cell: RunningCell) -> None:
        if not cell.volatile and not cell.mailbox.busy() and not cell.leave():
            cell.mailbox.put_urgent(Control(Verb.PASSIVATE, edge=False))
