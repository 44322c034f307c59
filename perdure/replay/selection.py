"""Which recorded turns: of one agent, of a correlation, of a session, of a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypedDict

from ..hooks.history.history import History, RunSelection, placed
from ..hooks.history.record import HookRecord
from ..hooks.history.recording import POINT
from ..persistence.errors import ConfigurationError
from ..persistence.records.shared_tables import SESSIONS
from ..persistence.store.store import StoreReader

Where = tuple[int, int] | None
"""A commit and the place of an execution in it."""


class TurnSelection(TypedDict, total=False):
    """Which turns; what is left out does not matter."""

    kind: str
    key: str
    correlation: int
    session: str
    since: float
    """Seconds since the epoch."""
    until: float
    first: str
    """The id from which on."""
    last: str
    """The id up to which."""
    limit: int


@dataclass(frozen=True, slots=True)
class TurnSurvey:
    """How many turns are wanted, and of whom."""

    total: int
    left_out: int
    """Of kinds for which there is no class."""
    agents: frozenset[tuple[str, str]]
    last: tuple[int, int]
    """The place of the newest."""

    def again(self, records: Iterable[HookRecord], kinds: Collection[str]) -> Iterator[HookRecord]:
        """Give those of some kinds among the same turns; none that was recorded meanwhile."""
        for record in records:
            if (record.sequence, record.position) > self.last:
                return
            if record.kind in kinds:
                yield record


def survey(records: Iterable[HookRecord], kinds: Collection[str]) -> TurnSurvey:
    """Look through turns, and keep none."""
    total, left_out, last = 0, 0, (-1, 0)
    agents = set[tuple[str, str]]()
    for record in records:
        last = record.sequence, record.position
        if record.kind in kinds:
            total += 1
            agents.add((record.kind, record.key))
        else:
            left_out += 1
    return TurnSurvey(total, left_out, frozenset(agents), last)


def selected(store: StoreReader, which: TurnSelection) -> Iterator[HookRecord]:
    """Iterate over the recorded turns that are wanted, oldest first."""
    strange = set(which) - set(TurnSelection.__annotations__)
    if strange:
        known = ", ".join(TurnSelection.__annotations__)
        raise ConfigurationError(f"turns are selected by {known}, not by {min(strange)!r}")
    limit: object = which.get("limit")
    if limit is not None and (type(limit) is not int or limit < 0):
        raise ConfigurationError(f"limit={limit!r}: give a whole number of turns, 0 or more")
    first = placed(str(which["first"])) if "first" in which else None
    last = placed(str(which["last"])) if "last" in which else None
    wanted: RunSelection = {"point": POINT}
    for name in ("kind", "key", "correlation", "since", "until"):
        if name in which:
            wanted[name] = which[name]
    if "session" in which:
        row = store.row(SESSIONS, (which["session"],))
        if row is None:
            raise ConfigurationError(f"there is no session {which['session']!r} in the store")
        wanted["correlation"] = int(str(row[SESSIONS.names.index("correlation")]))
    return islice(_between(History(store), wanted, first, last), which.get("limit"))


def _between(
    history: History, wanted: RunSelection, first: Where, last: Where
) -> Iterator[HookRecord]:
    """Iterate over the turns from one place to another, whether these are kept still or not."""
    after = None if first is None else f"{first[0]}.{first[1] - 1}"
    for record in history.each(after=after, **wanted):
        if last is not None and (record.sequence, record.position) > last:
            return
        yield record
