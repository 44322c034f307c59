"""States of agents are made whole: what their tables have lost is taken from the journal.

Where that does not know it either, an agent goes back to the newest version of which everything is
known. If there is none it keeps what there is, and is quarantined, so that it does nothing until a
person has looked at it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import msgspec

from ..backup.forward import rows_of, shape_after, status_after
from ..errors import CorruptState, StateUnknown
from ..records.checksums import intact_record, of_base, of_entry, of_field, of_item, of_record
from ..records.journal import read_delta, read_shape, shape_text
from ..records.records import AgentRow, Delta, StoredAgent
from ..sqlite.reader import LOST as LOST_BASE
from ..sqlite.reader import SqliteReader
from ..store.batch_rows import joined
from ..upkeep.past import Past
from ..upkeep.states import StateCopy, States
from .draft import Draft
from .forms import Row
from .losses import BACK, LOST, PARTED, RESTORED, UNKNOWN, Losses

_COLLECTIONS: Final = ("fields", "log_items", "map_entries")
_NAMED: Final = 3
"""Parts that a quarantined agent's reason names."""
_BACK: Final = 1000
"""Versions that are tried on the way back."""


@dataclass(slots=True)
class Gaps:
    """What one agent's tables lack."""

    bad: dict[tuple[str, str, str | int | None], int] = field(default_factory=dict)
    """The checksums of damaged values, by table, field, and position or entry."""
    entries: set[tuple[str, str | int]] = field(default_factory=set)
    """Entries of maps that the journal has put there last."""
    maps: bool = False
    """Entries of its maps may be gone without a trace."""
    unsure: bool = False
    """Its head was made of a journal that may have lost its end."""


