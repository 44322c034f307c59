"""What in a store's file is not ours but would act on our tables: triggers, indexes, other tables.

A store may come from elsewhere. A trigger on one of our tables runs on our commits, an index may
call functions or forbid rows, a view or a generated column may stand where a table was. Tables,
views, triggers and indexes of others beside ours are nobody's business.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

_TOKEN: Final = re.compile(
    r"""--[^\n]*\n?|/\*.*?\*/|\s+        # passed over
    |"((?:[^"]|"")*)"|\[([^]]*)\]|`((?:[^`]|``)*)`|'((?:[^']|'')*)'|([\w$]+)|(.)""",
    re.DOTALL | re.VERBOSE,
)
_COLUMN: Final = r"\w+( collate (binary|nocase|rtrim))?( asc| desc)?"
_PLAIN: Final = re.compile(rf"create index (\w+|!) on \w+ \( {_COLUMN}( , {_COLUMN})* \)")


def alien(connection: sqlite3.Connection, definitions: Mapping[str, str]) -> Iterator[str]:
    """Iterate over what is not as ``definitions`` says, in words; the first is reason enough.

    ``definitions`` has the statement that makes each table or index of ours, by name.
    """
    # As SQLite itself reads them: a flipped bit makes bytes of a text.
    texts = ", ".join(f"CAST({name} AS TEXT)" for name in ("type", "name", "tbl_name", "sql"))
    rows = connection.execute(f"SELECT {texts} FROM sqlite_schema").fetchall()  # noqa: S608
    found = {name: sql for kind, name, _, sql in rows if kind == "table"}
    tables = {name for name, sql in definitions.items() if sql.startswith("CREATE TABLE")}
    altered = sorted(table for table in tables if found.get(table) != definitions[table])
    if altered:
        yield f"not as perdure makes it: the table {', '.join(altered)}"
    for kind, name, table, sql in rows:
        if kind not in {"trigger", "index"} or sql is None or definitions.get(name) == sql:
            continue
        ours = tables & {str(table).lower(), _target(sql)}
        if ours and not (kind == "index" and _plain(sql)):
            yield f"not perdure's: the {kind} {name} on the table {min(ours)}"


def _tokens(sql: str) -> list[tuple[str, bool]]:
    """Return the words and signs of a statement, each with "it was quoted".

    A list: an interrupt that strikes while a generator is dropped half way is lost.
    """
    found: list[tuple[str, bool]] = []
    for match in _TOKEN.finditer(sql):
        *quoted, word, sign = match.groups()
        if word is not None or sign is not None:
            found.append(((word or sign).lower(), False))
        else:
            found += [(text.lower(), True) for text in quoted if text is not None]
    return found


def _target(sql: str) -> str:
    """Return the name behind ON: what SQLite goes by, whatever the row beside it says."""
    tokens = iter(_tokens(sql))
    for word, quoted in tokens:
        if word == "on" and not quoted:
            return next(tokens, ("", False))[0]
    return ""


def _plain(sql: str) -> bool:
    """Tell whether an index only finds rows: by columns, all of them, and forbids none."""
    words = (word if re.fullmatch(r"\w+|[(),]", word) else "!" for word, _ in _tokens(sql))
    return _PLAIN.fullmatch(" ".join(words)) is not None
