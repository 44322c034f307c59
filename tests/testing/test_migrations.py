"""`assert_migrates` and `assert_round_trip` see what a store would see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from perdure import Log, Map, State, errors, migration, transforms
from perdure.testing import assert_migrates, assert_round_trip, states


def full(first: str, last: str) -> str:
    """Return both names as one."""
    return f"{first} {last}" if last else first


class One(State):
    price: int = 3
    name: str = "a b"
    lines: list[str] = []  # noqa: RUF012 - msgspec copies it
    owners: Map[str, int] = Map.field()


class Two(State):
    schema_version = "2.0.0"
    cents: int = 0
    first: str = ""
    last: str = ""
    lines: Log[str] = Log.field()
    owners: Map[str, str] = Map.field()


migration(
    Two, "1.0.0", "2.0.0",
    transforms.rename("price", "cents"),
    transforms.convert("cents", lambda euros: euros * 100, lambda cents: cents // 100),
    transforms.split("name", ("first", "last"), lambda n: n.partition(" ")[::2], full),
    transforms.convert("lines", list, list),
    transforms.convert("owners", lambda o: {k: str(v) for k, v in o.items()},
                       lambda o: {k: int(v) for k, v in o.items()}),
)  # fmt: skip
SMALL = {"price": 2, "lines": ["x"], "owners": {"mira": 1}}


def test_what_becomes_of_values_is_returned() -> None:
    """All of it, by what the class of then or only its version says."""
    whole = {"cents": 200, "first": "a", "last": "b", "lines": ["x"], "owners": {"mira": "1"}}
    assert assert_migrates(Two, SMALL, whole, written=One) == whole
    assert assert_migrates(Two, {"price": 2}) == {"cents": 200}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"price": 2}, {"cents": 2}, "cents is 200 after the migration, not 2"),
        ({"price": 2}, {"first": "x"}, "first is not stored after the migration"),
        ({"price": 2, "gone": 1}, {}, "leave behind, unread: gone"),
    ],
)
def test_what_is_not_as_it_should_be_fails(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    """Another value, a missing one, one that is left behind."""
    with pytest.raises(AssertionError, match=told):
        assert_migrates(Two, before, after)


def test_a_step_that_fails_is_named() -> None:
    """As in a store: with the step and the path; a value that the class does not read as well."""
    with pytest.raises(errors.MigrationFailed, match=r"Two 1\.0\.0 to 2\.0\.0"):
        assert_migrates(Two, {"name": 5})
    with pytest.raises(errors.MigrationFailed, match="cents"):
        assert_migrates(Two, {"price": "x"})
    with pytest.raises(errors.CorruptState, match="no migrations lead"):
        assert_migrates(Two, {"price": 1}, written="3.0.0")
    with pytest.raises(errors.ConfigurationError, match="no version such as"):
        assert_migrates(Two, {}, written=3)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(values=states(One))
def test_there_and_back_is_the_identity(values: dict[str, Any]) -> None:
    """For whatever a class may have stored, where the steps know their way back."""
    if abs(values.get("price", 0)) > 2**50 or values.get("name", "").endswith(" "):
        return
    assert_round_trip(Two, values, written=One)


class Lossy(State):
    schema_version = "2.0.0"
    price: int = 0


@migration(Lossy, "1.0.0", "2.0.0")
def halves(data: dict[str, Any]) -> None:
    """Lose what is odd."""
    data["price"] //= 2


@halves.reverse
def doubles(data: dict[str, Any]) -> None:
    """Bring back what is left."""
    data["price"] *= 2


class OneWay(State):
    schema_version = "2.0.0"
    price: int = 0


migration(OneWay, "1.0.0", "2.0.0", transforms.convert("price", int))


def test_a_lossy_way_back_is_found() -> None:
    """The field is named, with both values; a missing way back is said as well."""
    assert_round_trip(Lossy, {"price": 4})
    with pytest.raises(AssertionError, match="price was 3, and is 2"):
        assert_round_trip(Lossy, {"price": 3})
    with pytest.raises(errors.PerdureError, match=r"no migrations lead"):
        assert_round_trip(OneWay, {"price": " 3"})