class Whole:
    """Make the states of agents whole in a new store."""

    def __init__(self, draft: Draft, reader: SqliteReader, losses: Losses) -> None:
        """Write into a draft, read what it has through a reader, and note what was lost."""
        self._draft = draft
        self._reader = reader
        self._losses = losses
        self._last = int(draft.one("SELECT coalesce(max(sequence), 0) FROM journal"))

    def go_on(self) -> None:
        """Bring agents to the version that the journal has of them, where their rows are older."""
        behind = self._draft.all(
            "SELECT a.agent FROM agents a JOIN (SELECT agent, max(version) AS newest FROM journal"
            " GROUP BY agent) j ON j.agent = a.agent WHERE j.newest > a.version"
        )
        for (number,) in behind:
            self._go_on(number)

    def _go_on(self, number: int) -> None:
        head, shape, schema = self._head(number)
        query = "SELECT * FROM journal WHERE agent = ? AND version > ? ORDER BY version"
        delta = Delta(number)
        for row in self._draft.all(query, (number, head.version)):
            if row[2] != head.version + 1 or not intact_record(row):
                break
            change = read_delta(row[9])
            status, reason = status_after(head, row[5], change)
            head = head._replace(version=row[2], sequence=row[0], status=status, reason=reason)
            shape = shape_after(shape, change)
            delta.merge(rows_of(number, change))
        with self._draft.together():
            self._write(delta)
            self._put_head(head, shape_text(shape, schema))
        why = f"brought to version {head.version} by the journal"
        self._losses.add("agent", RESTORED, head.kind, head.key, "(head)", why=why)

    def unseen(self) -> Iterator[tuple[int, str, str | int]]:
        """Iterate over the map entries that the journal has put last, and no table has.

        Nothing else tells of them. Agents that were migrated are left out: their maps may have
        become something else.
        """
        latest: dict[tuple[int, str], dict[str | int, bool]] = {}
        changes = (
            "SELECT agent, delta FROM journal"
            " WHERE (instr(delta, '\"put\"') OR instr(delta, '\"delete\"'))"
            " AND agent IN (SELECT agent FROM agents) AND agent NOT IN"
            " (SELECT agent FROM journal WHERE name IN ('(convert)', '(migrate)'))"
            " ORDER BY sequence"
        )
        for number, text in self._draft.all(changes):
            change = read_delta(text)
            for name, keys in change.delete.items():
                latest.setdefault((number, name), {}).update(dict.fromkeys(keys, False))
            for name, puts in change.put.items():
                there = {key: True for key, _ in puts}
                latest.setdefault((number, name), {}).update(there)
        query = "SELECT entry FROM map_entries WHERE agent = ? AND field = ?"
        for (number, name), entries in latest.items():
            known = {key for (key,) in self._draft.all(query, (number, name))}
            wanted = (key for key, put in entries.items() if put and key not in known)
            yield from ((number, name, key) for key in wanted)

    def mend(self, number: int, gaps: Gaps) -> None:
        """Make one agent whole, as far as anything knows."""
        head, shape, schema = self._head(number)
        stored = self._reader.load(head.kind, head.key)
        assert stored is not None
        past = Past(self._reader, stored)
        delta, unknown = self._missing(past, stored, gaps)
        if delta:
            with self._draft.together():
                self._write(delta)
        if not unknown:
            return
        back = self._newest_known(stored, past, gaps)
        with self._draft.together():
            if back is None:
                self._part(head, dict(shape), schema, unknown)
            else:
                self._back(head, back, schema, past)

    def _missing(
        self, past: Past, stored: StoredAgent, gaps: Gaps
    ) -> tuple[Delta, list[tuple[str, str]]]:
        """Return what the journal has of what is missing, and what nothing has: kind and name."""
        delta, unknown = Delta(past.agent), list[tuple[str, str]]()
        for what, place, put in chain(
            self._missing_values(past, stored, gaps, delta),
            self._missing_entries(past, gaps, delta),
        ):
            if not put:
                unknown.append((what, place))
                continue
            head = stored.head
            why = "the journal has it"
            self._losses.add(what, RESTORED, head.kind, head.key, place, why=why)
        if gaps.maps and not past.reaches_start(past.latest):
            maps = [n for n, length in stored.shape.items() if length is not None and length < 0]
            unknown += [("map entries", n) for n in maps]
        if gaps.unsure:
            unknown.append(("turns", f"behind version {past.latest}"))
        return delta, unknown

    def _missing_values(
        self, past: Past, stored: StoredAgent, gaps: Gaps, delta: Delta
    ) -> Iterator[tuple[str, str, bool]]:
        """Put into a delta what the journal has of plain fields and logs; say of each whether."""
        for name, length in stored.shape.items():
            if length is None and name not in stored.fields:
                text = self._field(past, name, gaps)
                if text is not None:
                    delta.fields[name] = text
                yield "field", name, text is not None
            for at in self._holes(past.agent, name, length or 0):
                text = self._item(past, name, at, gaps)
                if text is not None:
                    delta.append(name, at, [text])
                yield "log item", f"{name}[{at}]", text is not None

    def _missing_entries(
        self, past: Past, gaps: Gaps, delta: Delta
    ) -> Iterator[tuple[str, str, bool]]:
        query = "SELECT field, entry FROM map_entries WHERE agent = ?"
        there = {*self._draft.all(query, (past.agent,))}
        for name, key in self._wanted_entries(past, gaps):
            if (name, key) in there:
                continue
            sure, text = past.entry_at(name, key, past.latest)
            text = text or self._entry(past, name, key, gaps)
            if text is not None:
                delta.put(name, key, text)
            if text is not None or not sure:  # else it was removed
                yield "map entry", f"{name}[{key!r}]", text is not None

    def _wanted_entries(self, past: Past, gaps: Gaps) -> Iterator[tuple[str, str | int]]:
        """Iterate over map entries that may be missing."""
        found: dict[tuple[str, str | int], None] = dict.fromkeys(gaps.entries)
        for table, name, key in gaps.bad:
            if table == "map_entries" and key is not None:
                found[name, key] = None
        if gaps.maps:
            for _, change in past.between(0):
                found |= {(n, k): None for n, puts in change.put.items() for k, _ in puts}
        yield from found

    def _field(self, past: Past, name: str, gaps: Gaps) -> str | None:
        known, text = past.field_at(name, past.latest)
        if known and text is not None:
            return text
        crc = gaps.bad.get(("fields", name, None))
        texts = (bytes(c.set[name]).decode() for _, c in past.between(0) if name in c.set)
        return next((text for text in texts if of_field(past.agent, name, text) == crc), None)

    def _item(self, past: Past, name: str, at: int, gaps: Gaps) -> str | None:
        text = past.item_at(name, at, past.latest)
        crc = gaps.bad.get(("log_items", name, at))
        if text is not None or crc is None:
            return text
        for _, change in past.between(0):
            start, items = change.append.get(name, (0, []))
            if start <= at < start + len(items):
                text = bytes(items[at - start]).decode()
                if of_item(past.agent, name, at, text) == crc:
                    return text
        return None

    def _entry(self, past: Past, name: str, key: str | int, gaps: Gaps) -> str | None:
        crc = gaps.bad.get(("map_entries", name, key))
        for _, change in past.between(0):
            for put, raw in change.put.get(name, []):
                text = bytes(raw).decode()
                if put == key and of_entry(past.agent, name, key, text) == crc:
                    return text
        return None

    def _holes(self, agent: int, name: str, length: int) -> list[int]:
        if length <= 0:
            return []
        query = "SELECT position FROM log_items WHERE agent = ? AND field = ? AND position < ?"
        there = {at for (at,) in self._draft.all(query, (agent, name, length))}
        return [] if len(there) == length else [at for at in range(length) if at not in there]

    def _newest_known(self, stored: StoredAgent, past: Past, gaps: Gaps) -> StateCopy | None:
        """Return the newest state of which everything is known."""
        states = States(self._reader, stored)
        plain = {name for name, length in stored.shape.items() if length is None}
        lowest = max(past.oldest - 1, 1, past.latest - _BACK)
        first = past.latest - (not gaps.unsure)
        for version in range(first, lowest - 1, -1):
            if (gaps.maps or gaps.unsure) and not past.reaches_start(version):
                return None
            try:
                state = states.at(version)
            except (StateUnknown, CorruptState):
                continue
            if plain <= state.fields.keys():
                return state
        return None

    def _back(self, head: AgentRow, state: StateCopy, schema: int, past: Past) -> None:
        """Have an agent be as it was at a version."""
        agent = head.agent
        for table in _COLLECTIONS:
            self._draft.run(f"DELETE FROM {table} WHERE agent = ?", (agent,))  # noqa: S608
        delta = state.delta(agent, schema)
        self._write(delta)
        for name in state.logs:
            delta.truncated[name] = 0
        for name in {each for _, change in past.between(0) for each in change.put}:
            for key in past.changed_entries(name, state.version):
                if key not in state.maps.get(name, {}):
                    delta.put(name, key, None)
        self._commit(head, "(rewind)", delta, delta.shape or "{}")
        why = f"as it was at version {state.version}; its turns since are lost"
        self._losses.add("agent", BACK, head.kind, head.key, f"version {head.version}", why=why)

    def _part(
        self, head: AgentRow, shape: dict[str, int | None], schema: int,
        unknown: list[tuple[str, str]],
    ) -> None:  # fmt: skip
        """Leave an agent with what there is of it, and have it wait for a person."""
        delta = Delta(head.agent)
        for what, place in unknown:
            outcome = UNKNOWN if what in {"map entries", "turns"} else LOST
            self._losses.add(what, outcome, head.kind, head.key, place)
            name = place.partition("[")[0]
            if what == "field":
                shape.pop(name, None)
            elif what == "log item":
                length = min(shape[name] or 0, int(place[len(name) + 1 : -1]))
                shape[name] = delta.truncated[name] = length
        query = "SELECT * FROM log_items WHERE agent = ? AND field = ? AND position >= ?"
        for name, length in delta.truncated.items():
            for row in self._draft.all(query, (head.agent, name, length)):
                reason = "an item before it is lost"
                self._draft.quarantine(head.agent, f"{name}[{row[2]}]", row, reason)
        self._write(delta)
        parts = ", ".join(place for _, place in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        reason = f"salvaged without {parts}{more}; restart it to go on without them"
        parted = head._replace(status="quarantined", reason=reason)
        self._commit(parted, "(quarantine)", delta, shape_text(shape, schema))
        self._losses.add("agent", PARTED, head.kind, head.key, why=reason)

    def _commit(self, head: AgentRow, name: str, delta: Delta, shape: str) -> None:
        """Put what was done with an agent into the journal, as its next version."""
        self._last += 1
        text = delta.text()
        if head.status != "active":
            status = msgspec.json.encode([head.status, head.reason]).decode()
            text = joined(text, f'"status":{status}')
        row = (
            self._last, head.agent, head.version + 1, head.sequence, time.time(), name, 0, 0, 0,
            text,
        )  # fmt: skip
        self.put_entry(row)
        self._put_head(head._replace(version=head.version + 1, sequence=self._last), shape)

    def put_entry(self, row: Row) -> None:
        """Put an entry without its checksum into the journal."""
        marks = ", ".join("?" * (len(row) + 1))
        self._draft.run(f"INSERT INTO journal VALUES ({marks})", (*row, of_record(row)))  # noqa: S608

    def number_behind(self, sequence: int) -> None:
        """Have numbering go on behind a commit that was there, if the journal has lost it."""
        if sequence > self._last:
            self._last = sequence + 1
            self.put_entry((self._last, 0, 0, 0, time.time(), "(repair)", 0, 0, 0, "{}"))

    def forget_base(self, numbers: set[int]) -> None:
        """Mark agents of which a value before the journal is lost: none must be taken for known."""
        for number in numbers:
            row = (number, LOST_BASE, "true", of_base(number, LOST_BASE, "true"))
            self._draft.run("INSERT OR IGNORE INTO base_fields VALUES (?, ?, ?, ?)", row)

    def _head(self, number: int) -> tuple[AgentRow, dict[str, int | None], int]:
        query = (
            "SELECT agent, kind, key, version, sequence, status, reason, shape FROM agents"
            " WHERE agent = ?"
        )
        ((*head, shape),) = self._draft.all(query, (number,))
        return (AgentRow(*head), *read_shape(shape or "{}"))

    def _put_head(self, head: AgentRow, shape: str) -> None:
        row = (*head, of_record(head), shape, of_field(head.agent, "", shape))
        marks = ", ".join("?" * len(row))
        self._draft.run(f"INSERT OR REPLACE INTO agents VALUES ({marks})", row)  # noqa: S608

    def _write(self, delta: Delta) -> None:
        draft, agent = self._draft, delta.agent
        for name, length in delta.truncated.items():
            query = "DELETE FROM log_items WHERE agent = ? AND field = ? AND position >= ?"
            draft.run(query, (agent, name, length))
        for name, text in delta.fields.items():
            row = (agent, name, text, of_field(agent, name, text))
            draft.run("INSERT OR REPLACE INTO fields VALUES (?, ?, ?, ?)", row)
        for item in delta.items:
            draft.run("INSERT OR REPLACE INTO log_items VALUES (?, ?, ?, ?, ?)", item)
        for place, entry in delta.entries.items():
            if entry is None:
                query = "DELETE FROM map_entries WHERE agent = ? AND field = ? AND entry = ?"
                draft.run(query, place)
            else:
                draft.run("INSERT OR REPLACE INTO map_entries VALUES (?, ?, ?, ?, ?)", entry)
