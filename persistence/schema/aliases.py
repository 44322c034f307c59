"""Agents of a kind whose class has another name now: carried over with all that belongs to them.

Before anything runs, in commits of the new owner. Each agent is of the old kind or of the new one,
so a process that is killed half way leaves what the next goes on with.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from ..errors import ConfigurationError
from ..names.scope import INTERNAL, RUNS, Principal, Scope
from ..records.checksums import intact, of_field, of_item
from ..records.kinds import former_kinds, former_place
from ..records.records import (
    Commit,
    Counters,
    Delta,
    ItemRow,
    Renaming,
    StoredAgent,
)
from ..records.shared_tables import (
    ARTIFACT_NAMES,
    ARTIFACTS,
    ATTEMPTS,
    BOUNDARIES,
    GRANTS,
    ISOLATED,
    OWNERS,
    PROGRESS,
    SCHEMAS,
    SCOPED,
    SESSIONS,
)
from ..records.tables import Change, Key, Order, Row, Table, Value
from ..secrets.moving import moved
from ..secrets.place import IN_CALLS, Place, in_mail, in_scope, in_state
from ..secrets.sealer import Sealer
from ..secrets.tokens import PREFIX
from ..store.batch import Batch
from ..store.store import Store
from .ages import Ages

logger = logging.getLogger("perdure.persistence")

RENAME: Final = "(rename)"
"""The name in the journal of a commit that gives an agent another kind."""
_PAGE: Final = 500
_TABLES: Final = (
    SCHEMAS, SCOPED, OWNERS, GRANTS, BOUNDARIES, ISOLATED, SESSIONS, ARTIFACTS, ARTIFACT_NAMES,
    ATTEMPTS,
)  # fmt: skip
_PLACED: Final = {each: each.names.index("sequence") for each in (SCOPED, ARTIFACTS)}
"""Those whose rows are placed by their commit among the schemas, and where they name it."""
_AGENT: Final = "agent"
"""The kind of the scopes and principals of agents."""
_ALL: Final = "agents"
"""The kind of the principal that stands for all of a kind."""
_COUNTS: Final = ("custom", "hooks")
"""Begins the columns of scopes in which hooks of the system keep what they count."""
_GIVEN: Final = frozenset({"value", "answer", "reason", "delta"})
"""Members of the rows of shared things that hold what somebody gave."""


def carry_over(
    store: Store, counters: Counters, aliases: Mapping[str, str], sealer: Sealer, moment: float
) -> Counters:
    """Give what is stored under old kinds (by ``aliases``: old to new) the new ones.

    Returns where numbering goes on. Costs a look for each alias where nothing is left of it.
    ConfigurationError if there is an agent of the new kind of the same key; nothing was changed.
    """
    there = set(store.kinds()) if aliases else set()
    looks = store.mailbox, store.timers, store.dead_letters
    for old, new in aliases.items():
        # The first time also without agents: rights, isolations, keys may be there before them.
        first = counters.sequence and old not in former_kinds(store.row, new)
        if first or old in there or any(waiting(old, limit=1) for waiting in looks):
            counters = _CarryOver(store, counters, (old, new), sealer, moment).run()
    return counters


class _CarryOver:
    """One kind on its way to another name."""

    def __init__(
        self, store: Store, counters: Counters, kinds: tuple[str, str], sealer: Sealer,
        moment: float,
    ) -> None:  # fmt: skip
        self._store = store
        self._counters = counters
        self._old, self._new = kinds
        self._sealer = sealer
        self._moment = moment
        self._commits: list[Commit] = []
        old, self._form = (str(Principal(_ALL, kind)).partition(":")[2] for kind in kinds)
        self._named = re.compile(rf'(?:^|(?<=["/]))({_ALL}?:){re.escape(old)}(?=["/]|$)')
        """Where a principal stands in a text: an agent of the kind, or all of them."""
        self._indexed = re.compile(rf"^(){re.escape(old)}(?=/)")
        """Where the kind stands in the place of a run."""
        self._counted = re.compile(rf"^(|hooks/.+/){re.escape(self._old)}(?=/|$)")
        """Where it stands in the key under which hooks count what it, or an agent of it, did."""
        self._sealed = next(store.texts(PREFIX), None) is not None
        """Whether there is any secret that is bound to its place."""

    def run(self) -> Counters:
        self._refuse_doubles()
        for table in _TABLES:
            self._rows(table)
        self._mail()
        self._timers()
        self._dead()
        self._remember()
        count = self._agents()
        self._write()
        if count:
            logger.warning("%d agents of kind %s are of kind %s now", count, self._old, self._new)
        return self._counters

    def _refuse_doubles(self) -> None:
        for head in self._store.agents(self._old):
            if self._store.load(self._new, head.key) is not None:
                message = (
                    f"{self._new} has aliases = [{self._old!r}], and there are both"
                    f" {self._old}/{head.key} and {self._new}/{head.key}: delete one of them"
                )
                raise ConfigurationError(message)

    def _remember(self) -> None:
        """Note what the kind was called: who is erased was stored, and backed up, by that name.

        Behind all but the agents: where there are none, who comes next sees by it whether that is
        done.
        """
        former = dict.fromkeys((self._old, *former_kinds(self._row, self._old)))
        former |= dict.fromkeys(former_kinds(self._row, self._new))
        place = former_place(self._new)
        text = msgspec.json.encode([kind for kind in former if kind != self._new]).decode()
        self._change([Change(PROGRESS, place, (*place, text, 0))])

    def _row(self, table: Table, key: Key) -> Row | None:
        return self._store.row(table, key)

    def _add(self, commit: Commit) -> None:
        self._counters = dataclasses.replace(self._counters, sequence=self._counters.sequence + 1)
        commit.sequence = self._counters.sequence
        self._commits.append(commit)
        if len(self._commits) >= _PAGE:
            self._write()

    def _write(self) -> None:
        if self._commits:
            batch = Batch(self._commits, self._counters.chain)
            self._store.commit(batch)
            self._counters = dataclasses.replace(self._counters, chain=batch.chain)
            self._commits = []

    def _agents(self) -> int:
        count = 0
        for head in self._store.agents(self._old):
            stored = self._store.load(self._old, head.key)
            if stored is not None:
                self._agent(stored)
                count += 1
        return count

    def _agent(self, stored: StoredAgent) -> None:
        head = stored.head
        commit = Commit(
            self._new, head.key, head.status, head.reason, self._moment, RENAME,
            agent=head.agent, version=head.version + 1,
        )  # fmt: skip
        commit.previous = head.sequence
        commit.delta = self._resealed(stored) if self._sealed else None
        commit.with_effects().renamed = Renaming(head.agent, self._old, head.key, self._new)
        self._add(commit)

    def _moved(self, text: str, source: Place, target: Place, where: str, levels: int = 0) -> str:
        if PREFIX not in text:
            return text
        return moved(text, self._sealer, source, target, where, levels=levels)

    def _resealed(self, stored: StoredAgent) -> Delta | None:
        """Return an agent's secrets sealed for their new place."""
        head, delta = stored.head, Delta(stored.head.agent)
        where = f"{self._old}/{head.key}"

        def at(field: str, text: str, *part: str) -> str:
            old, new = in_state(self._old, head.key, field), in_state(self._new, head.key, field)
            old, new = (*old, *part), (*new, *part)
            return self._moved(text, old, new, f"{where}, state.{field}")

        for name, (text, crc) in stored.fields.items():
            if intact(of_field, head.agent, name, text, crc) and (fresh := at(name, text)) != text:
                delta.fields[name] = fresh
        items: list[ItemRow] = []
        for name, length in stored.log_lengths.items():
            for position, text in enumerate(self._store.log_texts(head.agent, name, length)):
                if (fresh := at(name, text, str(position))) != text:
                    crc = of_item(head.agent, name, position, fresh)
                    items.append(ItemRow(head.agent, name, position, fresh, crc))
        delta.items = items
        for name in self._store.map_fields(head.agent):
            for key, text in self._store.map_texts(head.agent, name):
                if (fresh := at(name, text, str(key))) != text:
                    delta.put(name, key, fresh)
        return delta or None

    def _body(self, body: str, key: str, method: str) -> str:
        old, new = in_mail(self._old, key, method), in_mail(self._new, key, method)
        return self._moved(body, old, new, f"{self._old}/{key}, {method}", IN_CALLS)

    def _mail(self) -> None:
        after = 0
        while page := self._store.mailbox(self._old, after=after, limit=_PAGE):
            commit = Commit()
            commit.with_effects().sends = [
                m._replace(kind=self._new, body=self._body(m.body, m.key, m.name)) for m in page
            ]
            self._add(commit)
            after = page[-1].id

    def _dead(self) -> None:
        after = 0
        while page := self._store.dead_letters(self._old, after=after, limit=_PAGE):
            commit = Commit()
            commit.with_effects().dead = [
                d._replace(kind=self._new, body=self._body(d.body, d.key, d.name)) for d in page
            ]
            self._add(commit)
            after = page[-1].id

    def _timers(self) -> None:
        after = None
        while page := self._store.timers(self._old, after=after, limit=_PAGE):
            commit = Commit()
            effects = commit.with_effects()
            effects.cancelled = [timer[:3] for timer in page]
            effects.timers = [
                t._replace(kind=self._new, body=self._body(t.body, t.key, t.method)) for t in page
            ]
            self._add(commit)
            last = page[-1]
            after = (last.due, last.kind, last.key, last.name)

    def _rows(self, table: Table) -> None:
        """Carry the rows of a declared table over that name an agent of the kind."""
        order, after = Order(table.key_names[:1]), None
        ages = Ages(self._store)
        while page := self._store.page(table, order, after, _PAGE):
            after = page[-1][: table.key]
            changes: list[Change] = []
            for row in page:
                fresh = self._renamed(table, row)
                if fresh != row:
                    # It has the number of another commit from now on.
                    age = ages.of(int(str(row[_PLACED[table]]))) if table in _PLACED else {}
                    if entered := ages.entered(age, self._next + bool(changes)):
                        self._change(changes)
                        changes = entered
                    if table.place(fresh) != table.place(row):
                        changes.append(Change(table, table.place(row), None))
                    changes.append(Change(table, table.place(fresh), fresh))
            self._change(changes)
        self._change(ages.ended(self._next))
        self._write()  # what is put may stand behind what is being read

    @property
    def _next(self) -> int:
        return self._counters.sequence + 1

    def _change(self, changes: list[Change]) -> None:
        if changes:
            commit = Commit(time=self._moment, name=RENAME)
            commit.with_effects().rows = changes
            self._add(commit)

    def _renamed(self, table: Table, row: Row) -> Row:
        values = dict(zip(table.names, row, strict=True))
        for kind, name in (("kind", "id"), ("who_kind", "who_id"), ("by_kind", "by_id")):
            if values.get(kind) in {_AGENT, _ALL} and values.get(name) == self._old:
                values[name] = self._new
        if "id" not in values and values.get("kind") == self._old:
            values["kind"] = self._new
        if values.get("agent_kind") == self._old:
            values["agent_kind"] = self._new
        if table is SCOPED and values["id"] != row[1]:
            values["value"] = self._value(row, values)
        if table is SCOPED and (row[:2] == _COUNTS or values["id"] != row[1]):
            values["key"] = self._counted.sub(lambda found: found[1] + self._new, str(row[3]))
        if table is SCOPED and values["kind"] == INTERNAL:
            named = self._indexed if values["id"] == RUNS else self._named
            values["key"] = self._principals(str(values["key"]), named)
            values["value"] = self._shared(str(values["value"]))
        return tuple(values.values())

    def _principals(self, text: str, named: re.Pattern[str] | None = None) -> str:
        return (named or self._named).sub(lambda found: found[1] + self._form, text)

    def _shared(self, text: str) -> str:
        """Return what a row of a shared thing holds: who has a part or a place in it."""
        try:
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except ValueError:
            return self._principals(text)
        fresh = {
            self._principals(name): raw
            if name in _GIVEN
            else msgspec.Raw(self._principals(bytes(raw).decode()).encode())
            for name, raw in members.items()
        }
        return msgspec.json.encode(fresh).decode()

    def _value(self, row: Row, values: Mapping[str, Value]) -> str:
        _, _, part, key, text = map(str, row[:5])
        old = in_scope(_AGENT, self._old, part, key)
        new = in_scope(_AGENT, str(values["id"]), part, key)
        return self._moved(text, old, new, f"{Scope.agent(self._old, part)} {key!r}")
