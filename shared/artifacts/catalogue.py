"""Find artifacts: by number, by name, by where they came from."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import ARTIFACT_TAGS, ARTIFACTS
from ...persistence.records.tables import Order, Row
from ..ledger.unit import Unit
from ..ledger.view import View
from .records import (
    AGENT_KEY,
    AGENT_KIND,
    CONTENT,
    CORRELATION,
    KIND,
    MADE,
    NAME,
    SESSION,
    TYPE,
    ArtifactType,
)

BY_NAME: Final = ("kind", "id", "part", "name", "version")
_EVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class ArtifactFilter:
    """Which artifacts; None does not matter."""

    scope: Scope | None = None
    name: str | None = None
    session: str | None = None
    agent: tuple[str, str] | None = None
    tag: str | None = None
    type: ArtifactType | None = None
    content: str | None = None
    correlation: int | None = None
    since: float | None = None
    until: float | None = None

    def counted(self) -> Order | None:
        """Return the order of the table that has these and no others; None if there is none."""
        if self.tag is not None or self.since is not None or self.until is not None:
            return None
        scope, name, agent = self.scope, self.name, self.agent
        if scope is None and name is not None:
            return None
        of_name = () if name is None else (name,)
        given = [
            Order(BY_NAME, (*scope.columns, *of_name)) if scope is not None else None,
            Order(("agent_kind", "agent_key", "number"), agent) if agent is not None else None,
            *(
                Order(by, (value,)) if value is not None else None
                for by, value in (
                    (("content",), self.content), (("correlation",), self.correlation),
                    (("session", "number"), self.session), (("type", "number"), self.type),
                )
            ),
        ]  # fmt: skip
        orders = [order for order in given if order is not None]
        if len(orders) > 1:
            return None
        return orders[0] if orders else Order(("number",))

    def fits(self, row: Row) -> bool:
        """Tell whether a row is one of them, but for its tags."""
        agent = self.agent
        made = row[MADE]
        assert isinstance(made, float)
        return (
            (self.scope is None or row[KIND:NAME] == self.scope.columns)
            and (self.name is None or row[NAME] == self.name)
            and (self.session is None or row[SESSION] == self.session)
            and (agent is None or (row[AGENT_KIND], row[AGENT_KEY]) == agent)
            and (self.type is None or row[TYPE] == self.type)
            and (self.content is None or row[CONTENT] == self.content)
            and (self.correlation is None or row[CORRELATION] == self.correlation)
            and (self.since or 0.0) <= made < (_EVER if self.until is None else self.until)
        )


def by_number(view: View, unit: Unit | None, number: int) -> Row | None:
    """Return an artifact's row."""
    return view.glance(unit, (ARTIFACTS, (number,)))


def by_name(
    view: View, unit: Unit | None, scope: Scope, name: str, version: int | None
) -> Row | None:
    """Return the row of a version of a name, or of its newest."""
    equal: Row = (*scope.columns, name, *(() if version is None else (version,)))
    found = view.rows(unit, ARTIFACTS, Order(BY_NAME, equal, descending=True))
    return next(found, None)


def find(
    view: View,
    unit: Unit | None,
    wanted: ArtifactFilter,
    after: int | None,
    *,
    newest: bool = False,
) -> Iterator[Row]:
    """Iterate over what is wanted behind the number ``after``, by number, up or down."""
    behind = None if after is None else (after,)
    if wanted.tag is not None:
        found = _tagged(view, unit, wanted.tag, behind, newest=newest)
    else:
        found = _candidates(view, unit, wanted, behind, newest=newest)
    return (row for row in found if wanted.fits(row))


def tags(view: View, unit: Unit | None, number: int) -> list[str]:
    """Return an artifact's tags."""
    found = view.rows(unit, ARTIFACT_TAGS, Order(("artifact",), (number,)))
    return [str(tag) for tag, _ in found]


def _tagged(
    view: View, unit: Unit | None, tag: str, behind: Row | None, *, newest: bool
) -> Iterator[Row]:
    order = Order(("tag", "artifact"), (tag,), newest)
    for _, number in view.rows(unit, ARTIFACT_TAGS, order, behind):
        assert isinstance(number, int)
        row = by_number(view, unit, number)
        if row is not None:
            yield row


def _candidates(
    view: View, unit: Unit | None, wanted: ArtifactFilter, behind: Row | None, *, newest: bool
) -> Iterator[Row]:
    """Iterate over artifacts by number, through the index that leaves the fewest."""
    for order in (
        Order(("content",), (wanted.content,), newest),
        Order(("correlation",), (wanted.correlation,), newest),
        Order(("session", "number"), (wanted.session,), newest),
        Order(("agent_kind", "agent_key", "number"), wanted.agent or (None, None), newest),
    ):
        if None not in order.equal:
            return view.rows(unit, ARTIFACTS, order, behind)
    if wanted.scope is not None:
        # In the order of names: all of them are looked at.
        equal = (*wanted.scope.columns, *(() if wanted.name is None else (wanted.name,)))
        named = view.rows(unit, ARTIFACTS, Order(BY_NAME, equal))
        return _sorted(named, behind, newest=newest)
    if wanted.since is not None or wanted.until is not None:
        start = None if wanted.since is None else (wanted.since, -1)
        until = _EVER if wanted.until is None else wanted.until
        timed = view.rows(unit, ARTIFACTS, Order(("made",)), start)
        before = itertools.takewhile(lambda row: row[MADE] < until, timed)  # type: ignore[operator]
        return _sorted(before, behind, newest=newest)
    if wanted.type is not None:
        order = Order(("type", "number"), (wanted.type,), newest)
        return view.rows(unit, ARTIFACTS, order, behind)
    return view.rows(unit, ARTIFACTS, Order(("number",), (), newest), behind)


def _sorted(found: Iterator[Row], behind: Row | None, *, newest: bool) -> Iterator[Row]:
    """Iterate over rows by number, up or down; a page of them costs no sorting of the others."""
    sign = -1 if newest else 1
    numbered = ((sign * int(str(row[0])), row) for row in found)
    least = None if behind is None else sign * int(str(behind[0]))
    heap = [each for each in numbered if least is None or each[0] > least]
    heapq.heapify(heap)
    while heap:
        yield heapq.heappop(heap)[1]
