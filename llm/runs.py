"""The runs of a system that have not ended: one index over all agents, kept with their turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import unquote

import msgspec

from ..actors.patterns.rows import Office, Rows, quoted, scope_of
from ..actors.talk.reference import AgentRef
from ..shared.ledger.sweep import NEVER, Sweep
from ..shared.ledger.unit import Unit
from .records import ENDED, RunStatus, Waiting

_SCOPE: Final = scope_of("runs", "all")


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the index has of a run."""

    status: RunStatus
    asked: float
    waiting: tuple[Waiting, ...] = ()


class RunRow(msgspec.Struct, frozen=True):
    """A run that has not ended."""

    kind: str
    key: str
    run: str
    status: RunStatus
    asked: float
    waiting: tuple[Waiting, ...]


class Runs:
    """The runs of all agents that have not ended: ``list()``."""

    def __init__(self, office: Office) -> None:
        """Keep the rows by ``office``."""
        self._office = office
        self._rows = Rows(office, _SCOPE)

    def note(self, kind: str, key: str, run: str, noted: Noted) -> None:
        """Take down how a run stands, with the turn under way."""
        place = "/".join(map(quoted, (kind, key, run)))

        def written(unit: Unit) -> None:
            if noted.status in ENDED:
                self._rows.remove(unit, place)
            else:
                self._rows.put(unit, place, msgspec.json.encode(noted).decode())

        self._office.run(written)

    def list(self) -> list[RunRow]:
        """Return them, by agent."""
        return list(self.each())

    def each(self) -> Iterator[RunRow]:
        """Iterate over them, by agent."""
        for place, text in self._rows.rows(None, ""):
            kind, key, run = map(unquote, place.split("/"))
            noted = msgspec.json.decode(text, type=Noted)
            yield RunRow(kind, key, run, noted.status, noted.asked, noted.waiting)


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
        for row in self._runs.each():
            if row.status == "running" and row.kind in self._kinds:
                reference: AgentRef[Any] = self._reference(row.kind, row.key)
                reference.proxy().go_on.defer()
        return NEVER
