"""A store that fails as a test says, and outlives the systems that open it."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ...actors.agent.agent import state_class_of
from ...actors.talk.reference import AgentRef
from ...persistence.errors import ConfigurationError, StoreError, StoreUnavailable
from ...persistence.memory.store import MemoryStore
from ...persistence.records.records import StoredAgent
from ...persistence.sqlite.store import SqliteStore
from ...persistence.state.state import layout_of
from ...persistence.store.batch import Batch
from ...persistence.store.lease import NO_LEASE, Owner
from ...persistence.store.store import Store, StoreReader

HELD_SECONDS: Final = 30.0
"""Real seconds for which a commit is held at the most: a test that forgets it must end."""
DEAD: Final = "the process of this system was killed by the test"


class _Life:
    """What the store of one life adds to the store as it is; stands before its class."""

    faults: FaultyStore
    gate: threading.RLock
    """Held by who commits, and by who ends the life: it is ended before or after, not within."""
    dead = False

    def commit(self, batch: Batch) -> None:
        """Make a batch durable, or fail as the test says."""
        self.faults.meet("commit")
        with self.gate:
            self._refuse_if_dead()
            loss = self.faults.before(batch)
        self.faults.wait()
        with self.gate:  # in one with the look: who is struck dead here commits nothing
            self._refuse_if_dead()
            super().commit(batch)  # type: ignore[misc]  # of the class behind
            self.faults.after(batch)
        if loss is not None:
            raise loss

    def load(self, kind: str, key: str) -> StoredAgent | None:
        """Read an agent, with a damaged field where the test says so."""
        self.faults.meet("load")
        found: StoredAgent | None = super().load(kind, key)  # type: ignore[misc]  # as above
        return found if found is None else self.faults.damaged(found)

    def load_many(self, kind: str, keys: Sequence[str]) -> list[StoredAgent]:
        """Read agents together, each as ``load`` does."""
        self.faults.meet("load_many")
        found: list[StoredAgent] = super().load_many(kind, keys)  # type: ignore[misc]  # as above
        return [self.faults.damaged(each) for each in found]

    def _refuse_if_dead(self) -> None:
        if self.dead:
            raise StoreUnavailable(DEAD)


def _named(port: type) -> set[str]:
    return {name for name, each in vars(port).items() if inspect.isfunction(each)}


_NEVER_FAIL: Final = {"close", "release", "mail"}  # and mail calls inbox
_READS: Final = {name for name in _named(StoreReader) - _NEVER_FAIL if name[0] != "_"}
_CALLS: Final = _READS | _named(Store) - _NEVER_FAIL
"""What may fail, be slow, and be told of."""


def _met(name: str) -> Callable[..., object]:
    def call(self: _Life, *args: object, **kwargs: object) -> object:
        self.faults.meet(name)
        made: object = getattr(super(_Life, self), name)(*args, **kwargs)
        return made

    return call


for _name in _CALLS - set(vars(_Life)):
    setattr(_Life, _name, _met(_name))


class MemoryLife(_Life, MemoryStore):
    """A store in memory, as one life of the process has it."""


class SqliteLife(_Life, SqliteStore):
    """A store in a file, as one life of the process has it."""


class FaultyStore:
    """A store that outlives systems, and fails on command: each opening is another life of it.

    In memory, or in a SQLite file. What fails, fails with StoreUnavailable, so the system tries
    again by its clock, and opens its breaker as it would anywhere.
    """

    def __init__(self, path: Path | None = None, *, sync: str = "process") -> None:
        """Keep what is stored in memory, or in the file at ``path``."""
        self.path = path
        self._sync = sync
        self._memory = MemoryLife()
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._open.set()
        self._waiting = threading.Event()
        self._writing, self._reading = _Refusal(), _Refusal()
        self._reads = _READS
        self._share, self._lost_share, self._in_a_row = 0.0, 0.0, 0
        self._most_in_a_row: int | None = None
        self._chance = random.Random(0)  # noqa: S311 - faults by a seed, no secrets
        self._seconds, self._read_seconds = 0.0, 0.0
        self._slowness: random.Random | None = None
        self._damage: dict[tuple[str, str], str] = {}
        self.commits = 0
        """Commits that have become durable, in all lives."""
        self.failures = 0
        """Batches and reads that have failed as commanded."""
        self._latest: MemoryLife | SqliteLife | None = None
        self.on_commit: list[Callable[[Batch], object]] = []
        """Called with each batch once it is durable, on the thread that has written it."""
        self.on_fault: list[Callable[[str], object]] = []
        """Called with what has happened to the store."""
        self.on_call: list[Callable[[str], object]] = []
        """Called with the name of each call of the port, before it is made, on the thread that
        makes it: what one of them raises is what has become of the call."""

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else f"at {self.path}"
        error = self._writing.error or self._reading.error
        failing = f", failing: {error}" if error is not None else ""
        return f"<FaultyStore {where}, {self.commits} commits{failing}>"

    def open(self) -> Store:
        """Return the store for a system to open: its next life."""
        life: MemoryLife | SqliteLife
        if self.path is None:
            life = self._memory = self._memory.twin()  # type: ignore[assignment]  # a copy of it
        else:
            life = SqliteLife(self.path, sync=self._sync)
        life.faults, life.gate, life.dead = self, threading.RLock(), False
        self._latest = life
        return life

    @property
    def life(self) -> MemoryLife | SqliteLife:
        """The store as the latest system has it."""
        if self._latest is None:
            raise ConfigurationError("no system has opened this store yet")
        return self._latest

    def serves(self, system: object) -> bool:
        """Tell whether a system is on a life of this store; known before its opening is done."""
        return getattr(getattr(system, "_store", None), "faults", None) is self

    def kill(self) -> None:
        """End the present life as a kill does: nothing of it is committed any more.

        The lease stays with it, as with a process that was killed.
        """
        life = self.life
        self._open.set()
        with life.gate:
            life.dead = True

    @staticmethod
    def bury(life: Store) -> None:
        """Give back what a killed life has still open; the lease is not released."""
        life.lease = NO_LEASE
        with contextlib.suppress(StoreError, sqlite3.Error):
            life.close()

    # What the test says.

    def fail(
        self,
        *,
        next: int | None = None,  # noqa: A002 - reads as it is meant
        error: StoreError | None = None,
        lost: bool = False,
    ) -> None:
        """Refuse the ``next`` commits to be written, or all until ``mend()``.

        ``lost``: they become durable, and the system does not get to know.
        """
        times = _times("fail", next)
        told = error or StoreUnavailable("the store is down, as the test says")
        with self._lock:
            self._writing.set(next, told, lost=lost)
        self._tell(f"the store fails{times}")

    def fail_reads(
        self,
        *calls: str,
        next: int | None = None,  # noqa: A002 - as above
        error: StoreError | None = None,
    ) -> None:
        """Refuse the ``next`` reads, or all until ``mend()``; or only those ``calls``.

        By the names of the store's port: ``"load"`` for a whole agent, ``"inbox"`` for its mail,
        ``"map_entry"``, ``"row"`` for a shared key.
        """
        unknown = [call for call in calls if call not in _READS]
        if unknown:
            known = ", ".join(sorted(_READS))
            raise ConfigurationError(f"{unknown[0]!r} is no read of a store; there are {known}")
        times = _times("fail_reads", next)
        told = error or StoreUnavailable("the store cannot be read, as the test says")
        with self._lock:
            self._reads = set(calls) or _READS
            self._reading.set(next, told)
        self._tell(f"reads fail{times}: {', '.join(calls) or 'all'}")

    def damage(self, agent: AgentRef[Any], field: str) -> None:
        """Have the next read of an agent that has a field stored give it with a wrong checksum."""
        known = [each.name for each in layout_of(state_class_of(agent.actor_class)).plain]
        if field not in known:
            told = f"no field of {agent} that is stored whole; there are {', '.join(known)}"
            raise ConfigurationError(f"{field!r} is {told}")
        self._damage[agent.kind, agent.key] = field
        self._tell(f"{agent}, state.{field} is damaged on its way from the store")

    def fill(self) -> None:
        """Refuse every commit, as a full disk does, until ``mend()``."""
        self.fail(error=StoreUnavailable("saving failed: database or disk is full"))

    def fail_at_random(
        self, share: float, *, seed: int | str, lost: float = 0.0, in_a_row: int | None = None
    ) -> None:
        """Refuse a share of all commits, chosen by a seed, until ``mend()``.

        ``lost``: the share of those that become durable all the same; ``in_a_row``: at the most so
        many one after the other.
        """
        if not 0 <= share < 1:
            raise ConfigurationError(f"fail_at_random({share}): give a share from 0 to below 1")
        self._share, self._lost_share, self._most_in_a_row = share, lost, in_a_row
        self._chance = random.Random(seed)  # noqa: S311 - as above
        if share:
            self._tell(f"the store fails at random, {share:.0%} by seed {seed}")

    def slow(self, seconds: float, *, reads: float = 0.0, seed: int | str | None = None) -> None:
        """Have each commit take so many real seconds more, and each read, until ``mend()``.

        With a seed up to so many, as that says.
        """
        self._seconds, self._read_seconds = seconds, reads
        self._slowness = None if seed is None else random.Random(seed)  # noqa: S311 - as above
        if seconds or reads:
            told = f"by {seconds:g} s" + (f", and {reads:g} s for reads" if reads else "")
            self._tell(f"the store is slow {told}")

    @contextlib.contextmanager
    def held(self) -> Iterator[threading.Event]:
        """Let nothing become durable before the end of the block; the event: something waits."""
        try:
            yield self.hold()
        finally:
            self.let_go()

    def hold(self) -> threading.Event:
        """Let nothing become durable before ``let_go()``; the event: something waits."""
        self._waiting.clear()
        self._open.clear()
        return self._waiting

    def let_go(self) -> None:
        """Let everything through again."""
        self._open.set()

    def lose_lease(self) -> None:
        """Have another owner take the store over: the system that has it open is fenced off."""
        other: Store
        other = self._memory.twin() if self.path is None else SqliteStore(self.path)
        other.acquire(Owner.this_process(), takeover=True)
        other.close()
        self._tell("another owner has taken the store over")

    def mend(self) -> None:
        """Take commits and reads again, all and at once."""
        with self._lock:
            self._writing.error = self._reading.error = None
        self._share, self._seconds, self._read_seconds = 0.0, 0.0, 0.0
        self._damage.clear()
        self._tell("the store is back")

    # What the lives ask.

    def meet(self, name: str) -> None:
        """Do to a call what the test has said."""
        for told in list(self.on_call):
            told(name)
        if name not in _READS:
            return
        if self._read_seconds:
            self._sleep(self._read_seconds)
        with self._lock:
            error = self._reading.take() if name in self._reads else None
            self.failures += error is not None
        if error is not None:
            self._tell(f"a read fails ({error}): {name}")
            raise error

    def damaged(self, found: StoredAgent) -> StoredAgent:
        """Return an agent as it is read."""
        agent = found.head.kind, found.head.key
        field = self._damage.get(agent)
        if field is None or field not in found.fields:
            return found
        self._damage.pop(agent, None)
        text, crc = found.fields[field]
        return dataclasses.replace(found, fields={**found.fields, field: (f"{text} ", crc)})

    def before(self, batch: Batch) -> StoreError | None:
        """Raise what the test has said, or return what is to be raised behind the write."""
        with self._lock:
            lost, error = self._writing.lost, self._writing.take()
            if error is None and self._by_chance():
                error = StoreUnavailable("the store failed by chance, as the test says")
                lost = bool(self._lost_share) and self._chance.random() < self._lost_share
            self.failures += error is not None
        if error is None:
            return None
        names = ", ".join(commit.name for commit in batch.commits)
        self._tell(f"a save fails ({error}), and is {'' if lost else 'not '}there: {names}")
        if not lost:
            raise error
        return error

    def wait(self) -> None:
        """Take the time that the test has said."""
        if self._seconds:
            self._sleep(self._seconds)
        if not self._open.is_set():
            self._waiting.set()
            self._open.wait(HELD_SECONDS)

    def after(self, batch: Batch) -> None:
        """Take note that a batch is durable."""
        self.commits += len(batch.commits)
        for told in self.on_commit:
            told(batch)

    def _by_chance(self) -> bool:
        fails = (
            bool(self._share)
            and (self._most_in_a_row is None or self._in_a_row < self._most_in_a_row)
            and self._chance.random() < self._share
        )
        self._in_a_row = self._in_a_row + 1 if fails else 0
        return fails

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds if self._slowness is None else seconds * self._slowness.random())

    def _tell(self, what: str) -> None:
        for told in self.on_fault:
            told(what)


class _Refusal:
    """What is refused: so many more times, or until further notice."""

    def __init__(self) -> None:
        self.error: StoreError | None = None
        self.lost = False
        self._left = 0

    def set(self, times: int | None, error: StoreError, *, lost: bool = False) -> None:
        """Refuse from now on."""
        self.error, self.lost, self._left = error, lost, -1 if times is None else times

    def take(self) -> StoreError | None:
        """Return the error of this attempt."""
        error = self.error
        if error is not None:
            self._left -= 1
            if self._left == 0:
                self.error = None
        return error


def _times(method: str, times: int | None) -> str:
    """Return how often something fails, for people."""
    if times is not None and times < 1:
        raise ConfigurationError(f"{method}(next={times}): give a number of attempts, 1 or more")
    return "" if times is None else f", {times} times"
