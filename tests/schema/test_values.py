"""Shared values and artifacts' metadata of an earlier type are read as the type of today."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from perdure import Agent, AgentSystem, MemoryStore, Scope, State, errors, migration, transforms
from tests.cli.commands import records


class Cart(msgspec.Struct):
    """The first release."""

    schema_version: ClassVar[str] = "1.0.0"
    price: int = 0
    lines: list[str] = []


class Cart2(msgspec.Struct):
    """The second release: cents, and lines in records."""

    schema_version: ClassVar[str] = "2.0.0"
    cents: int = 0
    lines: list[dict[str, str]] = []


migration(
    Cart2, "1.0.0", "2.0.0",
    transforms.rename("price", "cents"),
    transforms.convert("cents", lambda euros: euros * 100, lambda cents: cents // 100),
    transforms.convert("lines", lambda lines: [{"name": each} for each in lines]),
)  # fmt: skip


class Stubborn(msgspec.Struct):
    """One whose migration fails."""

    schema_version: ClassVar[str] = "2.0.0"
    cents: int


@migration(Stubborn, "1.0.0", "2.0.0")
def fails(_data: dict[str, Any]) -> None:
    """Raise for each."""
    raise RuntimeError("no")


class Shop(msgspec.Struct):
    """What has no way from the first release."""

    schema_version: ClassVar[str] = "1.1.0"
    price: list[int]


MOVED = {"artifacts migrated": 1, "shared values migrated": 1}
MINE = Scope.user("mira")
SCHEMAS = {"cart/*": Cart2}
METADATA = {"report/*": Cart2}


class Shelf(Agent[State]):
    """One who shares."""


agents = [Shelf]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Give a store of the first release: two carts, and a report with metadata."""
    made: Any = MemoryStore() if request.param == "memory" else tmp_path / "s.db"
    with AgentSystem.open(made, agents=[], schemas={"cart/*": Cart}) as system:
        system.artifacts.register("report/*", Cart)
        for number in (1, 2):
            system.state.set(MINE, f"cart/{number}", Cart(number, ["tea"]))
        system.state.set(MINE, "other", {"price": 5})
        meta = {"price": 7, "lines": ["a"]}
        system.artifacts.save("report/1", b"x", scope=MINE, meta=meta)
        system.artifacts.save("else", b"x", scope=MINE, meta=meta)
    return made


def second(store: object) -> AgentSystem:
    """Open a store by the second release."""
    system = AgentSystem.open(store, agents=[], schemas=SCHEMAS)  # type: ignore[arg-type]
    system.artifacts.register("report/*", Cart2)
    return system


def check(system: AgentSystem) -> None:
    """Look at everything by all ways there are."""
    state, first = system.state, Cart2(100, [{"name": "tea"}])
    assert state.get(MINE, "cart/1") == first
    entry = state.entry(MINE, "cart/1")
    assert entry is not None
    assert entry.value == first
    assert state.get_many(MINE, ["cart/1", "other"]) == {"cart/1": first, "other": {"price": 5}}
    with state.transaction():
        assert state.get(MINE, "cart/1") == first
    meta = {"cents": 700, "lines": [{"name": "a"}]}
    assert system.artifacts.get("report/1", scope=MINE).meta == meta
    assert next(each.meta for each in system.artifacts.list(scope=MINE)) == meta
    assert system.artifacts.get("else", scope=MINE).meta["price"] == 7


def test_they_are_migrated_when_they_are_read(store: object) -> None:
    """By each way of reading, also beside values that were written since."""
    with second(store) as system:
        check(system)
        system.state.set(MINE, "cart/2", Cart2(1))
    with second(store) as system:
        check(system)
        assert system.state.get(MINE, "cart/2") == Cart2(1)
        first = Cart2(100, [{"name": "tea"}])
        assert system.state.compare_and_set(MINE, "cart/1", first, Cart2(101))
        assert system.state.get(MINE, "cart/1") == Cart2(101)
        assert system.state.copy(MINE, "cart/2", MINE, "cart/3")
        assert system.state.get(MINE, "cart/3") == Cart2(1)


