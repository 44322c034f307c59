"""Rows of declared tables: the journal puts them back; what hangs on lost ones is parted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..audit.entries import Anchor
from ..backup.forward import SharedDelta, changes_in
from ..names.scope import INTERNAL, RUNS
from ..records.chain import Chain
from ..records.checksums import intact_record
from ..records.shared_tables import (
    ARTIFACT_NAMES,
    ARTIFACTS,
    AUDIT,
    AUDIT_ANCHOR,
    SCOPED,
    TOMBSTONES,
)
from ..records.tables import Key, Row, Table
from ..sqlite import tables
from ..sqlite.pool import fetch
from .draft import Draft
from .losses import LOST, PARTED, RESTORED, Losses

WORDS: Final = {
    "mailbox": "mail", "timers": "timer", "dead_letters": "dead letter", "scoped": "scoped key",
    "sessions": "session", "artifacts": "artifact", "journal": "journal entry",
    "grants": "grant", "audit": "decision", "agents": "agent", "fields": "field",
    "log_items": "log item", "map_entries": "map entry", "base_fields": "base value",
}  # fmt: skip
"""What a row of a table is called in a report."""
_BROKEN: Final = """SELECT * FROM artifacts a WHERE NOT EXISTS (
    SELECT 1 FROM contents c WHERE c.content = a.content AND (
        c.chunks = 1 AND EXISTS (SELECT 1 FROM chunks h WHERE h.chunk = c.content)
        OR c.chunks = (SELECT count(*) FROM content_parts p JOIN chunks h ON h.chunk = p.chunk
            WHERE p.content = c.content)))"""
"""Artifacts whose content is not whole; one of a single chunk is that chunk, and has no list."""
_TORN: Final = """DELETE FROM contents AS c WHERE chunks <> (
    SELECT count(*) FROM content_parts p WHERE p.content = c.content)
    AND NOT (chunks = 1 AND EXISTS (SELECT 1 FROM chunks h WHERE h.chunk = c.content))"""
Hurt = Callable[[str, Key], bool]
"""Tells whether a row of a table may have been lost."""
_read_shared: Final = msgspec.json.Decoder(SharedDelta).decode


def word(table: str) -> str:
    """Return what a row of a table is called."""
    return WORDS.get(table, f"row of {table}")


def name_of(table: str, columns: tuple[str, ...], row: tuple[Any, ...]) -> tuple[str, str, str]:
    """Return kind, key and name of a row, as far as its columns tell."""
    named = {c: v for c, v in zip(columns, row, strict=False) if v is not None}
    if table in {"mailbox", "timers", "dead_letters"}:
        rest = named.get("name", named.get("id", ""))
        return str(named.get("kind", "")), str(named.get("key", "")), str(rest)
    scope = ":".join(str(named[c]) for c in ("kind", "id", "part") if named.get(c))
    if table == "scoped":
        return "", str(named.get("key", "")), scope
    if table == "artifacts":
        what = named.get("name", f"number {named.get('number', '?')}")
        return "", f"{what} v{named['version']}" if "version" in named else str(what), scope
    return "", "/".join(str(part) for part in row[:2]), ""


def _harmless(table: Table, key: Key) -> bool:
    """Tell whether a row may come back that was changed or removed since.

    Tombstones never are while the journal has anything of their agents, and whoever finds a run in
    the index of those that have not ended asks its agent.
    """
    return table is TOMBSTONES or (table is SCOPED and key[:2] == (INTERNAL, RUNS))


class Shared:
    """Make what agents share whole in a new store."""

    def __init__(self, draft: Draft, losses: Losses) -> None:
        """Write into a draft, and note what was lost."""
        self._draft = draft
        self._losses = losses

    def from_journal(self, hurt: Hurt, known: float) -> None:
        """Put rows back whose last change stands in the journal.

        The journal has lost nothing behind commit ``known``. What has its last change before that
        may have been removed since (a grant revoked, a key deleted): it is kept in quarantine.
        """
        latest: dict[tuple[Table, Key], tuple[int, Row | None]] = {}
        for row in self._draft.all(
            "SELECT * FROM journal WHERE instr(delta, '\"rows\"') OR instr(delta, '\"gone\"')"
            " ORDER BY sequence"
        ):
            if intact_record(row):
                for table, key, values in changes_in(_read_shared(row[9])):
                    if hurt(table.name, key):
                        latest[table, key] = row[0], values
        for (table, key), (sequence, values) in latest.items():
            there = values is None or self._draft.has(table.name, key)
            if values is None or there or not self._has_home(table, key):
                continue
            place = name_of(table.name, table.names, values)
            if sequence < known and not _harmless(table, key):
                why = "the journal has it, and may have lost that it was changed or removed"
                self._draft.quarantine(0, table.name, values, why)
                self._losses.add(word(table.name), PARTED, *place, why=why)
                continue
            tables.write(self._draft.connection, table, {key: values})
            self._losses.add(word(table.name), RESTORED, *place, why="the journal has it")

    def _has_home(self, table: Table, key: Key) -> bool:
        """Tell whether a key's scope is not that of an agent which was deleted."""
        if table is not SCOPED or key[0] != "agent":
            return True
        query = "SELECT 1 FROM agents WHERE kind = ? AND key = ?"
        return self._draft.one(query, key[1:3]) is not None

    def artifacts(self, *, count: bool) -> None:
        """Part artifacts whose bytes are lost; count the others again then, or if asked to."""
        broken = self._draft.all(_BROKEN)
        for row in broken:
            self._draft.quarantine(0, "artifacts", row, "its bytes are lost")
            for table, column in (
                ("artifacts", "number"), ("artifact_tags", "artifact"), ("lineage", "artifact"),
                ("lineage", "source"),
            ):  # fmt: skip
                self._draft.run(f"DELETE FROM {table} WHERE {column} = ?", row[:1])  # noqa: S608
            place = name_of("artifacts", ARTIFACTS.names, row)
            self._losses.add("artifact", LOST, *place, why="its bytes are lost")
        torn = "chunk NOT IN (SELECT chunk FROM chunks)"
        self._draft.run(f"DELETE FROM content_parts WHERE {torn}")  # noqa: S608 - our own words
        self._draft.run(_TORN)
        if broken or count:
            self._count_artifacts()

    def _count_artifacts(self) -> None:
        """Have the counters of names, scopes and of the whole store say what is there."""
        counted = dict[Key, tuple[int, int, int]]()
        for row in self._draft.all("SELECT kind, id, part, name, version, size FROM artifacts"):
            *scope, name, version, size = row
            for key in ((*scope, name), (*scope, "")):
                last, count, total = counted.get(key, (0, 0, 0))
                counted[key] = (max(last, version), count + 1, total + size)
        known = {
            row[:4]: row for row in fetch(self._draft.connection, "SELECT * FROM artifact_names")
        }
        for key in counted.keys() | known.keys():
            if key == ("", "", "", ""):
                continue
            last, count, size = counted.get(key, (0, 0, 0))
            before = known.get(key)
            told = before[4] if before else 0
            row = (*key, max(last, told) if key[3] else told, count, size)
            if before is None or before[4:7] != row[4:]:
                self._put_count((*row, before[7] if before else 0))
        whole = known.get(("", "", "", ""))
        number = self._draft.one("SELECT coalesce(max(number), 0) FROM artifacts")
        count, size = self._draft.all("SELECT count(*), coalesce(sum(size), 0) FROM artifacts")[0]
        if count or whole is not None:
            made = ("", "", "", "", max(number, whole[4] if whole else 0), count, size)
            if whole is None or whole[:7] != made:
                self._put_count((*made, whole[7] if whole else 0))

    def _put_count(self, row: Row) -> None:
        tables.write(self._draft.connection, ARTIFACT_NAMES, {row[:4]: row})

    def audit(self) -> None:
        """Keep the chain of decisions that leads to the newest; part those before a gap."""
        anchor = self._draft.one("SELECT number FROM audit_anchor")
        numbers = [row[0] for row in self._draft.all("SELECT number FROM audit ORDER BY number")]
        if not numbers:
            return
        begins = next(
            (b for a, b in zip(numbers[-2::-1], numbers[:0:-1], strict=True) if b != a + 1),
            numbers[0],
        )
        if begins == (anchor or 0) + 1:
            return
        parted = self._draft.all("SELECT * FROM audit WHERE number <= ?", (begins,))
        last = parted[-1]
        for row in parted:
            self._draft.quarantine(0, f"audit {row[0]}", row, "decisions behind it are lost")
            self._losses.add("decision", PARTED, "", str(row[0]))
        lost = begins - (anchor or 0) - len(parted)
        self._draft.run("DELETE FROM audit WHERE number <= ?", (begins,))
        at = AUDIT.names.index("hash")
        made = Anchor.sealed(Chain(begins, last[at]), "", None).row(last[AUDIT.names.index("time")])
        tables.write(self._draft.connection, AUDIT_ANCHOR, {(1,): made})
        if lost:
            why = f"{lost} decisions before number {begins} are gone"
            self._losses.add("decisions", LOST, "", str(lost), why=why)
