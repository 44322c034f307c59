"""What the rows of declared tables take: a line for each scope of keys, and each other table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import ScopeError
from ..names.scope import Scope
from ..records.records import Growth
from ..records.shared_tables import SCOPED, SHARED_TABLES
from ..records.tables import Table

SHARED: Final = "(shared)"
"""Stands for the kind of an agent where there is none."""

Sum = tuple[Table, tuple[str, str, str], int, int]
"""A table, the columns of a scope (empty but for keys), rows and bytes."""


def queries() -> Iterator[tuple[Table, str]]:
    """Iterate over the SQL that adds up a table: three columns of a scope, rows, bytes."""
    for table in SHARED_TABLES:
        if table is SCOPED:
            yield (
                table,
                (
                    "SELECT kind, id, part, count(*), sum(length(CAST(value AS BLOB)))"
                    " FROM scoped GROUP BY kind, id, part"
                ),
            )
        else:
            sizes = " + ".join(f"ifnull(length(CAST({name} AS BLOB)), 0)" for name in texts(table))
            query = f"SELECT '', '', '', count(*), sum({sizes or 0}) FROM {table.name}"  # noqa: S608
            yield table, query


def texts(table: Table) -> list[str]:
    """Return the columns of a table whose values have a length."""
    return [c.name for c in table.columns if c.type in {"text", "json", "blob"}]


def rows(sums: Iterable[Sum]) -> list[Growth]:
    """Return sums as the report has them, without those of nothing."""
    return [
        Growth(SHARED, _form(scope) if table is SCOPED else "", f"({table.name})", table.name, n, b)
        for table, scope, n, b in sums
        if n
    ]


def _form(columns: tuple[str, str, str]) -> str:
    try:
        return str(Scope(*columns))
    except ScopeError:  # a damaged row: doctor names it
        return "/".join(map(str, columns))
