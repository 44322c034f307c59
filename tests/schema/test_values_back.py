"""Shared values and metadata go back to an earlier version, before its release is started again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from perdure import Agent, AgentSystem, MemoryStore, Scope, State, errors, migration, open_reader
from perdure import transforms as to
from perdure.actors.system import migrated_values
from perdure.persistence.records.shared_tables import ARTIFACTS, SCOPED
from perdure.persistence.records.tables import Order
from tests.cli.commands import invoke, records


class Fare(msgspec.Struct):
    """The first release."""

    euros: int = 0


class Fare2(msgspec.Struct):
    """The second: in cents."""

    schema_version: ClassVar[str] = "2.0.0"
    cents: int = 0


class Fare3(msgspec.Struct):
    """The third: with its currency, and no way back."""

    schema_version: ClassVar[str] = "3.0.0"
    cents: int = 0
    currency: str = "EUR"


CENTS = (to.rename("euros", "cents"), to.convert("cents", lambda e: e * 100, lambda c: c // 100))
for owner in (Fare2, Fare3):
    migration(owner, "1.0.0", "2.0.0", *CENTS)


@migration(Fare3, "2.0.0", "3.0.0")
def in_euros(data: dict[str, Any]) -> None:
    """Say the currency."""
    data["currency"] = "EUR"


class Desk(Agent[State]):
    """Somebody must be in the code."""


agents = [Desk]
SCHEMAS: dict[str, object] = {"fare/*": Fare2, "other/*": Fare2}
METADATA: dict[str, object] = {"report/*": Fare2}
SCOPE = Scope.user("mira")
CODE = ("--code", f"{__name__}:agents")


def opened(store: object, fare: type) -> AgentSystem:
    """Open a store by a release."""
    schemas = {"fare/*": fare, "other/*": fare}
    system = AgentSystem.open(store, agents=[], schemas=schemas)  # type: ignore[arg-type]
    system.artifacts.register("report/*", fare)
    return system


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a store of the second release, with values of the first."""
    path = tmp_path / "s.db"
    with opened(path, Fare) as system:
        for number in range(4):
            system.state.set(SCOPE, f"fare/{number}", Fare(number))
        system.state.set(SCOPE, "other/1", Fare(7))
        system.artifacts.save("report/1", b"x", scope=SCOPE, meta={"euros": 7})
    with opened(path, Fare2) as system:
        system.state.set(SCOPE, "fare/3", Fare2(300))
        system.state.set(SCOPE, "fare/4", Fare2(400))
        system.state.set(SCOPE, "other/2", Fare2(800))
        system.artifacts.save("report/2", b"x", scope=SCOPE, meta={"cents": 700})
    return path


def stored(path: Path) -> dict[str, str]:
    """Return the texts of all values and metadata."""
    with closing(open_reader(path)) as reader:
        scoped = reader.page(SCOPED, Order(SCOPED.key_names), None, 100)
        files = reader.page(ARTIFACTS, Order(ARTIFACTS.key_names), None, 100)
        kept = migrated_values.METADATA
        return {str(row[3]): str(row[4]) for row in scoped} | {
            str(row[kept.key]): str(row[kept.value]) for row in files
        }


