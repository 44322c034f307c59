"""The runs of a system that have not ended: one index over all agents, kept with their turns."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, ClassVar, Final, Protocol

import msgspec

from ..actors.patterns.rows import Office, Rows
from ..actors.system.post import refuse_agents
from ..actors.talk.reference import AgentRef
from ..lifecycle.signals import AgentEvent, agent_deleted
from ..lifecycle.status import Status
from ..persistence.errors import AgentDeleted, CorruptState, UnknownRun
from ..persistence.store.store import StoreReader
from ..shared.ledger.sweep import NEVER, Sweep
from ..shared.ledger.unit import Unit
from .open_runs import SCOPE, Noted, OpenRun, noted, open_runs, place_of, standing
from .records import Run, RunEvent

_MOST_TEXTS: Final = 10_000
"""Pieces of an answer that a slow reader may fall behind by; older ones are left out."""


class _Reader:
    """One who reads a run as it goes on: woken by other threads."""

    def __init__(self) -> None:
        """Belong to the loop that runs here."""
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._texts: deque[str] = deque(maxlen=_MOST_TEXTS)

    def tell(self, text: str) -> None:
        """Hand on a piece of an answer, or with "" that there is a new step. Thread-safe."""
        if text:
            self._texts.append(text)
        with contextlib.suppress(RuntimeError):  # its loop is gone
            self._loop.call_soon_threadsafe(self._woken.set)

    async def texts(self) -> list[str]:
        """Wait for something, and return the pieces that came."""
        await self._woken.wait()
        self._woken.clear()
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._texts.popleft())
        return found


class Runs:
    """The runs of all agents that have not ended: ``list()``; and those who read along."""

    def __init__(self, office: Office, store: StoreReader) -> None:
        """Keep the rows by ``office``, and look them up in ``store``."""
        self._office = office
        self._store = store
        self._rows = Rows(office, SCOPE)
        self._changing = threading.Lock()
        self._readers: dict[tuple[str, str, str], list[_Reader]] = {}
        """Looked at without the lock, so the lists are replaced, never changed."""

    def has(self, kind: str, key: str, run: str) -> bool:
        """Tell whether the index has a run, as the turn under way sees it."""
        place = place_of(kind, key, run)
        return self._office.run(lambda unit: self._rows.look(unit, place) is not None)

    def tell(self, kind: str, key: str, run: str, text: str = "") -> None:
        """Tell those who read a run of a piece of text, or of a new step."""
        for reader in self._readers.get((kind, key, run), ()):
            reader.tell(text)

    async def stream(
        self, ref: AgentRef[Any], run: str, *, after: int = 0
    ) -> AsyncIterator[RunEvent]:
        """Iterate over the events of a run, those behind number ``after``, to its end.

        Steps come when they are durable, and again to a reader who asks again; pieces of an answer
        under way come at once, and never again. UnknownRun if the agent has no such run, or is
        deleted; SystemClosed if the system closes before the run ends.
        """
        place, reader = (ref.kind, ref.key, run), _Reader()

        def gone(_system: object, event: AgentEvent) -> None:
            if (event.kind, event.key) == place[:2]:
                reader.tell("")  # it looks for the run, and does not find it

        with self._changing:
            self._readers[place] = [*self._readers.get(place, ()), reader]
        agent_deleted.connect(gone)
        try:
            while True:
                try:
                    events: list[RunEvent] = await ref.proxy().run_events(run, after)
                except AgentDeleted as error:  # it was deleted before it could look
                    raise UnknownRun(f"{ref}: there is no run {run!r}") from error
                for event in events:
                    after = event.number
                    yield event
                if events and events[-1].what == "end":
                    return
                for text in await reader.texts():
                    yield RunEvent(after, "text", body=text)
        finally:
            agent_deleted.disconnect(gone)
            with self._changing:
                left = [each for each in self._readers[place] if each is not reader]
                self._readers[place] = left
                if not left:
                    del self._readers[place]

    def close(self) -> None:
        """Have those who read along learn that their system is closed."""
        with self._changing:
            readers = [each for readers in self._readers.values() for each in readers]
        for reader in readers:
            reader.tell("")

    def note(self, kind: str, key: str, run: Run, *, goes_on: bool) -> None:
        """Take down how a run stands, with the turn under way."""
        place = place_of(kind, key, run.id)
        noted = Noted("running" if goes_on else run.status, run.asked)

        def written(unit: Unit) -> None:
            if run.over:
                self._rows.remove(unit, place)
            else:
                self._rows.put(unit, place, msgspec.json.encode(noted).decode())

        self._office.run(written)

    def list(self) -> list[OpenRun]:
        """Return them, by agent."""
        return list(self.each())

    def each(self) -> Iterator[OpenRun]:
        """Iterate over them, by agent."""
        refuse_agents("list the runs of all agents")
        return open_runs(self._store)

    def sweep(self) -> Iterator[OpenRun]:
        """Iterate over them, and remove from the index what is left of agents that were deleted.

        Each is looked for behind the look at its row, so one that begins meanwhile stays.
        """
        for row in noted(self._store):
            if standing(self._store, row) is not None:
                yield row
            else:
                place = place_of(row.kind, row.key, row.run)
                self._office.run(partial(_removed, self._rows, place))


def _removed(rows: Rows, key: str, unit: Unit) -> None:
    rows.remove(unit, key)


class _Thinks(Protocol):
    @property
    def runs(self) -> Runs: ...


def runs_of(system: Any) -> Runs:  # noqa: ANN401 - the system as handlers see it
    """Return the runs of a system."""
    thinks: _Thinks = system
    return thinks.runs


class RunSweep(Sweep):
    """At the opening of a system: runs go on at the step at which an earlier process was."""

    what: ClassVar[str] = "runs of agents that think do not go on"
    first: ClassVar[float] = 0.0

    def __init__(self, runs: Runs, reference: Any, kinds: frozenset[str]) -> None:  # noqa: ANN401 - Runtime.reference
        """Wake the agents of ``kinds``."""
        super().__init__()
        self._runs = runs
        self._reference = reference
        self._kinds = kinds

    def slice(self) -> float:
        """Have each go on."""
        for row in self._runs.sweep():
            if row.status == "running" and row.kind in self._kinds:
                reference: AgentRef[Any] = self._reference(row.kind, row.key)
                if not _stopped(reference):
                    reference.proxy().go_on.defer()
        return NEVER


def _stopped(reference: AgentRef[Any]) -> bool:
    """Tell whether an agent was stopped, and so does not go on."""
    try:
        return reference.describe().status == Status.STOPPED
    except CorruptState:
        return False  # that it cannot be read is told when it is woken
