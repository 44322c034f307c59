"""Roll a restored store forward: the commits that a later copy's journal has are made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ..errors import BackupFailed
from ..records.checksums import intact_record
from ..records.erasures import HASHED
from ..records.journal import JournalDelta, read_delta, read_shape, shape_text
from ..records.records import (
    AgentRow,
    Commit,
    Deletion,
    Delta,
    JournalRow,
    Renaming,
    Shape,
)
from ..records.shared_tables import SHARED_TABLES, TOMBSTONES
from ..records.tables import Change, Row, Table, Value
from ..schema.aliases import RENAME
from ..schema.rewrite import MIGRATE
from ..sqlite.pool import fetch
from ..sqlite.reader import SqliteReader
from ..sqlite.store import SqliteStore
from ..store.batch import Batch
from ..store.lease import Owner
from .moments import trimmed
from .progress import Progress, silent

_SLICE: Final = 2_000
"""Commits that are made again in one transaction; the draft is nobody's store yet."""
_BY_NAME: Final = {table.name: table for table in SHARED_TABLES}
_AMONG: Final = "agent IN (SELECT value FROM json_each(?))"
_INTEGERS, _TEXTS = -2, -1
"""The marks of maps in a shape, by the type of their keys."""


class SharedDelta(msgspec.Struct):
    """What a journaled delta says of declared tables; values stay JSON."""

    rows: dict[str, list[list[msgspec.Raw]]] = {}
    gone: dict[str, list[list[msgspec.Raw]]] = {}


_read_shared: Final = msgspec.json.Decoder(SharedDelta).decode


@dataclass(slots=True)
class _Agent:
    """An agent as far as its commits have been made again."""

    head: AgentRow
    shape: dict[str, int | None] = field(default_factory=dict)
    schema: int = 0
    """The number of the schema it is written with."""


def roll(
    target: SqliteStore, source: SqliteReader, last: int, *, exact: bool, tell: Progress = silent
) -> None:
    """Make the commits up to ``last`` again that ``source`` has and ``target`` has not.

    Agents and journaled tables come to be as they were behind that commit. With ``exact`` what came
    and went beside them, mail among it, is left to ``passing.py``. BackupFailed if the
    journal of ``source`` is not the continuation of the other's, or has a hole or damage there.
    """
    first = _same_history(target, source)
    target.acquire(Owner.this_process())
    again = _Again(target, source, first)
    done = first
    while rows := _rows(source, done, last):
        again.meet(rows)
        commits = [again.commit(row) for row in rows]
        batch = Batch(commits)
        batch.journal = rows  # word for word
        batch.passing = not exact
        target.commit(batch)
        done = rows[-1].sequence
        tell("going on from the journal", done - first, last - first)


def _same_history(target: SqliteReader, source: SqliteReader) -> int:
    """Return the last commit of the target, which must stand in the source's journal as well."""
    query = "SELECT * FROM journal WHERE sequence = ?"
    with target.reading() as here, source.reading() as there:
        newest = here.execute("SELECT max(sequence) FROM journal").fetchone()[0]
        last = int(newest or 0)
        mine, other = fetch(here, query, (last,)), fetch(there, query, (last,))
    if last and not other:
        raise trimmed(source.location, last)
    if mine != other and not _erased(mine[0], other[0]):
        message = f"{source.location} has another commit {last:,}: it is no continuation"
        raise BackupFailed(message)
    return last


def _erased(mine: Sequence[object], other: Sequence[object]) -> bool:
    """Tell whether two rows are the same commit, of which one copy has lost what was erased."""
    return mine[:9] == other[:9]


