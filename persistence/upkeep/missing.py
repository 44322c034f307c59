"""Find what artifacts need and the store has not: no checksum tells of a row that is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

_QUERIES: Final = {
    "contents": (
        "SELECT kind || ':' || id, name, 'version ' || version FROM artifacts a WHERE NOT EXISTS"
        " (SELECT 1 FROM contents c WHERE c.content = a.content)"
    ),
    "content_parts": (
        "SELECT content, '', 'of ' || chunks FROM contents c WHERE chunks <> 1 AND chunks <>"
        " (SELECT count(*) FROM content_parts p WHERE p.content = c.content)"
    ),
    "chunks": (
        "SELECT content, position, chunk FROM content_parts p WHERE chunk <> content AND NOT EXISTS"
        " (SELECT 1 FROM chunks h WHERE h.chunk = p.chunk)"
        " UNION ALL SELECT content, 0, content FROM contents c WHERE chunks = 1 AND NOT EXISTS"
        " (SELECT 1 FROM chunks h WHERE h.chunk = c.content)"
    ),
}
"""By the table that has lost rows. Each is one statement, so a live owner cannot mislead it."""


def missing(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str, str]]:
    """Iterate over lost rows: their table, and three words that say which."""
    for table, query in _QUERIES.items():
        for kind, key, place in connection.execute(query):
            yield table, str(kind), str(key), str(place)
