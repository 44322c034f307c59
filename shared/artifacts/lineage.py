"""What artifacts were made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...persistence.errors import LineageCircle
from ...persistence.records.shared_tables import LINEAGE
from ...persistence.records.tables import Order, Row
from ..ledger.unit import Step, Unit
from ..ledger.view import View

_SOURCES: Final = ("artifact", "source")


def sources(view: View, unit: Unit | None, number: int) -> Iterator[int]:
    """Iterate over the numbers of an artifact's direct sources."""
    for row in view.rows(unit, LINEAGE, Order(_SOURCES, (number,))):
        yield row[1]  # type: ignore[misc]


def results(view: View, unit: Unit | None, number: int) -> Iterator[int]:
    """Iterate over the numbers of what was made directly from an artifact."""
    for row in view.rows(unit, LINEAGE, Order(("source",), (number,))):
        yield row[0]  # type: ignore[misc]


def ancestors(view: View, unit: Unit | None, number: int) -> Iterator[int]:
    """Iterate over direct and indirect sources, nearest first, each once."""
    seen = {number}
    near = [number]
    while near:
        further: list[int] = []
        for artifact in near:
            for source in sources(view, unit, artifact):
                if source not in seen:
                    seen.add(source)
                    further.append(source)
                    yield source
        near = further


def linked(number: int, source: int) -> Step:
    """Return the step that makes ``source`` a source of ``number``, which is new."""

    def step(row: Row | None) -> Row:
        return (number, source) if row is None else row

    return step


def linked_later(view: View, unit: Unit, number: int, source: int) -> Step:
    """Return the step that makes ``source`` one of an older artifact; LineageCircle if it may not.

    The look round is part of the step, so it is taken under the ledger's lock as well: of two
    links that would close a circle together, the second is refused.
    """

    def step(row: Row | None) -> Row:
        seen: set[int] = set()
        near = {source}
        while near:
            if number in near:
                message = (
                    f"artifact {source} was itself made from artifact {number}, directly or not;"
                    " it cannot be a source of it"
                )
                raise LineageCircle(message)
            seen |= near
            near = {far for one in near for far in _edges(view, unit, one)} - seen
        return (number, source) if row is None else row

    return step


def _edges(view: View, unit: Unit, number: int) -> Iterator[int]:
    """Iterate over an artifact's sources, without taking the steps of the unit: this is in one."""
    blank = Unit(unit.standing, unit.epoch)
    yield from sources(view, blank, number)
    for (table, key), steps in list(unit.steps.items()):
        if steps and table is LINEAGE and key[0] == number:
            yield key[1]  # type: ignore[misc]
