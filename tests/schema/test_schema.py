"""What a class stores has a schema, and each schema a fingerprint."""

import datetime as dt
import enum
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import Log, Map, Secret, State
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.schema.schema import Schema, read_schema, schema_of
from tests.kit.children import ROOT
from tests.schema.classes import state


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"
    GREEN = "green"


class Line(msgspec.Struct):
    """A record that holds itself."""

    text: str
    price: float = 0.0
    parts: list["Line"] = []
    colour: Colour | None = None


class Everything(State):
    """A field of each form."""

    schema_version = "1.2.0"
    open: int = 0
    name: str | None = None
    lines: list[Line] = msgspec.field(default_factory=list)
    due: dict[str, dt.datetime] = msgspec.field(default_factory=dict)
    pair: tuple[int, str] = (1, "a")
    token: Secret[str] | None = None
    api_key: str = "a default that is nobody's business"
    number: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)
    seats: Map[int, Line] = Map.field()
    log: Log[Colour] = Log.field()


FINGERPRINT = "bcdd886c"
"""What the fingerprint of ``Everything`` begins with, in every process and every release."""


def test_a_schema_survives_the_store() -> None:
    """It is written as JSON and read back, with the same fingerprint."""
    schema = schema_of(Everything)
    again = read_schema(schema.text())
    assert again == schema
    assert again.fingerprint == schema.fingerprint


def test_the_fingerprint_is_the_same_everywhere() -> None:
    """It hangs on no process, no order of imports, no seed of hashes, and no release."""
    code = (
        "from tests.schema.test_schema import Everything;"
        "from perdure.persistence.schema.schema import schema_of;"
        "print(schema_of(Everything).fingerprint)"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == schema_of(Everything).fingerprint
    assert schema_of(Everything).fingerprint.startswith(FINGERPRINT)


def test_no_default_that_may_be_a_secret_is_told() -> None:
    """Neither of a Secret, nor of a field whose name says that it holds one."""
    text = schema_of(Everything).text()
    assert "nobody's business" not in text
    assert {m["name"] for m in json.loads(text)["members"]} == {*Everything.__struct_fields__}


def changed(**more: Any) -> Schema:  # noqa: ANN401 - fields and defaults
    """Return the schema of a small class, with a change."""
    fields = {"open": (int, 0), "name": (str, ""), **more}
    return schema_of(state(fields))


SMALL = schema_of(state({"open": (int, 0), "name": (str, "")}))


def test_neither_names_of_classes_nor_order_count() -> None:
    """A class renamed, a record in it renamed, fields in another order: the same schema."""
    other = state({"name": (str, ""), "open": (int, 0)}, name="Other")
    assert schema_of(other).fingerprint == SMALL.fingerprint
    one = msgspec.defstruct("One", [("a", int, 0), ("b", str, "")], frozen=True)
    two = msgspec.defstruct("Two", [("b", str, ""), ("a", int, 0)], frozen=True)
    assert changed(line=(one, one())).fingerprint == changed(line=(two, two())).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"open": (float, 0)},
        {"open": (int | None, 0)},
        {"open": (int, 1)},
        {"more": (int, 0)},
        {"open": (msgspec.Meta, None)},
        {"name": (Log[str], Log.field())},
    ],
    ids=["retyped", "optional", "default", "added", "strange", "kind"],
)
def test_each_change_gives_another_fingerprint(change: dict[str, Any]) -> None:
    """Types, optionality, defaults, fields and kinds of fields all count."""
    assert changed(**change).fingerprint != SMALL.fingerprint


def test_another_version_is_another_schema() -> None:
    """Also if it stores the same: what values mean may have changed."""
    newer = state({"open": (int, 0), "name": (str, "")}, "2.0.0")
    assert schema_of(newer).fingerprint != SMALL.fingerprint


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0-rc1", 1])
def test_a_version_is_three_numbers(version: object) -> None:
    """Anything else is refused with the class and the right form."""
    with pytest.raises(ConfigurationError, match=r"DeskState\.schema_version.*as in '1\.2\.0'"):
        schema_of(state({}, version))  # type: ignore[arg-type]


def test_a_renamed_field_is_one_that_there_is() -> None:
    """The old name comes first; a name that is still a field cannot be an old one."""
    fields = {"open": (int, 0), "name": (str, "")}
    for renamed in ({"count": "opened"}, {"open": "name"}):
        with pytest.raises(ConfigurationError, match="before the field that it became"):
            schema_of(state(fields, renamed_fields=renamed))


def test_pythons_agree(tmp_path: Path) -> None:
    """Two modules that declare the same give the same, whichever was imported first."""
    text = "from perdure import State\nclass S(State):\n    a: int = 0\n    b: 'list[str]' = []\n"
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(text)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import {}, {}; from perdure.persistence.schema.schema import schema_of as of;"
        "print(of(first.S).fingerprint, of(second.S).fingerprint)"
    )
    printed = set()
    for order in (("first", "second"), ("second", "first")):
        command = [sys.executable, "-c", code.format(*order), str(tmp_path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        printed |= {*done.stdout.split()}
    assert len(printed) == 1
