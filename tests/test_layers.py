"""Imports go down only, from floor to floor and from room to room, never in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the bottom up; the facade is above.
LAYERS = (
    "persistence",
    "hooks",
    "lifecycle",
    "shared",
    "actors",
)


def sources(root: Path) -> dict[str, Path]:
    """Map module names to files; a package is named as its `__init__.py`."""
    folders = {"perdure": root / "perdure", **{f"perdure.{name}": root / name for name in LAYERS}}
    found = {}
    for package, folder in folders.items():
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *inside)).removesuffix(".__init__")] = path
    return found


def imports(name: str, path: Path, modules: set[str]) -> set[str]:
    """Return what the module imports anywhere, also in functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            start = parents[: len(parents) + 1 - node.level] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            inside = {f"{origin}.{alias.name}" for alias in node.names}
            found |= (inside & modules) or {origin}
    return {module for module in found if module.split(".")[0] in {"perdure", *LAYERS}}


def height(module: str) -> int:
    """Return how high a module stands: 0 is the lowest layer."""
    layer = [*module.split("."), ""][1]
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)


def faults(root: Path) -> list[str]:
    """List the imports that go up or leave the package, and a circle if there is one."""
    files = sources(root)
    graph = {name: imports(name, path, set(files)) for name, path in files.items()}
    edges = [
        (name, target) for name, targets in sorted(graph.items()) for target in sorted(targets)
    ]
    found = [f"{a} goes up to {b}" for a, b in edges if b in files and height(b) > height(a)]
    found += [f"{a} imports {b}, which is no module" for a, b in edges if b not in files]
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as circle:
        found.append("a circle: " + " -> ".join(circle.args[1]))
    return found


def test_the_library_keeps_the_rule() -> None:
    """No module of the library imports upwards or in a circle."""
    assert {"perdure", *(f"perdure.{layer}" for layer in LAYERS)} <= set(sources(ROOT))
    assert faults(ROOT) == []


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
    ],
)
def test_each_fault_is_found(tmp_path: Path, files: dict[str, str], fault: str) -> None:
    """An import that goes up, round or outside is reported, wherever it hides."""
    for folder in ("perdure", *LAYERS):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert faults(tmp_path) == []
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert any(fault in found for found in faults(tmp_path))
