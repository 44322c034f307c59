"""A part of a store as it was: written over what is there now, as commits behind its newest one.

The history of an agent goes on: what it was before it was brought back is still a version of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeVar

from ..errors import AgentExists, BackupFailed, ConfigurationError, CorruptState
from ..names.scope import Principal, Scope
from ..records.chain import AuditRecord
from ..records.checksums import intact, of_field
from ..records.journal import shape_text
from ..records.records import AgentRow, Commit, Counters, Deletion, Delta, Message, StoredAgent
from ..records.shared_tables import SCHEMAS, SCOPED, TOMBSTONES
from ..records.tables import Change, Key, Order, Row
from ..schema.ages import Ages
from ..schema.registry import registered, schema_of
from ..sqlite.reader import SqliteReader
from ..sqlite.store import SqliteStore
from ..store.batch import Batch
from ..upkeep.states import StateCopy
from .moments import newest_in
from .progress import Progress, silent
from .selection import Selection

BROUGHT_BACK: Final = "(bring back)"
"""What the journal calls the commits."""
_SLICE: Final = 500
_BY_SCOPE: Final = ("kind", "id", "part")
_VALUE, _VERSION, _SEQUENCE = 4, 5, 6
"""The columns of a scoped key that are looked at."""

T = TypeVar("T")
Move = Callable[[StateCopy], None]
"""Makes a state that of another agent: its secrets are bound to their place."""


@dataclass(slots=True)
class PartCounts:
    """What was done, in numbers."""

    changed: int = 0
    """Agents that are as they were then, and were not."""
    same: int = 0
    """Agents that were as then."""
    returned: int = 0
    """Agents that had been deleted, or are new under another key."""
    removed: int = 0
    """Agents of a kind that there were not then."""
    keys: int = 0
    """Keys of scopes that were changed, put back or removed."""
    messages: int = 0
    """Messages that waited then, were handled since, and wait again."""
    left: int = 0
    """Those that do not, because it was not asked for."""


@dataclass(frozen=True, slots=True)
class Bringing:
    """How a part is brought back."""

    now: float
    why: str
    """For the audit."""
    mail: bool = False
    """Messages that waited then wait again, where they do not now."""
    rename: tuple[str, Move] | None = None
    """One agent comes back under this key; what there is under its own is left alone."""
    tell: Progress = silent


def bring_back(
    target: SqliteStore, counters: Counters, then: SqliteReader, part: Selection, how: Bringing
) -> PartCounts:
    """Make a part of a store what it was in ``then``: one transaction, all of it or nothing.

    ``target`` is owned, ``counters`` are what its lease gave. What is not in ``then``, of a kind or
    a scope of the selection, is deleted; what was deleted returns.
    """
    with closing(
        SqliteReader(Path(target.location))
    ) as here:  # the lock of ``target`` is held meanwhile
        _refuse_other_schemas(here, then)
        work = _Part(here, counters, then, how)
        target.commit_together(work.batches(part))
    return work.counts


def _refuse_other_schemas(here: SqliteReader, then: SqliteReader) -> None:
    """Raise ConfigurationError where a number of a schema means two things."""
    known = {each.number: each.fingerprint for each in registered(here)}
    for each in registered(then):
        if known.get(each.number, each.fingerprint) != each.fingerprint:
            message = f"{here.location} is another store than that of the backup"
            raise ConfigurationError(message)


class _Part:
    """Makes the commits."""

    def __init__(
        self, here: SqliteReader, counters: Counters, then: SqliteReader, how: Bringing
    ) -> None:
        self.counts = PartCounts()
        self._here = here
        self._then = then
        self._how = how
        with then.reading() as connection:
            # A new store goes on from there: by their numbers rows are known to be of a schema.
            self._sequence = max(counters.sequence, newest_in(connection))
        self._agents = itertools.count(counters.agent + 1)
        self._chain = counters.chain
        self._ages = Ages(here, then)

    def batches(self, part: Selection) -> Iterator[Batch]:
        for commits in _slices(self._commits(part)):
            batch = Batch(commits, self._chain)
            self._chain = batch.chain
            yield batch

    def _commits(self, part: Selection) -> Iterator[Commit]:
        yield self._first(part)
        for number, (kind, key) in enumerate(part.names(self._then)):
            yield from self._agent(kind, key)
            self._how.tell("bringing back agents", number + 1, number + 1)
        if self._how.rename is None:
            for kind, key in part.names(self._here):
                if not self._then.known(kind, [key]):
                    now, _ = self._now(kind, key)
                    assert now is not None
                    yield from self._gone(now)
        for scope in part.scopes:
            yield from self._scope(scope)
        if again := self._ages.ended(self._sequence + 1):
            yield self._changing(again)

    def _commit(self, kind: str = "", key: str = "") -> Commit:
        made = Commit(kind, key, time=self._how.now, name=BROUGHT_BACK)
        self._sequence += 1
        made.sequence = self._sequence
        return made

    def _first(self, part: Selection) -> Commit:
        """Say it in the audit, and bring the schemas that are not known here."""
        commit = self._commit()
        who, all_ = Principal.SYSTEM.columns, Scope.GLOBAL.columns
        kinds = [f"{kind}/{key}" for kind, key in part.agents] + [
            *part.kinds,
            *map(str, part.scopes),
        ]
        reason = f"the system: {self._how.why}: {', '.join(kinds)}"[:500]
        record = AuditRecord(
            self._how.now, who, all_, "(backup)", "backup.bring_back", "allowed", reason, 1, 0
        )
        effects = commit.with_effects()
        effects.audit = [record]
        here = {each.number for each in registered(self._here)}
        effects.rows = [
            Change(SCHEMAS, (each.number,), each.row())
            for each in registered(self._then)
            if each.number not in here
        ]
        return commit

    def _agent(self, kind: str, key: str) -> Iterator[Commit]:
        stored = self._then.load(kind, key)
        assert stored is not None
        copy = copied(self._then, stored)
        if self._how.rename is not None:
            yield self._renamed(stored, copy)
            return
        now, before = self._now(kind, key)
        waiting: list[Message] = []
        if now is not None and before is None:
            # It is damaged, so what brings it to what it was is not known: it begins anew.
            waiting = self._here.inbox(kind, key).messages
            yield from self._gone(now)
            self.counts.removed -= 1
        made = self._commit(kind, key)
        made.status, made.reason = stored.head.status, stored.head.reason
        self._as_then(made, copy, now, before)
        self._timers(stored, before and now, made)
        self._mail(kind, key, made, waiting)
        yield made
        yield from self._scope(Scope.agent(kind, key))

    def _renamed(self, stored: StoredAgent, copy: StateCopy) -> Commit:
        assert self._how.rename is not None
        kind, (key, move) = stored.head.kind, self._how.rename
        if self._here.known(kind, [key]):
            message = f"there is an agent {kind}/{key}; choose another key, or delete it"
            raise AgentExists(message)
        move(copy)
        made = self._commit(kind, key)
        self._as_then(made, copy, None, None)
        return made

    def _now(self, kind: str, key: str) -> tuple[StoredAgent | AgentRow | None, StateCopy | None]:
        """Return an agent as it is here, and its state where that is sound."""
        try:
            stored = self._here.load(kind, key)
            return stored, None if stored is None else copied(self._here, stored)
        except (CorruptState, BackupFailed):
            return self._here.remains(kind, key), None

    def _as_then(
        self, made: Commit, copy: StateCopy, now: StoredAgent | AgentRow | None,
        before: StateCopy | None,
    ) -> None:  # fmt: skip
        if before is None or not isinstance(now, StoredAgent):
            made.agent, made.version = next(self._agents), 1
            made.delta = copy.delta(made.agent, copy.schema)
            self.counts.returned += 1
            return
        head = now.head
        made.agent, made.version, made.previous = head.agent, head.version + 1, head.sequence
        made.delta = delta = difference(before, copy, self._here, head)
        as_it_is = (head.status, head.reason) == (made.status, made.reason)
        if as_it_is and not delta and delta.shape == shape_text(now.shape, now.schema):
            self.counts.same += 1
        else:
            self.counts.changed += 1

    def _timers(self, stored: StoredAgent, now: object, made: Commit) -> None:
        timers = now.timers if isinstance(now, StoredAgent) else []
        before = {timer.name: timer for timer in timers}
        after = {timer.name: timer for timer in stored.timers}
        if before != after:
            effects = made.with_effects()
            effects.timers = [*after.values()]
            effects.cancelled = [timer[:3] for name, timer in before.items() if name not in after]

    def _mail(self, kind: str, key: str, made: Commit, waiting: list[Message]) -> None:
        there = {each.id for each in self._here.inbox(kind, key).messages}
        dead = {each.id for each in self._here.dead_letters(kind, key)}
        waited: list[Message] = [
            each
            for each in self._then.inbox(kind, key).messages
            if each.id not in there and each.id not in dead
        ]
        if self._how.mail and waited:
            self._refuse_rewritten(waited)
            waiting = [*waiting, *waited]
            self.counts.messages += len(waited)
        else:
            self.counts.left += len(waited)
        if waiting:
            made.with_effects().sends = waiting

    def _refuse_rewritten(self, waited: list[Message]) -> None:
        """Refuse messages that the store would take for what a migration has made of them."""
        for each in waited:
            now, then = sent_under(self._here, each), sent_under(self._then, each)
            if now and now != then:
                message = (
                    f"message {each.id} to {each.kind}/{each.key} was migrated since, and cannot"
                    " wait again as it was; leave mail out, or restore the whole to another file"
                )
                raise ConfigurationError(message)

    def _gone(self, now: StoredAgent | AgentRow) -> Iterator[Commit]:
        head = now.head if isinstance(now, StoredAgent) else now
        kind, key = head.kind, head.key
        made = self._commit(kind, key)
        made.agent, made.version, made.previous = head.agent, head.version + 1, head.sequence
        made.status, made.reason = head.status, head.reason
        tombstone: Row = (head.agent, kind, key, made.version, self._how.now, 0, made.sequence)
        effects = made.with_effects()
        keys = keys_in(self._here, Scope.agent(kind, key))
        effects.rows = [
            Change(TOMBSTONES, tombstone[:1], tombstone),
            *(Change(SCOPED, place, None) for place in keys),
        ]
        effects.deleted = Deletion(head.agent, kind, key, erase=False)
        self.counts.removed += 1
        yield made

    def _scope(self, scope: Scope) -> Iterator[Commit]:
        before, after = keys_in(self._here, scope), keys_in(self._then, scope)
        gone = [Change(SCOPED, place, None) for place in before.keys() - after.keys()]
        changes: list[tuple[int, Change]] = []
        for place, row in after.items():
            now = before.get(place)
            if now is not None and (now[_VALUE], now[-1]) == (row[_VALUE], row[-1]):
                continue
            version = row[_VERSION] if now is None else now[_VERSION]
            assert isinstance(version, int)
            # Whoever has read the key of now must not take this one for it.
            fresh = (*row[:_VERSION], version + 1, *row[_VERSION + 1 :])
            changes.append((int(str(row[_SEQUENCE])), Change(SCOPED, place, fresh)))
        self.counts.keys += len(gone) + len(changes)
        for rows in _slices(gone):
            yield self._changing(rows)
        rows = []
        for written, change in sorted(changes, key=itemgetter(0)):
            # It has the number of another commit from now on.
            at = self._sequence + 1 + bool(rows)
            if (entered := self._ages.entered(self._ages.of(written), at)) or len(rows) >= _SLICE:
                if rows:
                    yield self._changing(rows)
                rows = entered
            rows.append(change)
        if rows:
            yield self._changing(rows)

    def _changing(self, rows: list[Change]) -> Commit:
        made = self._commit()
        made.with_effects().rows = rows
        return made


def sent_under(store: SqliteReader, message: Message) -> str:
    """Return the fingerprint of the schema that a store has a message for; empty if none."""
    found = ""
    for each in registered(store):
        if (each.kind, each.schema.family) == (message.kind, "messages"):
            found = each.fingerprint if each.letter <= message.id else found
    return found


def copied(store: SqliteReader, stored: StoredAgent) -> StateCopy:
    """Return an agent's state as it is stored."""
    agent, head = stored.head.agent, stored.head
    copy = StateCopy(head.version, shape=stored.shape, schema=stored.schema)
    bad = [
        n for n, (text, crc) in stored.fields.items() if not intact(of_field, agent, n, text, crc)
    ]
    if stored.damaged or bad:
        raise BackupFailed(f"{head.kind}/{head.key} is damaged in {store.location}")
    copy.fields = {name: text for name, (text, _) in stored.fields.items()}
    for name, mark in stored.shape.items():
        if mark is not None and mark >= 0:
            copy.logs[name] = [*store.log_texts(agent, name, mark)]
        elif mark is not None:
            copy.maps[name] = dict(store.map_texts(agent, name))
        if mark is not None:
            copy.fields.pop(name, None)  # "null", from when it was a plain field
    return copy


