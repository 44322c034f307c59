"""One agent in a store of memory, written as an earlier class has it, and migrated for real."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ..actors.agent.agent import Agent
from ..actors.talk.signatures import messages_of
from ..persistence.memory.store import MemoryStore
from ..persistence.records.journal import shape_text
from ..persistence.records.records import Commit, Delta, StoredAgent, map_mark
from ..persistence.schema.evolution import Evolution, Stored
from ..persistence.schema.registry import Registry
from ..persistence.schema.rewrite import Rewritten
from ..persistence.schema.schema import Schema
from ..persistence.state.state import State, layout_of
from ..persistence.store.batch import Batch
from ..persistence.store.lease import Owner
from ..rehearsal.values import unreadable

KIND, KEY = "Probe", "probe"
LARGEST: Final = 2**62
_AGENT: Final = 1


class Probe:
    """An agent whose values were written with a schema, and a class that is to read them."""

    def __init__(
        self, state_class: type[State], written: Schema, values: Mapping[str, Any]
    ) -> None:
        """Store the values as they were stored then."""
        self._store = MemoryStore()
        self._chain = self._store.acquire(Owner.this_process()).chain
        self._layout = layout_of(state_class)
        registry = Registry(self._store, _nothing, letter=0, sequence=0, moment=0.0)
        old = registry.enter(KIND, written)
        registry.use(old)
        stored = Stored(KIND, self._layout, messages_of(Agent, Agent), agent_class=Agent)
        self._evolution = Evolution(registry, [stored])
        registry.use(self._evolution.number(KIND))
        self.old, self.new = old, self._evolution.number(KIND)
        self._version = 0
        self._commit(_delta(written, values, old))

    def values(self) -> dict[str, Any]:
        """Return what is stored, as migrations see it: all that has ever been, by its fields."""
        stored = self._stored()
        return {name: self._value(stored, name) for name in stored.shape}

    def move(self, goal: int) -> Rewritten | None:
        """Bring the agent to a schema and commit that; MigrationFailed and others as in a store."""
        moved = self._evolution.moved(self._store, self._stored(), goal, largest=LARGEST)
        if moved is None:
            self._commit(Rewritten.unchanged(self._stored(), goal).delta)
        else:
            self._commit(moved.delta)
        return moved

    def unreadable(self) -> str:
        """Return what the class cannot read, with the path; "" if it reads all."""
        return unreadable(self._store, self._stored(), self._layout, None)

    def _stored(self) -> StoredAgent:
        stored = self._store.load(KIND, KEY)
        assert stored is not None
        return stored

    def _value(self, stored: StoredAgent, name: str) -> Any:  # noqa: ANN401 - any JSON
        mark = stored.shape[name]
        if mark is None:
            return msgspec.json.decode(stored.fields[name][0])
        if mark >= 0:
            texts = self._store.log_texts(_AGENT, name, mark)
            return [msgspec.json.decode(text) for text in texts]
        entries = self._store.map_texts(_AGENT, name)
        return {str(key): msgspec.json.decode(text) for key, text in entries}

    def _commit(self, delta: Delta) -> None:
        self._version += 1
        commit = Commit(
            KIND, KEY, time=time.time(), name="(test)", delta=delta, agent=_AGENT,
            version=self._version,
        )  # fmt: skip
        commit.sequence, commit.previous = self._version, self._version - 1
        batch = Batch([commit], self._chain)
        self._store.commit(batch)
        self._chain = batch.chain


def _delta(written: Schema, values: Mapping[str, Any], number: int) -> Delta:
    delta, shape = Delta(_AGENT), dict[str, int | None]()
    for name, value in values.items():
        member = written.member(name)
        store = "" if member is None else member.store
        if store == "log":
            delta.append(name, 0, map(_text, value))
            shape[name] = len(value)
        elif store:
            key_type = int if store == "map[int]" else str
            for key, each in value.items():
                delta.put(name, key_type(key), _text(each))
            shape[name] = map_mark(key_type)
        else:
            delta.fields[name] = _text(value)
            shape[name] = None
    delta.shape = shape_text(shape, number)
    return delta


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _nothing(_row: object) -> None:
    """Keep no row: the registry has all in memory."""