def test_values_of_one_pattern_go_back(store: Path) -> None:
    """Counted by a dry run, then done once; others stay, and old ones are as they were."""
    before = stored(store)
    back = ("migrate", *CODE, "--values", "fare/*", "--to", "1.0.0", "--store", store)
    (told,) = records(*back, "--dry-run")
    assert (told["values"], stored(store)) == ({"shared values": 2}, before)
    for count in ({"shared values": 2}, {}):
        (told,) = records(*back)
        assert told["values"] == count
    changed = {"fare/3": '{"euros":3}', "fare/4": '{"euros":4}'}
    assert stored(store) == before | changed
    with pytest.raises(errors.IncompatibleSchema, match=r"other/\* 2\.0\.0, 1 stored"):
        opened(store, Fare)
    assert (
        invoke("migrate", *CODE, "--values", "other/*", "--to", "1.0.0", "--store", store).exit_code
        == 0
    )
    of_metadata = ("migrate", *CODE, "--metadata", "report/*", "--to", "1.0.0", "--store", store)
    assert records(*of_metadata)[0]["values"] == {"artifacts": 1}
    with opened(store, Fare) as system:
        fares = [system.state.get(SCOPE, f"fare/{number}") for number in range(5)]
        assert fares == [Fare(number) for number in range(5)]
        assert system.artifacts.get("report/2", scope=SCOPE).meta == {"euros": 7}
    with opened(store, Fare2) as system:  # and up again
        assert system.state.get(SCOPE, "fare/4") == Fare2(400)
        assert system.state.get(SCOPE, "fare/1") == Fare2(100)


def test_a_step_without_a_way_back_changes_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that cannot go is named, and those that could are as they were."""
    with opened(store, Fare3) as system:
        system.state.set(SCOPE, "fare/4", Fare3(400))
    before = stored(store)
    monkeypatch.setitem(SCHEMAS, "fare/*", Fare3)
    back = ("migrate", *CODE, "--values", "fare/*", "--to", "1.0.0", "--store", store)
    (told,) = records(*back, code=1)
    (failure,) = told["not_migrated"]
    assert failure["key"] == "fare/4"
    assert "no migrations lead from 3.0.0 to 1.0.0" in failure["reason"]
    assert stored(store) == before


def test_a_run_that_ends_in_the_middle_goes_on(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is old, all else new, each known for what it is; progress tells how far."""
    monkeypatch.setattr(migrated_values, "PAGE", 1)
    seen: list[int] = []

    def struck(done: int) -> None:
        seen.append(done)
        raise KeyboardInterrupt

    with AgentSystem.open(store, agents=[]) as system:
        runtime = system._runtime
        kept = migrated_values.kept_values(
            runtime.store, runtime.evolution.registry, (SCHEMAS, METADATA)
        )[0]
        kept.aim("fare/*", "1.0.0")
        with pytest.raises(KeyboardInterrupt):
            kept.rewrite(runtime.desk, struck)
    assert seen == [1]
    middle = stored(store)
    assert sorted([middle["fare/3"], middle["fare/4"]]) == ['{"cents":400}', '{"euros":3}']
    with opened(store, Fare2) as system:
        assert system.state.get(SCOPE, "fare/3") == Fare2(300)
        assert system.state.get(SCOPE, "fare/4") == Fare2(400)
    back = ("migrate", *CODE, "--values", "fare/*", "--to", "1.0.0", "--store", store)
    assert records(*back)[0]["values"] == {"shared values": 1}
    assert stored(store)["fare/4"] == '{"euros":4}'


def test_progress_counts_values() -> None:
    """All that the trial has found, and which they are."""
    store, told = MemoryStore(), list[tuple[int, int, str]]()
    with opened(store, Fare) as system:
        system.state.set(SCOPE, "fare/1", Fare(1))
        system.state.set(SCOPE, "fare/2", Fare(2))
    with opened(store, Fare2) as system:
        system.migrate(tell=lambda done, total, what: told.append((done, total, what)))
    assert told == [(2, 2, "shared values")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--values", "fare/*"), "--to VERSION"),
        (("--to", "1.0.0"), "--kind, --values or --metadata"),
        (("--values", "a", "--metadata", "b", "--to", "1.0.0"), "one at a time"),
        (("--values", "nothing/*", "--to", "1.0.0"), "no type of values for 'nothing/*'"),
        (("--values", "fare/*", "--to", "9.0.0"), "no version '9.0.0'"),
    ],
)
def test_what_makes_no_sense_is_refused(store: Path, words: tuple[str, ...], told: str) -> None:
    """In one sentence that says what to give."""
    done = invoke("migrate", *CODE, *words, "--store", store)
    assert done.exit_code != 0
    assert told in done.stderr.replace("\n", " ")
