"""An agent's past versions, rebuilt from what is stored now and from the journal."""

from __future__ import annotations

import copy
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Log, Map, MemoryStore, State
from perdure.persistence.errors import CorruptState
from perdure.persistence.sqlite.reader import SqliteReader
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import Store, StoreReader
from perdure.persistence.upkeep.difference import MISSING, differences
from perdure.persistence.upkeep.versions import Versions
from perdure.url import open_store

Step: TypeAlias = tuple[str, int]
Model: TypeAlias = dict[str, Any]
"""Fields and maps by name, the log as a list."""

STEPS: Final = st.lists(
    st.tuples(st.sampled_from(["count", "put", "drop", "append", "note"]), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(0, 2) | st.text("ab", max_size=1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


class PadState(State):
    count: int = 0
    note: dict[str, int] = msgspec.field(default_factory=dict)
    owners: Map[str, int] = Map.field()
    lines: Log[int] = Log.field()


class Pad(Agent[PadState]):
    def do(self, steps: list[Step]) -> None:
        for what, number in steps:
            match what:
                case "count":
                    self.state.count = number + 1
                case "note":
                    self.state.note[f"n{number}"] = len(self.state.note)
                case "put":
                    self.state.owners[f"k{number}"] = self.state.count
                case "drop":
                    self.state.owners.pop(f"k{number}", None)
                case _:
                    self.state.lines.append(number)


def run(target: MemoryStore | Path, turns: list[list[Step]]) -> list[Model]:
    """Run turns; return what the state is at each version, from the one before the first."""
    found: list[Model] = [{"owners": {}, "lines": []}]
    with AgentSystem.open(target, agents=[Pad], sync="process") as system:
        pad = system.agent(Pad, "p")
        # An agent that never changed is not stored; the first turn makes it.
        for steps in [[("count", 0)], *turns]:
            pad.call(Pad.do, steps).get()
            version = pad.describe().version
            if version == len(found):
                found.append(copy.deepcopy(found[-1]))
                pad_state(system, found[-1])
    return found


def pad_state(system: AgentSystem, model: Model) -> None:
    """Read the whole state of the one agent from the store."""
    system.flush()
    reader = system._store
    stored = reader.load("Pad", "p")
    assert stored is not None
    agent = stored.head.agent
    model.update({name: json.loads(text) for name, (text, _) in stored.fields.items()})
    model["owners"] = {
        key: json.loads(text) for key, text in reader.map_page(agent, "owners", None, 100)
    }
    length = stored.log_lengths.get("lines", 0)
    model["lines"] = [json.loads(text) for text in reader.log_items(agent, "lines", 0, length)]


def versions_of(reader: StoreReader) -> Versions:
    """Return the versions of the one agent."""
    stored = reader.load("Pad", "p")
    assert stored is not None
    return Versions(reader, stored)


def seen(versions: Versions, version: int) -> tuple[Model, set[str]]:
    """Return the state at a version, and the paths that are not known."""
    then = versions.at(version)
    unknown = set(then.unknown)
    model: Model = {name: json.loads(text) for name, text in then.fields.items()}
    model["lines"] = [None] * then.logs.get("lines", 0)
    for position in range(len(model["lines"])):
        known, text = versions.item("lines", position, version)
        model["lines"][position] = json.loads(text) if known and text else None
        unknown |= set() if known else {f"lines[{position}]"}
    model["owners"] = {}
    for key in then.maps.get("owners", []):
        known, text = versions.entry("owners", key, version)
        assert known
        assert text is not None
        model["owners"][key] = json.loads(text)
    return model, unknown


def check(versions: Versions, models: list[Model]) -> None:
    """Compare every version that is reached: what is known is right, and nothing is left out."""
    assert versions.latest == len(models) - 1
    for version in range(versions.oldest, versions.latest + 1):
        found, unknown = seen(versions, version)
        expected = models[version]
        for name in ("count", "note"):
            assert name in unknown or found.get(name) == expected.get(name)
        for key in {*found["owners"], *expected["owners"]}:
            if f"owners[{key!r}]" not in unknown and ("owners" not in unknown):
                assert found["owners"].get(key) == expected["owners"].get(key)
        if "lines" not in unknown:
            assert len(found["lines"]) == len(expected["lines"])
            for place, line in enumerate(expected["lines"]):
                assert f"lines[{place}]" in unknown or found["lines"][place] == line


def check_changes(versions: Versions, models: list[Model]) -> None:
    """Apply what differs between any two versions to the one: it becomes the other."""
    for first in range(versions.oldest, versions.latest + 1):
        for last in range(versions.oldest, versions.latest + 1):
            parts = {}
            for change, known in versions.changes(first, last):
                assert known
                assert change.before != change.after
                parts[change.part] = change
            assert all(known for _, known in versions.changes(first, last))
            flat = [flatten(models[version]) for version in (first, last)]
            differ = {p for p in {*flat[0], *flat[1]} if flat[0].get(p) != flat[1].get(p)}
            assert set(parts) == differ
            for part, change in parts.items():
                for text, side in ((change.before, flat[0]), (change.after, flat[1])):
                    assert (text is None) == (part not in side)
                    assert text is None or json.loads(text) == side[part]


def flatten(model: Model) -> dict[tuple[str | int, ...], object]:
    """Return the parts of a state by their paths."""
    parts: dict[tuple[str | int, ...], object] = {
        (name,): value for name, value in model.items() if name not in {"owners", "lines"}
    }
    parts |= {("owners", key): value for key, value in model["owners"].items()}
    return parts | {("lines", place): value for place, value in enumerate(model["lines"])}


@pytest.fixture(params=["memory", "file"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name a kind of store."""
    return str(request.param)


def stores(kind: str, folder: str) -> tuple[MemoryStore | Path, Any]:
    """Return what a system opens, and how to open the store for trimming afterwards."""
    if kind == "memory":
        memory = MemoryStore()
        return memory, lambda: memory
    path = Path(folder) / "s.db"
    return path, lambda: open_store(str(path), sync="process")


@settings(max_examples=25, deadline=None)
@given(turns=st.lists(STEPS, min_size=1, max_size=8))
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_every_version_is_what_it_was(kind: str, turns: list[list[Step]]) -> None:
    """With a whole journal every version is known, and so is what differs between any two."""
    with tempfile.TemporaryDirectory() as folder:
        target, opened = stores(kind, folder)
        models = run(target, turns)
        with closing(opened()) as store:
            versions = versions_of(store)
            assert versions.oldest == 0
            for version in range(versions.latest + 1):
                assert versions.at(version).unknown == []
            check(versions, models)
            check_changes(versions, models)


@settings(max_examples=25, deadline=None)
@given(turns=st.lists(STEPS, min_size=2, max_size=8), data=st.data())
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_trimmed_journal_is_never_guessed_beyond(
    kind: str, turns: list[list[Step]], data: st.DataObject
) -> None:
    """What is known of the versions that are left is right, plain fields are all known."""
    with tempfile.TemporaryDirectory() as folder:
        target, opened = stores(kind, folder)
        models = run(target, turns)
        with closing(opened()) as store:
            gone = data.draw(st.integers(0, len(models) - 1))
            trim(store, gone)
            versions = versions_of(store)
            assert versions.oldest == gone
            check(versions, models)
            for version in range(gone, versions.latest + 1):
                assert not {"count", "note"} & set(versions.at(version).unknown)


def trim(store: Store, gone: int) -> None:
    """Trim the first entries away."""
    sequences = [entry.sequence for entry in store.journal("Pad", "p", limit=1000)]
    store.acquire(Owner.this_process())
    store.trim_journal(([*sequences, sequences[-1] + 1])[gone], 1000)
    store.release()


@settings(max_examples=25, deadline=None)
@given(turns=st.lists(STEPS, min_size=2, max_size=8), data=st.data())
def test_a_damaged_journal_is_never_guessed_across(
    turns: list[list[Step]], data: st.DataObject
) -> None:
    """What is known of any version is right, whichever entries are damaged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"
        models = run(path, turns)
        bad = data.draw(st.sets(st.integers(1, len(models)), min_size=1, max_size=2))
        with closing(sqlite3.connect(path)) as connection, connection:
            for version in bad:
                connection.execute(
                    "UPDATE journal SET delta = '{}', crc = crc + 1 WHERE version = ?", (version,)
                )
        with closing(SqliteReader(path)) as reader:
            versions = versions_of(reader)
            check(versions, models)
            lost = min(bad)
            if lost < len(models):
                with pytest.raises(CorruptState, match=f"version {lost} of Pad/p.*is damaged"):
                    list(versions.changes(lost - 1, lost))


def test_a_map_of_which_nothing_is_left_is_named(tmp_path: Path) -> None:
    """Where the entries that put and deleted its one key are damaged, the map is not known."""
    path = tmp_path / "s.db"
    models = run(path, [[("put", 0)], [("count", 1)], [("drop", 0)]])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE journal SET delta = '{}', crc = crc + 1 WHERE version IN (2, 4)")
    with closing(SqliteReader(path)) as reader:
        versions = versions_of(reader)
        check(versions, models)
        assert "owners" in versions.at(2).unknown


def test_what_differs_is_found_inside_values() -> None:
    """Objects are compared by name, lists by position, and types are told apart."""
    before = {"a": [1, {"b": 2}], "c": 1, "gone": None}
    after = {"a": [1, {"b": 3}, 4], "c": True, "new": []}
    found = {(d.path, d.before, d.after) for d in _hashable(before, after)}
    assert found == {
        (("a", 1, "b"), "2", "3"), (("a", 2), "MISSING", "4"), (("c",), "1", "True"),
        (("gone",), "None", "MISSING"), (("new",), "MISSING", "[]"),
    }  # fmt: skip


def _hashable(before: object, after: object) -> Iterator[Any]:
    for difference in differences(before, after):
        yield type(difference)(difference.path, repr(difference.before), repr(difference.after))


@settings(deadline=None)
@given(before=JSON, after=JSON)
def test_what_differs_leads_from_one_value_to_the_other(before: object, after: object) -> None:
    """Nothing differs in a value and itself; else each place is inside, and holds what it says."""
    assert list(differences(before, before)) == []
    found = list(differences(before, after))
    assert bool(found) == (json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True))
    for difference in found:
        for value, whole in ((difference.before, before), (difference.after, after)):
            assert _at(whole, difference.path) is value or _at(whole, difference.path) == value


def _at(value: object, path: tuple[str | int, ...]) -> object:
    for step in path:
        match value, step:
            case dict(), str():
                value = value.get(step, MISSING)
            case list(), int():
                value = value[step] if step < len(value) else MISSING
            case _:
                return MISSING
    return value
