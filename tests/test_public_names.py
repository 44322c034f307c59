"""The public names: what type checkers see is what the interpreter gives."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import perdure

SOURCE = Path(__file__).resolve().parents[1] / "perdure" / "__init__.py"


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