def test_they_are_migrated_at_once(store: object) -> None:
    """A dry run counts and changes nothing; done is done, and is read without the migration."""
    with second(store) as system:
        told = {"shared values": 2, "artifacts": 1}
        assert system.migrate(dry=True).values == told
        assert system.migrate().values == told
        check(system)
        assert not system.migrate().values
        entry = system.state.entry(MINE, "cart/1")
        assert entry is not None
        assert entry.version == 2
    with second(store) as system:
        check(system)


def test_a_failing_one_is_named_and_nothing_changes(store: object) -> None:
    """With its scope, key and reason, when it is read and when all are migrated."""
    with AgentSystem.open(store, agents=[], schemas={"cart/*": Stubborn}) as system:  # type: ignore[arg-type]
        with pytest.raises(errors.MigrationFailed, match=r"cart/1.*RuntimeError: no"):
            system.state.get(MINE, "cart/1")
        report = system.migrate()
        assert [(each.kind, each.key) for each in report.failures] == [
            ("user:mira", "cart/1"), ("user:mira", "cart/2")
        ]  # fmt: skip
    with second(store) as system:
        check(system)


def test_a_type_that_cannot_read_what_is_stored_is_refused(store: object) -> None:
    """At the opening and when it is registered, with each difference; nothing has changed."""
    told = r"values cart/\* 1\.0\.0, 2 stored: value\.price: retyped"
    with pytest.raises(errors.IncompatibleSchema, match=told):
        AgentSystem.open(store, agents=[], schemas={"cart/*": Shop})  # type: ignore[arg-type]
    with AgentSystem.open(store, agents=[]) as system:  # type: ignore[arg-type]
        with pytest.raises(errors.IncompatibleSchema, match=told):
            system.state.register("cart/*", Shop)
        with pytest.raises(errors.IncompatibleSchema, match=r"metadata report/\* 1\.0\.0, 1 stor"):
            system.artifacts.register("report/*", Shop)
        system.state.register("cart/*", Cart2)
        assert system.state.get(MINE, "cart/1") == Cart2(100, [{"name": "tea"}])


def test_the_older_release_is_refused_before_it_changes_anything(store: object) -> None:
    """What the newer has written is not read by mistake."""
    with second(store) as system:
        system.state.set(MINE, "cart/2", Cart2(1))
    with pytest.raises(errors.IncompatibleSchema, match=r"2\.0\.0 became 1\.0\.0"):
        AgentSystem.open(store, agents=[], schemas={"cart/*": Cart})  # type: ignore[arg-type]
    with second(store) as system:
        check(system)


def test_metadata_must_fit_their_type(store: object) -> None:
    """What does not is refused where it is given."""
    with second(store) as system, pytest.raises(errors.StateError, match="report/2"):
        system.artifacts.save("report/2", b"x", scope=MINE, meta={"cents": "much"})


def test_the_commands_take_them_too(tmp_path: Path) -> None:
    """By what the module says in SCHEMAS and METADATA: tried, counted, rewritten."""
    path = tmp_path / "s.db"
    with AgentSystem.open(path, agents=[], schemas={"cart/*": Cart}) as system:
        system.artifacts.register("report/*", Cart)
        system.state.set(MINE, "cart/1", Cart(1))
        system.artifacts.save("report/1", b"x", scope=MINE, meta={"price": 7})
    code = ("--code", f"{__name__}:agents", "--store", path)
    (found,) = records("rehearse", *code)
    assert found["counts"] == {"artifacts skipped": 1, "shared values skipped": 1} | MOVED
    (found,) = records("rehearse", "--migrate", *code)
    assert found["counts"] == {"artifacts ok": 1, "shared values ok": 1} | MOVED
    (told,) = records("migrate", *code)
    assert told["values"] == {"shared values": 1, "artifacts": 1}
    with second(path) as system:
        assert system.state.get(MINE, "cart/1") == Cart2(100)
