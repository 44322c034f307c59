"""Golden files keep what each version has stored; the plugin gives them to any test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perdure import Log, Map, State, migration, transforms
from perdure.testing import Golden
from tests.kit.children import environment, finished
from tests.schema.classes import state

TEST = """
from perdure import State


class DeskState(State):
    schema_version = "1.1.0"
    open: int = 0


def test_golden(golden):
    assert golden.check(DeskState(open=3))["1.1.0"] == {"open": 3}
"""


class Shelf(State):
    schema_version = "1.0.0"
    open: int = 0
    lines: Log[str] = Log.field()
    seats: Map[int, str] = Map.field()


def example() -> Shelf:
    """Return a shelf with something in each field."""
    made = Shelf(open=3)
    made.lines.append("a")
    made.seats[7] = "mira"
    return made


def test_a_file_of_each_version_is_read_by_the_class_of_today(tmp_path: Path) -> None:
    """Written on demand, never that of an earlier version; what becomes of each is returned."""
    with pytest.raises(AssertionError, match=r"there is no .*--golden-update"):
        Golden(tmp_path).check(example())
    Golden(tmp_path, update=True).check(example())
    stored = {"open": 3, "lines": ["a"], "seats": {"7": "mira"}}
    assert Golden(tmp_path).check(example()) == {"1.0.0": stored}
    before = (tmp_path / "Shelf-1.0.0.json").read_text()
    newer = state({"count": (int, 0), "lines": (Log[str], Log.field()),
                   "seats": (Map[int, str], Map.field())}, "2.0.0", "Shelf")  # fmt: skip
    migration(newer, "1.0.0", "2.0.0", transforms.rename("open", "count"))
    found = Golden(tmp_path, update=True).check(newer(count=1))
    assert found["1.0.0"] == {"count": 3, "lines": ["a"], "seats": {"7": "mira"}}
    assert found["2.0.0"]["count"] == 1
    assert (tmp_path / "Shelf-1.0.0.json").read_text() == before


def test_a_change_under_the_same_version_is_noticed(tmp_path: Path) -> None:
    """Of the class, and of the example; what an earlier version wrote must be read."""
    Golden(tmp_path, update=True).check(example())
    other = state({"open": (str, "")}, "1.0.0", "Shelf")
    with pytest.raises(AssertionError, match="give it another schema_version"):
        Golden(tmp_path).check(other())
    with pytest.raises(AssertionError, match="the example"):
        Golden(tmp_path).check(Shelf(open=4))
    unread = state({"open": (list[int], [])}, "1.1.0", "Shelf")
    with pytest.raises(AssertionError, match=r"state\.open"):
        Golden(tmp_path, update=True).check(unread())


def run(folder: Path, *options: str) -> str:
    """Run pytest in a folder of somebody else's."""
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *options)
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout


def test_the_fixture_is_there_without_a_word(tmp_path: Path) -> None:
    """In any project that has perdure installed: the file is written on demand, then compared."""
    (tmp_path / "test_desk.py").write_text(TEST)
    assert "run pytest with --golden-update" in run(tmp_path)
    assert "1 passed" in run(tmp_path, "--golden-update")
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["DeskState-1.1.0.json"]


def test_the_plugin_loads_nothing_of_perdure() -> None:
    """Whoever does not use its fixtures pays for two small modules."""
    code = (
        "import sys, pytest, perdure.testing.plugin\n"
        "print(*[m for m in sys.modules if m.partition('.')[0] in ('perdure', 'msgspec', 'pykka')])"
    )
    loaded = set(finished("-c", code)[0].split())
    assert loaded == {"perdure", "perdure.testing", "perdure.testing.plugin"}
