"""How often a message was begun, counted over the ends of processes.

A message whose handler raises is counted where that is stored. One that ends its process cannot be:
so whoever opens a store whose owner was killed counts an old message *before* it is handled, and
waits until that is durable. Mail of this process costs nothing:

1. Behind the first kill only the first message of each agent is counted so, and its ticks that are
   overdue: what an owner had in hand when it died was one of these. Behind a second kill in a row
   each old message is.
2. An agent goes on behind such a message when the turn that ended it is durable. Else a later
   message that kills would be counted to this one.
3. What was begun before and not ended is suspected, and suspects of all agents are handled one
   after the other: so a kill is counted to the one that was in hand, not to all.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from ...lifecycle.clock import Clock
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import PerdureError
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import ATTEMPTS
from ...persistence.records.tables import Change, Key, Order
from ...persistence.store.store import Store
from ..talk.turn import Letter

logger = logging.getLogger("perdure.actors")

PATIENCE: Final = 5.0
"""Seconds that a suspect waits for another: that may be waiting for this one's agent."""
ENDED: Final = "its process ended while it was handled, and that was its last attempt"
"""Why a message is a dead letter that was begun too often."""
_KILLS: Final[Key] = ("", "", "kills", 0)
"""Counts the owners in a row that were killed."""
_OF_AGENT: Final = ("kind", "key")
_PAGE: Final = 1000


class Care(enum.Enum):
    """Which old messages are counted before they are handled."""

    NONE = "none"
    """Only those that were counted before: the owner before has given the store back."""
    FIRST = "first"
    """The first of each agent."""
    ALL = "all"


class Ward:
    """Let suspects in one at a time."""

    def __init__(self, clock: Clock) -> None:
        """Measure the patience of those who wait by ``clock``."""
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: Letter | None = None
        self._waiting: deque[tuple[Letter, Callable[[], object]]] = deque()

    def enter(self, letter: Letter) -> bool:
        """Let a suspect in, unless another is; one that has waited for long comes in its place."""
        with self._lock:
            if self._inside is None:
                self._inside = letter
            return self._inside is letter

    def wait(self, letter: Letter, go_on: Callable[[], object]) -> None:
        """Call ``go_on`` when a suspect is inside; at once if it could be."""
        with self._lock:
            free = self._inside is None
            if free:
                self._inside = letter
            else:
                self._waiting.append((letter, go_on))
        if free:
            go_on()
        else:
            self._clock.call_later(PATIENCE, lambda: self._admit(letter)).named(
                "a message that a killed process had begun waits for another such"
            )

    def leave(self, letter: Letter) -> None:
        """Have the next come in, if this one is inside."""
        go_on: Callable[[], object] | None = None
        with self._lock:
            if self._inside is not letter:
                return
            self._inside = None
            if self._waiting:
                self._inside, go_on = self._waiting.popleft()
        if go_on is not None:
            go_on()

    def _admit(self, letter: Letter) -> None:
        """Let in who has waited for long, besides whoever is inside."""
        with self._lock:
            found = [entry for entry in self._waiting if entry[0] is letter]
            if not found:
                return
            self._waiting.remove(found[0])
            self._inside = letter
        found[0][1]()


class Attempts:
    """Know how often what waits in the store was begun by processes before this one."""

    def __init__(self, store: Store, supervisor: PersistenceSupervisor, clock: Clock) -> None:
        """Take over from an owner, who may have been killed."""
        self._store = store
        self._supervisor = supervisor
        self.opened = clock.now()
        """What fell due before this was due when the owner before died, or while nobody was."""
        kills = store.row(ATTEMPTS, _KILLS)
        self._kills = (0 if kills is None else int(str(kills[-1]))) + store.killed
        self.care = (Care.NONE, Care.FIRST, Care.ALL)[min(self._kills, 2)]
        self.known = bool(store.keys(ATTEMPTS, None, 1))
        """Whether anything was counted before: else nothing has to be looked up."""
        self.ward = Ward(clock)
        self._started = False

    @property
    def watchful(self) -> bool:
        """Whether old mail is looked at before it is handled."""
        return self.known or self.care is not Care.NONE

    def start(self) -> None:
        """Remember that the owner before was killed: before anything old is begun."""
        self._started = True
        if self._store.killed:
            self.put(_KILLS, self._kills)
            self._store.killed = False

    def close(self, *, complete: bool) -> None:
        """Take note that this owner was not killed, or that it left a turn in its middle.

        Not for one that runs no agents.
        """
        kills = 0 if complete else self._kills + 1
        if self._started and kills != self._kills:
            try:
                self.put(_KILLS, kills)
            except PerdureError as error:
                logger.warning("the next owner takes this one for killed: %s", error)

    def put(self, place: Key, times: int) -> int:
        """Store how often something was begun, 0 for what has ended; return the commit."""
        commit = Commit()
        commit.with_effects().rows = [change(place, times)]
        return self._supervisor.append(commit)

    def times(self, place: Key) -> int:
        """Return how often processes before this one have begun something."""
        row = self._store.row(ATTEMPTS, place) if self.known else None
        return 0 if row is None else int(str(row[-1]))

    def of(self, kind: str, key: str) -> dict[Key, int]:
        """Return how often they have begun what waits for an agent, by its place."""
        found: dict[Key, int] = {}
        order, after = Order(_OF_AGENT, (kind, key)), None
        while self.known and (page := self._store.page(ATTEMPTS, order, after, _PAGE)):
            found |= {row[: ATTEMPTS.key]: int(str(row[-1])) for row in page}
            after = page[-1][2 : ATTEMPTS.key]
        return found


def change(place: Key, times: int) -> Change:
    """Return the row that counts how often something was begun; none for what has ended."""
    return Change(ATTEMPTS, place, (*place, times) if times else None)


def place_of(kind: str, key: str, letter: Letter) -> Key:
    """Return where the attempts of an agent's letter are counted."""
    timer = letter.timer
    if timer is None:
        return (kind, key, "message", letter.id)
    return (kind, key, timer_place(timer.due, timer.name), 0)


def timer_place(due: float, name: str) -> str:
    """Return what names one tick of a timer: the next one is begun anew."""
    return f"timer {due!r} {name}"
