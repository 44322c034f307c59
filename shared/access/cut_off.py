"""The isolations that are in force: who is cut off from everything, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...persistence.records.page import LIMIT, Page, page_of, walk
from .grants import Isolation


class Isolations:
    """List the agents that are cut off, in (kind, key) order. System only."""

    def __init__(
        self, found: Callable[[], Sequence[Isolation]], allow: Callable[[str], object]
    ) -> None:
        """Show what ``found`` gives to whom ``allow`` does not refuse."""
        self._all = found
        self._allow = allow

    def list(self, *, after: tuple[str, str] | None = None, limit: int = LIMIT) -> Page[Isolation]:
        """Return a page of them; ``after`` is the kind and the key of the agent before."""
        behind = (each for each in self._found() if after is None or _name(each) > after)
        return page_of(behind, limit, _name)

    def each(self, *, after: tuple[str, str] | None = None) -> Iterator[Isolation]:
        """Iterate over all of them in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(after=place), after)

    def count(self) -> int:
        """Return how many there are."""
        return len(self._found())

    def _found(self) -> Sequence[Isolation]:
        self._allow("ask who is isolated")
        return sorted(self._all(), key=_name)

    def __repr__(self) -> str:
        return "<Isolations: list(), each(), count()>"


def _name(isolation: Isolation) -> tuple[str, str]:
    return isolation.agent.id, isolation.agent.part
