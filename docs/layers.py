"""The house of perdure as its syntax trees tell it: floors, rooms, and who imports whom."""  # noqa: INP001

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PROGRAM: Final = "perdure/__main__"
"""``python -m perdure``: a program on top of the command line, although it stands in the facade."""
ROOMS: Final = (
    "persistence",
    "persistence/names",
    "persistence/codec",
    "persistence/secrets",
    "persistence/records",
    "persistence/state",
    "persistence/store",
    "persistence/audit",
    "persistence/memory",
    "persistence/sqlite",
    "persistence/upkeep",
    "persistence/schema",
    "persistence/backup",
    "persistence/salvage",
    "hooks",
    "hooks/history",
    "hooks/timeline",
    "hooks/shipped",
    "lifecycle",
    "shared",
    "shared/ledger",
    "shared/access",
    "shared/scopes",
    "shared/artifacts",
    "shared/sessions",
    "shared/secrets",
    "shared/timeline",
    "actors",
    "actors/pool",
    "actors/talk",
    "actors/patterns",
    "actors/agent",
    "actors/cell",
    "actors/system",
    "llm",
    "scripting/worker",
    "scripting",
    "perdure/replay",
    "perdure/rehearsal",
    "perdure/service",
    "perdure",
    "perdure/testing/faults",
    "perdure/testing/simulation",
    "perdure/mcp",
    "perdure/testing",
    "perdure/cli/terminal",
    "perdure/cli/commands",
    "perdure/cli",
    PROGRAM,
)
"""Every folder, from the bottom up: a module imports from its own room and from those before it.

So no two rooms import each other, directly or round a corner. The first part is the floor.
"""


@dataclass(frozen=True, slots=True)
class House:
    """The modules of the library, and what each imports."""

    files: dict[str, Path]
    """Names of modules to their files; a package is named as its `__init__.py`."""
    imports: dict[str, set[str]]
    """What each module imports from the library or from one of its folders."""
    rooms: dict[str, str]
    """The room of each module: its folder, from the root of the checkout."""
    purposes: dict[str, str]
    """What each folder is for: the first line of its `__init__.py`."""

    def edges(self) -> list[tuple[str, str]]:
        """Return who imports whom, in order."""
        return [(a, b) for a, found in sorted(self.imports.items()) for b in sorted(found)]

    def between(self) -> Counter[tuple[str, str]]:
        """Count the imports from room to room."""
        pairs = ((self.rooms[a], self.rooms[b]) for a, b in self.edges() if b in self.files)
        return Counter((a, b) for a, b in pairs if a != b)


def floor(room: str) -> str:
    """Return the floor that a room is on: the top folder."""
    return room.partition("/")[0]


FLOORS: Final = tuple(dict.fromkeys(map(floor, ROOMS)))
"""From the bottom up."""


def read(root: Path = ROOT) -> House:
    """Read the syntax tree of every module."""
    files, rooms, purposes, found = {}, {}, {}, {}
    for top in FLOORS:
        for path in sorted((root / top).rglob("*.py")):
            name, room = _module(path.relative_to(root)), path.parent.relative_to(root).as_posix()
            if path.relative_to(root).with_suffix("").as_posix() == PROGRAM:
                room = PROGRAM
            tree = ast.parse(path.read_text(encoding="utf-8"))
            files[name], rooms[name], found[name] = path, room, tree
            if path.name == "__init__.py" or room == PROGRAM:
                purposes[room] = (ast.get_docstring(tree) or "").partition("\n")[0]
    imports = {name: _imports(name, files[name], tree, set(files)) for name, tree in found.items()}
    return House(files, imports, rooms, purposes)


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    package = parts if parts[0] == "perdure" else ("perdure", *parts)
    return ".".join(package).removesuffix(".__init__")


def _imports(name: str, path: Path, tree: ast.Module, modules: set[str]) -> set[str]:
    """Return what a module imports anywhere, also in functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            start = parents[: len(parents) + 1 - node.level] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            inside = {f"{origin}.{alias.name}" for alias in node.names}
            found |= (inside & modules) or {origin}
    return {module for module in found if module.split(".")[0] in FLOORS}


def faults(house: House) -> list[str]:
    """List what breaks the rule: imports that go up or leave the package, circles, odd folders."""
    there = set(house.rooms.values())
    found = [f"{room} has no place in the order" for room in sorted(there - set(ROOMS))]
    found += [f"{room} is no folder of the library" for room in ROOMS if room not in there]
    found += [f"{room} says no purpose" for room in sorted(there) if not house.purposes.get(room)]
    for a, b in house.edges():
        if b not in house.files:
            found.append(f"{a} imports {b}, which is no module")
        elif goes_up(house.rooms[a], house.rooms[b]):
            found.append(f"{a} goes up to {b}")
    try:
        graphlib.TopologicalSorter(house.imports).prepare()
    except graphlib.CycleError as circle:
        found.append("a circle: " + " -> ".join(circle.args[1]))
    return found


def goes_up(importer: str, imported: str) -> bool:
    """Tell whether an import leads to a room that stands higher."""
    known = importer in ROOMS and imported in ROOMS
    return known and ROOMS.index(imported) > ROOMS.index(importer)
