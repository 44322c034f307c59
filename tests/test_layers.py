"""Imports go down only, from floor to floor and from room to room, never in a circle."""

from pathlib import Path

import pytest

from docs.layers import FLOORS, PROGRAM, ROOMS, ROOT, faults, read

FOLDERS = [room for room in ROOMS if room != PROGRAM]


@pytest.fixture(scope="module")
def purposes() -> dict[str, str]:
    """Read once what each folder is for."""
    return read().purposes


def test_the_library_keeps_the_rule() -> None:
    """No module of the library imports upwards or in a circle."""
    assert faults(read()) == []


def test_the_floors_stand_as_they_are_named() -> None:
    """The order has the floors of the library from the bottom up, each in one piece."""
    floors = [
        "persistence", "hooks", "lifecycle", "shared", "actors", "llm", "scripting", "perdure",
    ]  # fmt: skip
    assert list(FLOORS) == floors
    assert [floors.index(room.partition("/")[0]) for room in ROOMS] == sorted(
        floors.index(room.partition("/")[0]) for room in ROOMS
    )


def test_each_folder_with_modules_is_a_room() -> None:
    """The order names each folder of the library, once."""
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*.py")
    }
    assert sorted(FOLDERS) == sorted(folders)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_says_what_it_is_for(folder: str, purposes: dict[str, str]) -> None:
    """The first line of a folder's `__init__.py` says in whole words what one finds there."""
    purpose = purposes[folder]
    assert purpose.endswith(".")
    assert purpose[0].isupper()
    assert len(purpose.split()) >= 8
    assert list(purposes.values()).count(purpose) == 1


CIRCLE_OF_FOLDERS = {
    "shared/ledger/a.py": "from ..access.b import B",
    "shared/access/b.py": "",
    "shared/access/c.py": "from ..ledger.d import D",
    "shared/ledger/d.py": "",
}


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"hooks/a.py": "from ..actors.b import B", "actors/b.py": ""}, "goes up"),
        ({"hooks/a.py": "def f():\n    import perdure.actors.b", "actors/b.py": ""}, "goes up"),
        ({"hooks/a.py": "from .. import Agent"}, "goes up"),
        ({"hooks/a.py": "from . import b", "hooks/b.py": "from .a import A"}, "a circle"),
        ({"hooks/a.py": "if TYPE_CHECKING:\n    from .a import A"}, "a circle"),
        ({"hooks/a.py": "from . import A", "hooks/__init__.py": "from .a import A"}, "a circle"),
        ({"actors/a.py": "from persistence.b import B", "persistence/b.py": ""}, "no module"),
        ({"actors/a.py": "from ..persistence.gone import B"}, "no module"),
        (CIRCLE_OF_FOLDERS, "perdure.shared.ledger.a goes up to perdure.shared.access.b"),
        ({"shared/scopes/a.py": "from ..artifacts.b import B", "shared/artifacts/b.py": ""}, "up"),
        ({"actors/talk/a.py": "from ..cell import b", "actors/cell/b.py": ""}, "goes up"),
        ({"actors/pool/a.py": "from .. import talk"}, "goes up"),
        ({"persistence/a.py": "from .names import b", "persistence/names/b.py": ""}, "goes up"),
        ({"perdure/a.py": "from .cli.b import B", "perdure/cli/b.py": ""}, "goes up"),
        ({"perdure/cli/a.py": "from ..__main__ import main"}, "goes up"),
        ({"shared/new/__init__.py": '"""New."""'}, "shared/new has no place in the order"),
        ({"shared/new/a.py": ""}, "shared/new says no purpose"),
        ({"hooks/__init__.py": ""}, "hooks says no purpose"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    """An import that goes up, round or outside is reported, wherever it hides; so is a new room."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "__init__.py").write_text('"""Some purpose."""')
    (tmp_path / f"{PROGRAM}.py").write_text('"""A program."""\nfrom .cli import main')
    assert faults(read(tmp_path)) == []
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert any(fault in found for found in faults(read(tmp_path)))


def test_a_room_that_is_gone_is_found(tmp_path: Path) -> None:
    """A place in the order without a folder is reported."""
    assert "hooks is no folder of the library" in faults(read(tmp_path))
