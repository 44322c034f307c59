"""The queries of listings: a page behind a place, forwards or backwards, and how many there are."""

from __future__ import annotations

from typing import Final, TypeAlias

from ..store.store import Listed
from .leaving import LIVING_MAIL

Whose: TypeAlias = tuple[str | None, str | None]
"""A kind and a key; None for any."""
Chain: TypeAlias = tuple[int | None, int | None]
"""A correlation, and a cause in another one; None for any."""
Query: TypeAlias = tuple[str, tuple[object, ...]]
"""SQL with its parameters."""

LEADS: Final = "cause > 0 AND (correlation = message OR correlation < 0)"
"""An entry that begins a chain of messages, or is in a session, and was caused by a commit.

That is what the index of causes holds: an effect in the same chain is found by the chain.
"""
_ORDER: Final = {
    "mailbox": ("id",), "dead_letters": ("id",), "timers": ("due", "kind", "key", "name"),
}  # fmt: skip
_ENDS: Final = ((-(2**63),), (2**63 - 1,))
"""What is before all ids, and behind them: SQLite looks a place up, and need not scan."""
_NAMED: Final = (
    " FROM journal LEFT JOIN agents ON agents.agent = journal.agent"
    " LEFT JOIN tombstones ON tombstones.agent = journal.agent"
)
"""The journal with the names of its agents, also of those that were deleted."""
_JOURNAL: Final = (
    "SELECT coalesce(agents.kind, tombstones.kind, ''), coalesce(agents.key, tombstones.key, ''),"
    f" journal.*{_NAMED}"
)


def page(
    what: Listed, whose: Whose, after: tuple[object, ...] | None, limit: int, *, newest: bool
) -> Query:
    """Return the query for up to ``limit`` rows of a table behind a place."""
    columns = _ORDER[what]
    conditions, parameters = _of(whose)
    if after is None and columns == ("id",):
        after = _ENDS[newest]
    if after is not None:
        marks = ", ".join("?" * len(columns))
        conditions.append(f"({', '.join(columns)}) {'<' if newest else '>'} ({marks})")
        parameters += after
    if what == "mailbox":
        conditions.append(LIVING_MAIL)
    way = " DESC" if newest else ""
    order = ", ".join(column + way for column in columns)
    sql = f"SELECT * FROM {what}{_where(conditions)} ORDER BY {order} LIMIT ?"  # noqa: S608 - ours
    return sql, (*parameters, limit)


def journal(whose: Whose, chain: Chain, *, after: int | None, limit: int, newest: bool) -> Query:
    """Return the query for a page of the journal, of all agents, of a kind or of an agent."""
    conditions, parameters = _of(whose, named=True)
    correlation, led_from = chain
    if correlation is not None:
        conditions.append("journal.correlation = ?")
        parameters.append(correlation)
    if led_from is not None:
        conditions += ["journal.cause = ?", LEADS]
        parameters.append(led_from)
    if after is not None:
        conditions.append(f"journal.sequence {'<' if newest else '>'} ?")
        parameters.append(after)
    way = "DESC" if newest else "ASC"
    sql = f"{_JOURNAL}{_where(conditions)} ORDER BY journal.sequence {way} LIMIT ?"
    return sql, (*parameters, max(limit, 0))


def counted(what: Listed, kind: str | None, key: str | None) -> Query:
    """Return the query for how many rows there are."""
    conditions, parameters = _of((kind, key), named=what == "journal")
    if what == "mailbox":
        conditions.append(LIVING_MAIL)
    # Every commit has an entry, also one without an agent.
    source = _NAMED if what == "journal" and conditions else f" FROM {what}"
    sql = f"SELECT count(*){source}{_where(conditions)}"
    return sql, tuple(parameters)


def _of(whose: Whose, *, named: bool = False) -> tuple[list[str], list[object]]:
    """Return conditions and their parameters; ``named`` where the agents' names are joined."""
    wanted = [(name, value) for name, value in zip(("kind", "key"), whose, strict=True)]
    given = [(name, value) for name, value in wanted if value is not None]
    form = "coalesce(agents.{0}, tombstones.{0}) = ?" if named else "{0} = ?"
    return [form.format(name) for name, _ in given], [value for _, value in given]


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