def _rows(source: SqliteReader, behind: int, last: int) -> list[JournalRow]:
    with source.reading() as connection:
        query = (
            "SELECT * FROM journal WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        )
        rows = fetch(connection, query, (behind, last, _SLICE))
    for row in rows:
        if not intact_record(row):
            message = f"commit {row[0]!r} in the journal of {source.location} is damaged"
            raise BackupFailed(f"{message}; restore to a moment before it")
    return [JournalRow(*row) for row in rows]


class _Again:
    """Makes commits of journal rows."""

    def __init__(self, target: SqliteReader, source: SqliteReader, behind: int) -> None:
        self._names: dict[int, tuple[str, str]] = {}
        """Those of the agents that are met, as of then: a store may have a million others."""
        self._last_names: dict[int, tuple[str, str]] = {}
        """Those that they have in the later copy."""
        self._born = first_kinds(source)
        """Those of agents that have had another kind since."""
        self._agents: dict[int, _Agent] = {}
        # The journal of an earlier release does not say where an agent is written with another
        # schema: the one that is known next holds from its first change on, or its migration on.
        self._schemas: dict[int, int] = {}
        self._first_schemas = first_schemas(source, behind)
        self._erased = set(erased_numbers(target))
        """Agents that were taken out of the backup: they have no state to go on from."""
        self._target = target
        self._later = source
        self._source = source.location

    def meet(self, rows: Iterable[JournalRow]) -> None:
        """Learn who the agents of some commits are: a later copy may have them by other kinds."""
        new = {row.agent for row in rows if row.agent} - self._names.keys()
        if new:
            last, there = dict(names(self._later, new)), dict(names(self._target, new))
            born = self._born
            as_born = {agent: (born.get(agent, kind), key) for agent, (kind, key) in last.items()}
            self._last_names |= last
            self._names |= as_born | there
            first = self._first_schemas
            self._schemas |= schemas(self._later, new) | {n: first[n] for n in new & first.keys()}

    def commit(self, row: JournalRow) -> Commit:
        """Return a commit with all that its row says."""
        delta = read_delta(row.delta) if row.agent else JournalDelta()
        renamed = self._renamed(row, delta) if row.name == RENAME else None
        kind, key = self._names.get(row.agent, ("", "")) if row.agent else ("", "")
        made = Commit(
            kind, key, "active", "", row.time, row.name, row.message, row.cause, row.correlation,
            agent=row.agent, version=row.version,
        )  # fmt: skip
        made.sequence, made.previous = row.sequence, row.previous
        if row.agent in self._erased:
            made.agent = 0
        elif row.agent:
            self._state(made, row, delta)
            if renamed is not None:
                made.with_effects().renamed = renamed
        changes = list(changes_in(_read_shared(row.delta)))
        if changes:
            made.with_effects().rows = changes
        if row.message:
            made.with_effects().consumed = [row.message]
        for table, key_, gone in changes:
            if table is TOMBSTONES and gone is not None and key_[0] == row.agent:
                made.with_effects().deleted = Deletion(row.agent, kind, key, bool(gone[5]))
        return made

    def _renamed(self, row: JournalRow, delta: JournalDelta) -> Renaming | None:
        """Have an agent be of another kind from this commit on."""
        if row.agent not in self._names:
            return None
        kind, key = self._names[row.agent]
        # An earlier release did not write it down: it is the one that the later copy has.
        new = delta.kinds[1] if delta.kinds else self._last_names.get(row.agent, (kind, key))[0]
        self._names[row.agent] = new, key
        return Renaming(row.agent, kind, key, new)

    def _state(self, made: Commit, row: JournalRow, delta: JournalDelta) -> None:
        agent = self._agents.get(row.agent) or self._known(row)
        head = agent.head
        if (row.version, row.previous) != (head.version + 1, head.sequence):
            message = (
                f"version {head.version + 1} of {made.kind}/{made.key} is missing in the journal of"
                f" {self._source}; restore to a moment before commit {row.sequence:,}"
            )
            raise BackupFailed(message)
        made.status, made.reason = status_after(head, row.name, delta)
        made.delta = rows_of(row.agent, delta)
        shape, schema = shape_after(agent.shape, delta), agent.schema
        if delta.schemas is not None:
            schema = self._schemas[row.agent] = delta.schemas[1]
        elif row.name == MIGRATE or (not schema and shape != agent.shape):
            found = self._schemas.get(row.agent)
            found = self._of_kind(made.kind, row.sequence) if found is None else found
            schema = schema if found is None else found
        if (shape, schema) != (agent.shape, agent.schema):
            made.delta.shape = shape_text(shape, schema)
        self._agents[row.agent] = _Agent(
            head._replace(
                version=row.version, sequence=row.sequence, status=made.status, reason=made.reason
            ),
            shape, schema,
        )  # fmt: skip

    def _of_kind(self, kind: str, sequence: int) -> int | None:
        """Return what a kind was written with at a commit: its agent may be gone by now."""
        found = schema_of_kind(self._later, kind, sequence)
        return found or schema_of_kind(self._target, kind, sequence)

    def _known(self, row: JournalRow) -> _Agent:
        if row.agent not in self._names:
            message = f"commit {row.sequence:,} is of an agent whose name {self._source} has lost"
            raise BackupFailed(message)
        kind, key = self._names[row.agent]
        with self._target.reading() as connection:
            query = "SELECT agent, kind, key, version, sequence, status, reason, shape FROM agents"
            found = fetch(connection, f"{query} WHERE agent = ?", (row.agent,))
        if not found:
            return _Agent(AgentRow(row.agent, kind, key, 0, 0, "active", ""))
        return _Agent(AgentRow(*found[0][:7]), *read_shape(found[0][7] or "{}"))


def names(store: SqliteReader, agents: Iterable[int]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Iterate over those agents whose numbers a store knows, also those that were deleted."""
    with store.reading() as connection:
        for table in (f"tombstones WHERE erased < {HASHED} AND", "agents WHERE"):
            query = f"SELECT agent, kind, key FROM {table} {_AMONG}"  # noqa: S608
            for agent, kind, key in fetch(connection, query, _numbers(agents)):
                yield agent, (kind, key)


def first_kinds(store: SqliteReader) -> dict[int, str]:
    """Return the kinds that agents were of before the first change of it that a journal has."""
    query = "SELECT agent, delta FROM journal WHERE name = ? ORDER BY sequence DESC"
    with store.reading() as connection:
        rows = fetch(connection, query, (RENAME,))
    found = ((agent, read_delta(delta).kinds) for agent, delta in rows)
    return {agent: kinds[0] for agent, kinds in found if kinds}


def erased_numbers(store: SqliteReader) -> Iterator[int]:
    """Iterate over the numbers of the agents of a store that were erased."""
    with store.reading() as connection:
        for (agent,) in fetch(connection, "SELECT agent FROM tombstones WHERE erased"):
            yield agent


def schemas(store: SqliteReader, agents: Iterable[int]) -> dict[int, int]:
    """Return the numbers of the schemas of those agents that a store has."""
    query = f"SELECT agent, shape FROM agents WHERE shape IS NOT NULL AND {_AMONG}"  # noqa: S608
    with store.reading() as connection:
        rows = fetch(connection, query, _numbers(agents))
        return {agent: read_shape(shape)[1] for agent, shape in rows}


def first_schemas(store: SqliteReader, behind: int) -> dict[int, int]:
    """Return the schemas that agents had before the first change of it behind a commit."""
    query = (
        "SELECT agent, delta FROM journal WHERE sequence > ? AND delta LIKE '%\"schemas\":[%'"
        " ORDER BY sequence DESC"
    )
    with store.reading() as connection:
        rows = fetch(connection, query, (behind,))
    found = ((agent, read_delta(delta).schemas) for agent, delta in rows if agent)
    return {agent: schemas[0] for agent, schemas in found if schemas}


def schema_of_kind(store: SqliteReader, kind: str, sequence: int) -> int | None:
    """Return the number of the newest schema of a kind's agents that was used up to a commit."""
    query = (
        "SELECT number FROM schemas WHERE kind = ? AND family = 'state' AND sequence <= ?"
        " ORDER BY number DESC LIMIT 1"
    )
    with store.reading() as connection:
        rows = fetch(connection, query, (kind, sequence))
    return rows[0][0] if rows else None


def _numbers(agents: Iterable[int]) -> tuple[str]:
    return (msgspec.json.encode([*agents]).decode(),)


_STATUSES: Final = {"(pause)": "paused", "(stop)": "stopped", "(quarantine)": "quarantined"}
_SAME: Final = frozenset({"(save)", "(rewind)", "(convert)", "(repair)", MIGRATE})


def status_after(head: AgentRow, name: str, delta: JournalDelta) -> tuple[str, str]:
    """Return an agent's status and its reason behind a commit."""
    if delta.status:
        return delta.status
    if name in _STATUSES:  # of an earlier release, which did not write it down
        return _STATUSES[name], ""
    return (head.status, head.reason) if name in _SAME else ("active", "")


def rows_of(agent: int, delta: JournalDelta) -> Delta:
    """Return a journaled delta as rows."""
    made = Delta(agent)
    made.fields = {name: bytes(raw).decode() for name, raw in delta.set.items()}
    if delta.truncate:
        made.truncated.update(delta.truncate)
    for name, (start, texts) in delta.append.items():
        made.append(name, start, (bytes(raw).decode() for raw in texts))
    for name, keys in delta.delete.items():
        for key in keys:
            made.put(name, key, None)
    for name, pairs in delta.put.items():
        for key, raw in pairs:
            made.put(name, key, bytes(raw).decode())
    return made


def shape_after(shape: Shape, delta: JournalDelta) -> dict[str, int | None]:
    """Return an agent's shape behind a delta."""
    found = {**shape, **dict.fromkeys(delta.set)}
    found |= delta.truncate
    for name, (start, items) in delta.append.items():
        found[name] = start + len(items)
    for name, pairs in delta.put.items():
        if found.get(name) not in (_INTEGERS, _TEXTS) and pairs:
            found[name] = _INTEGERS if isinstance(pairs[0][0], int) else _TEXTS
    return found


def changes_in(delta: SharedDelta) -> Iterator[Change]:
    """Iterate over the rows that a journaled delta writes or deletes."""
    for name, keys in delta.gone.items():
        table = _BY_NAME[name]
        for key in keys:
            yield Change(table, tuple(_plain(table, key)), None)
    for name, rows in delta.rows.items():
        table = _BY_NAME[name]
        for raw in rows:
            row: Row = tuple(_plain(table, raw))
            yield Change(table, row[: table.key], row)


def _plain(table: Table, values: Sequence[msgspec.Raw]) -> Iterator[Value]:
    for column, raw in zip(table.columns, values, strict=False):
        if column.type == "json":
            yield bytes(raw).decode()
        else:
            value: Any = msgspec.json.decode(raw)
            yield float(value) if column.type == "real" and value is not None else value
