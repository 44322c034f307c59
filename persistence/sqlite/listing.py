"""The queries of listings: a page behind a place, forwards or backwards, and how many there are."""

from __future__ import annotations

from typing import Final, TypeAlias

from ..store.store import Listed

Whose: TypeAlias = tuple[str | None, str | None]
"""A kind and a key; None for any."""
Query: TypeAlias = tuple[str, tuple[object, ...]]
"""SQL with its parameters."""

_ORDER: Final = {
    "mailbox": ("id",), "dead_letters": ("id",), "timers": ("due", "kind", "key", "name"),
}  # fmt: skip
_ENDS: Final = ((-(2**63),), (2**63 - 1,))
"""What is before all ids, and behind them: SQLite looks a place up, and need not scan."""
_JOURNAL: Final = (
    "SELECT coalesce(kind, ''), coalesce(key, ''), journal.*"
    " FROM journal LEFT JOIN agents ON agents.agent = journal.agent"
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
    way = " DESC" if newest else ""
    order = ", ".join(column + way for column in columns)
    sql = f"SELECT * FROM {what}{_where(conditions)} ORDER BY {order} LIMIT ?"  # noqa: S608 - ours
    return sql, (*parameters, limit)


def journal(kind: str | None, *, after: int | None, limit: int, newest: bool) -> Query:
    """Return the query for a page of the journal, of all agents or of a kind."""
    conditions, parameters = _of((kind, None))
    if after is not None:
        conditions.append(f"journal.sequence {'<' if newest else '>'} ?")
        parameters.append(after)
    way = "DESC" if newest else "ASC"
    sql = f"{_JOURNAL}{_where(conditions)} ORDER BY journal.sequence {way} LIMIT ?"
    return sql, (*parameters, max(limit, 0))


def counted(what: Listed, kind: str | None, key: str | None) -> Query:
    """Return the query for how many rows there are."""
    conditions, parameters = _of((kind, key))
    # Every commit has an entry, also one without an agent.
    joined = " LEFT JOIN agents USING (agent)" if what == "journal" and conditions else ""
    sql = f"SELECT count(*) FROM {what}{joined}{_where(conditions)}"  # noqa: S608 - ours
    return sql, tuple(parameters)


def _of(whose: Whose) -> tuple[list[str], list[object]]:
    wanted = [(name, value) for name, value in zip(("kind", "key"), whose, strict=True)]
    given = [(name, value) for name, value in wanted if value is not None]
    return [f"{name} = ?" for name, _ in given], [value for _, value in given]


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