def difference(now: StateCopy, then: StateCopy, store: SqliteReader, head: AgentRow) -> Delta:
    """Return what makes the state of now that of then."""
    delta = Delta(head.agent)
    _plain(delta, now, then, store, head)
    for name in now.logs.keys() | then.logs.keys():
        before, after = now.logs.get(name, []), then.logs.get(name, [])
        pairs = zip(before, after, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        if same < len(before):
            delta.truncated[name] = same
        if same < len(after):
            delta.append(name, same, after[same:])
    for name in now.maps.keys() | then.maps.keys():
        entries, wanted = now.maps.get(name, {}), then.maps.get(name, {})
        for key in entries.keys() - wanted.keys():
            delta.put(name, key, None)
        for key, text in wanted.items():
            if entries.get(key) != text:
                delta.put(name, key, text)
    # What has come since stays named: it has its default, or nothing in it.
    shape = {**_emptied(now), **dict.fromkeys(delta.fields), **then.whole_shape()}
    delta.shape = shape_text(shape, then.schema)
    if now.schema != then.schema:
        delta.schemas = now.schema, then.schema
    return delta


def _emptied(now: StateCopy) -> dict[str, int | None]:
    return {name: min(mark, 0) if mark is not None else None for name, mark in now.shape.items()}


def _plain(
    delta: Delta, now: StateCopy, then: StateCopy, store: SqliteReader, head: AgentRow
) -> None:
    collections = then.logs.keys() | then.maps.keys()
    for name, text in then.fields.items():
        if now.fields.get(name) != text:
            delta.fields[name] = text
    for name in now.fields.keys() - then.fields.keys():
        if name in collections:
            delta.fields[name] = "null"
            continue
        default = _default(store, now, then, name)
        if not default:
            message = (
                f"state.{name} of {head.kind}/{head.key} had its default then, and the store does"
                " not say which that is; bring it back under another key (--as)"
            )
            raise BackupFailed(message)
        if now.fields[name] != default:
            delta.fields[name] = default


def _default(store: SqliteReader, now: StateCopy, then: StateCopy, name: str) -> str:
    """Return what a plain field begins with, by the schema of then or else of now."""
    for number in (then.schema, now.schema):
        schema = schema_of(store, number)
        for member in () if schema is None else schema.members:
            if member.name == name and member.default:
                return member.default
    return ""


def keys_in(store: SqliteReader, scope: Scope) -> dict[Key, Row]:
    """Return the keys of a scope."""
    found: dict[Key, Row] = {}
    after: Row | None = None
    order = Order(_BY_SCOPE, scope.columns)
    while page := store.page(SCOPED, order, after, _SLICE):
        found |= {row[: SCOPED.key]: row for row in page}
        after = page[-1][len(_BY_SCOPE) : SCOPED.key]
    return found


def _slices(found: Iterable[T]) -> Iterator[list[T]]:
    several = iter(found)
    while some := list(itertools.islice(several, _SLICE)):
        yield some
