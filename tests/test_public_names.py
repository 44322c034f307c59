"""The public names: what type checkers see is what the interpreter gives."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import perdure
from perdure import testing
from tests.kit.children import ROOT, finished
from tests.pages import blocks, pages

SOURCE = ROOT / "perdure" / "__init__.py"
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"perdure", "examples"}
"""Folders of the checkout; nobody who has installed perdure can import from them."""

PUBLIC = {"perdure": perdure.__all__, "perdure.testing": testing.__all__}
"""What may be imported from where; `perdure.testing` is for tests alone."""
PORT = {"MemoryStore", "Store", "StoreReader"}
"""What adapters implement: their signatures name records that nobody else writes down."""
INNER = {
    *(
        "Codec",
        "LogReader",
        "MapReader",
        "Seal",
        "Signature",
        "Signer",
    ),  # given to values by a store
    *("Asker", "Cell", "Helper"),  # given to futures by the pool
    "DelayedCall",  # what a clock returns, to be cancelled
    "Resident",  # a system, as a virtual clock sees it
    "SessionStep",  # the method of a session says it
    "Readable",  # an open file is one
    "Addressee",  # a reference to an agent is one
}
"""Classes in signatures of public methods whose objects only perdure itself passes."""
KIT = {"Batch", "Commit", "MemoryLife", "RunLog", "SqliteLife", "StoredAgent"}
"""The same, of the test kit."""


def declared() -> dict[str, str]:
    """Map the names imported for type checkers to the modules they are imported from."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f".{node.module}" for node in imports for alias in node.names}


def test_the_lists_agree() -> None:
    """`__all__`, the imports for type checkers and the table for the interpreter name the same."""
    assert declared() == perdure._HOMES
    assert sorted(perdure._HOMES) == perdure.__all__


@pytest.mark.parametrize("name", perdure.__all__)
def test_each_name_is_there(name: str) -> None:
    """Each public name leads to what is defined where the table says, or to a module there."""
    value = getattr(perdure, name)
    home = value.__package__ if isinstance(value, ModuleType) else value.__module__
    assert home == f"perdure{perdure._HOMES[name]}"
    assert name in dir(perdure)


def test_another_name_is_an_attribute_error() -> None:
    """A name that is not public raises AttributeError, as for any module."""
    with pytest.raises(AttributeError, match="'perdure' has no attribute 'Agnet'"):
        perdure.__getattr__("Agnet")


def test_importing_the_package_loads_none_of_its_layers() -> None:
    """`import perdure` alone loads no layer and no dependency."""
    code = "import sys, perdure; print(*[m for m in sys.modules if m.startswith('perdure.')])"
    assert finished("-c", code)[0].split() == []


def imports(code: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """Find the imports of a program, wherever they stand."""
    return (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import | ast.ImportFrom))


def not_public(code: str) -> list[str]:
    """Return the imports of a program that only perdure's own modules may have."""
    found = []
    for node in imports(code):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name not in PUBLIC]
        elif node.level:  # a module beside this one
            continue
        else:
            public = PUBLIC.get(node.module or "")
            modules = [node.module or ""] if public is None else []
            names = [] if public is None else [alias.name for alias in node.names]
            found += [f"{node.module}.{name}" for name in names if name not in (public or ())]
        found += [m for m in modules if m.partition(".")[0] in {"perdure", *ROOMS}]
    return found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_import_public_names_only(path: Path) -> None:
    """An example imports of perdure what `perdure.__all__` has, and nothing from inside."""
    assert not_public(path.read_text()) == []


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_import_public_names_only(page: Path) -> None:
    """A program on a page imports of perdure what `perdure.__all__` has, nothing from inside."""
    programs = [block.text for block in blocks(page.read_text()) if block.language == "python"]
    assert [name for program in programs for name in not_public(program)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from perdure.system import AgentSystem", ["perdure.system"]),
        ("import perdure.actors", ["perdure.actors"]),
        ("def f():\n    from persistence.log import Log", ["persistence.log"]),
        ("from perdure import Agnet, Log", ["perdure.Agnet"]),
        ("from perdure.testing import states, probe", ["perdure.testing.probe"]),
        ("import perdure, os\nfrom perdure import errors\nfrom .data import DAYS", []),
    ],
)
def test_imports_from_inside_are_found(code: str, found: list[str]) -> None:
    """Each way to import something that is not public is reported."""
    assert not_public(code) == found


def hints(kind: type) -> Iterator[tuple[object, dict[str, object]]]:
    """Find the annotations of a class's public members, each with the names around it."""
    module = vars(sys.modules[kind.__module__])
    for name, hint in inspect.get_annotations(kind).items():
        if not name.startswith("_"):
            yield hint, module
    for name, value in vars(kind).items():
        member = getattr(value, "fget" if isinstance(value, property) else "__func__", value)
        if not name.startswith("_") and inspect.isroutine(member):
            function = inspect.unwrap(member)
            yield from ((hint, function.__globals__) for hint in function.__annotations__.values())


def named_types(kind: type) -> set[str]:
    """Return the classes of perdure that the annotations of a class name."""
    found = set()
    for hint, names in hints(kind):
        for word in re.findall(r"[A-Za-z_]\w*", str(hint)):
            value = names.get(word)
            if inspect.isclass(value) and value.__module__.startswith("perdure."):
                found.add(value.__name__)
    return found


@pytest.mark.parametrize(
    "name", sorted({*perdure.__all__, *testing.__all__} - {"errors", "signals", *PORT})
)
def test_types_in_public_signatures_are_public(name: str) -> None:
    """Each type that a public class takes, returns or holds can be imported as that can be."""
    value = getattr(testing if name in testing.__all__ else perdure, name)
    known = {*perdure.__all__, *INNER, *vars(perdure.errors), *vars(perdure.signals)}
    if name in testing.__all__:
        known |= {*testing.__all__, *KIT}
    assert not inspect.isclass(value) or named_types(value) - known == set()


def test_types_in_annotations_are_found() -> None:
    """The search finds types in arguments, results, properties and attributes."""
    assert {"SystemView", "AutoSave", "RestartPolicy"} <= named_types(perdure.Agent)
    assert {"AgentRef", "Store", "Clock", "Sharing"} <= named_types(perdure.AgentSystem)
