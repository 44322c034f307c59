"""Generated states are such as a class stores, also where only its schema is left."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings

from perdure import Agent, AgentSystem, Log, Map, State, errors
from perdure.persistence.schema.schema import read_schema, schema_of
from perdure.testing import states, stored_schemas
from perdure.testing.probe import Probe
from tests.kit.children import finished


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Leaf(msgspec.Struct, tag="leaf"):
    weight: float
    note: str = ""


class Tree(msgspec.Struct, tag="tree"):
    left: Tree | Leaf | None = None
    names: list[str] = []


class Place(NamedTuple):
    street: str
    number: int


class Rich(State):
    number: Annotated[int, msgspec.Meta(gt=3, multiple_of=5)] = 5
    share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=5)] = "ab"
    code: Annotated[str, msgspec.Meta(pattern="^[a-c]+$")] = "a"
    raw: bytes = b""
    price: Decimal = Decimal(1)
    moment: dt.datetime | None = None
    fixed: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    day: dt.date = dt.date(2026, 1, 1)
    hour: dt.time = dt.time(1)
    wait: dt.timedelta = dt.timedelta(1)
    id: uuid.UUID = uuid.UUID(int=1)
    colour: Colour = Colour.RED
    word: Literal["a", "b"] = "a"
    anything: object = None
    tree: Tree | Leaf | None = None
    place: Place | None = None
    pairs: tuple[tuple[int, str], ...] = ()
    some: set[int] = set()  # noqa: RUF012 - msgspec copies it
    few: Annotated[list[bool], msgspec.Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=lambda: [True]
    )
    by_number: dict[int, list[str]] = {}  # noqa: RUF012 - same
    lines: Log[Leaf] = Log.field()
    owners: Map[str, int | None] = Map.field()
    seats: Map[int, Place] = Map.field()


LEFT = read_schema(schema_of(Rich).text())
"""What a store has of the class once it is gone."""


@settings(max_examples=200)
@given(values=states(Rich) | states(LEFT))
def test_the_class_reads_what_is_generated(values: dict[str, Any]) -> None:
    """All types, with their limits, unions, records in records and keys of maps."""
    assert Probe(Rich, schema_of(Rich), values).unreadable() == ""


def test_a_type_of_others_needs_a_strategy() -> None:
    """It is named, and the values of the strategy that is given are taken."""

    class Money(State):
        amount: complex | None = None

    schema = schema_of(Money)
    with pytest.raises(errors.ConfigurationError, match="no values are known of complex") as told:
        states(schema).example()
    assert "types={'complex': ...}" in str(told.value)


def test_schemas_of_a_store(tmp_path: Path) -> None:
    """The oldest first, of one kind; the messages of it are none of its state."""

    class Desk(Agent[Rich]):
        def paint(self) -> None:
            self.state.colour = Colour.BLUE

    with AgentSystem.open(tmp_path / "s.db", agents=[Desk]) as system:
        system.agent(Desk, "d").call(Desk.paint).get()
    assert stored_schemas(tmp_path / "s.db", "Desk") == [schema_of(Rich)]
    assert stored_schemas(tmp_path / "s.db", "Other") == []


def test_without_hypothesis_one_sentence_says_what_to_install() -> None:
    """The rest of the tools goes without it."""
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from perdure import errors, testing\n"
        "testing.assert_migrates\n"
        "try: testing.states\n"
        "except errors.ConfigurationError as error: print(error)"
    )
    assert "pip install 'perdure[testing]'" in finished("-c", code)[0]
