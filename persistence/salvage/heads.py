"""Heads of agents that are damaged or lost are made again, from the journal and the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..backup.forward import shape_after, status_after
from ..errors import CorruptState
from ..records.checksums import intact, intact_record, of_field, of_record
from ..records.journal import read_delta, shape_text
from ..records.records import AgentRow
from ..sqlite import rows
from .draft import Draft
from .forms import Row
from .losses import LOST, PARTED, RESTORED, Losses

OF_AGENTS: Final = ("fields", "log_items", "map_entries", "base_fields")
"""Tables whose rows belong to an agent by its number."""
_NUMBERS: Final = (
    "SELECT agent FROM fields UNION SELECT agent FROM log_items UNION SELECT agent FROM map_entries"
    " UNION SELECT agent FROM base_fields UNION SELECT agent FROM journal"
)
_HEADLESS: Final = (
    f"SELECT agent FROM ({_NUMBERS}) WHERE agent <> 0"  # noqa: S608 - our own names
    " AND agent NOT IN (SELECT agent FROM agents) AND agent NOT IN (SELECT agent FROM tombstones)"
    " AND agent NOT IN (SELECT agent FROM leftovers)"
)
_WIDTH: Final = 10
"""Columns of the table of agents."""
_MAP_OF: Final = {True: -2, False: -1}


class Heads:
    """Make the heads of agents whole in a new store."""

    def __init__(self, draft: Draft, losses: Losses) -> None:
        """Write into a draft, and note what was lost."""
        self._draft = draft
        self._losses = losses
        self.made: list[int] = []
        """Agents whose head was made again."""

    def mend(self, bad: Iterable[Row], names: dict[int, tuple[str, str]]) -> None:
        """Make what is not there, of what is left of heads and of the names by number."""
        left: dict[int, Row] = {}
        for row in bad:
            if len(row) != _WIDTH or (names and row[0] not in names):
                self._draft.quarantine(0, "agents", row, "a head that makes no sense")
            else:
                left[row[0]] = row
        there = {row[0] for row in self._draft.all("SELECT agent FROM agents")} if names else set()
        headless = {row[0] for row in self._draft.all(_HEADLESS)}
        wanted = headless | left.keys() | (names.keys() - there)
        gone = {row[0] for row in self._draft.all("SELECT agent FROM tombstones")}
        for number in sorted(wanted - gone):
            self._mend(number, left.get(number), names.get(number))
        self._shapes()

    def _mend(self, number: int, left: Row | None, name: tuple[str, str] | None) -> None:
        if name is None and left is not None and _is_name(left[1:3]):
            name = (left[1], left[2])
        if name is None:
            self._nameless(number)
            return
        head = self._of_left(left, name) or self._of_journal(number, name)
        if left is not None:
            why = "its row fails its checksum"
            self._draft.quarantine(number, "(head)", left, why)
        if head is None:
            if self._draft.one("SELECT 1 FROM agents WHERE kind = ? AND key = ?", name) is not None:
                return  # its number in the index is what is damaged
            self._losses.add("agent", LOST, *name, why="its head is lost, and all that it had")
            return
        shape, crc = self._shape_left(number, left)
        row = (*head, of_record(head), shape, crc)
        marks = ", ".join("?" * _WIDTH)
        if not self._draft.run(f"INSERT OR IGNORE INTO agents VALUES ({marks})", row):  # noqa: S608
            self._draft.quarantine(number, "(head)", row, "another agent has its name")
            self._losses.add("agent", PARTED, *name, why="another agent has its name")
            return
        self.made.append(number)
        self._losses.add("agent", RESTORED, *name, "(head)", why="made again from the journal")

    def _of_left(self, left: Row | None, name: tuple[str, str]) -> AgentRow | None:
        """Return the head that a damaged row proves to have been."""
        if left is None:
            return None
        values = (left[0], *name, *left[3:8])
        try:
            return rows.head(self._draft.connection, *name, values)[0]
        except (CorruptState, TypeError):
            return None

    def _of_journal(self, number: int, name: tuple[str, str]) -> AgentRow | None:
        """Return a head as the journal says it; quarantined where that knows nothing of it."""
        head = AgentRow(number, *name, 0, 0, "active", "")
        for row in self._entries(number):
            status, reason = status_after(head, row[5], read_delta(row[9]))
            head = head._replace(version=row[2], sequence=row[0], status=status, reason=reason)
        if head.version:
            return head
        if not any(self._has(table, number) for table in OF_AGENTS):
            return None
        reason = "its head is lost, and the journal knows nothing of it"
        self._losses.add("agent", PARTED, *name, why=reason)
        return head._replace(status="quarantined", reason=reason)

    def _entries(self, number: int) -> Iterator[Row]:
        query = "SELECT * FROM journal WHERE agent = ? ORDER BY sequence"
        return (row for row in self._draft.all(query, (number,)) if intact_record(row))

    def _has(self, table: str, number: int) -> bool:
        return self._draft.one(f"SELECT 1 FROM {table} WHERE agent = ?", (number,)) is not None  # noqa: S608

    def _nameless(self, number: int) -> None:
        """Keep what an agent had whose name nobody knows; its history stays in the journal."""
        count = 0
        for table in OF_AGENTS:
            for row in self._draft.all(f"SELECT * FROM {table} WHERE agent = ?", (number,)):  # noqa: S608
                self._draft.quarantine(number, table, row, "the name of its agent is lost")
                count += 1
            self._draft.run(f"DELETE FROM {table} WHERE agent = ?", (number,))  # noqa: S608
        why = f"its name is lost; {count} values of it are in quarantine"
        self._losses.add("agent", PARTED, "", "", f"number {number}", why=why)

    def _shape_left(self, number: int, left: Row | None) -> tuple[str | None, Any]:
        if left is not None and intact(of_field, number, "", left[8], left[9]):
            return left[8], left[9]
        text = shape_text(self._shape(number))
        return text, of_field(number, "", text)

    def _shapes(self) -> None:
        """Make the shapes again that fail their checksum beside a head that does not."""
        after = -(2**63)
        query = (
            "SELECT agent, kind, key, shape, shape_crc FROM agents WHERE agent > ?"
            " ORDER BY agent LIMIT 1000"
        )
        while page := self._draft.all(query, (after,)):
            for number, kind, key, text, crc in page:
                if (text, crc) != (None, None) and not intact(of_field, number, "", text, crc):
                    self._make_shape(number, kind, key, text)
            after = page[-1][0]

    def _make_shape(self, number: int, kind: str, key: str, text: object) -> None:
        self._draft.quarantine(number, "(shape)", text, "its checksum does not match")
        made = shape_text(self._shape(number))
        given = (made, of_field(number, "", made), number)
        self._draft.run("UPDATE agents SET shape = ?, shape_crc = ? WHERE agent = ?", given)
        self.made.append(number)
        self._losses.add("agent", RESTORED, kind, key, "(shape)", why="made again from its values")

    def _shape(self, number: int) -> dict[str, int | None]:
        """Return what an agent has by its rows, and by what the journal says that it had."""
        shape: dict[str, int | None] = {}
        for row in self._entries(number):
            shape = shape_after(shape, read_delta(row[9]))
        query = "SELECT field FROM fields WHERE agent = ?"
        shape |= {name: None for (name,) in self._draft.all(query, (number,))}
        query = "SELECT field, max(position) + 1 FROM log_items WHERE agent = ? GROUP BY field"
        for name, length in self._draft.all(query, (number,)):
            shape[name] = max(length, shape.get(name) or 0)
        query = "SELECT field, typeof(entry) FROM map_entries WHERE agent = ? GROUP BY field"
        for name, kind in self._draft.all(query, (number,)):
            shape[name] = _MAP_OF[kind == "integer"]
        return shape


def _is_name(values: Iterable[object]) -> bool:
    return all(isinstance(text, str) and "\ufffd" not in text for text in values)
