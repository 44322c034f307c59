"""The tests keep their own rule: each says in its docstring what must hold."""

import ast
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def silent(source: str) -> list[str]:
    """Return the tests in a module, also those in classes, that have no docstring."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]


def test_every_test_says_its_rule() -> None:
    """Every test function and method has a docstring."""
    found = {path.name: silent(path.read_text()) for path in TESTS.rglob("test_*.py")}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_silent_test_is_found() -> None:
    """A test without a docstring is reported, also one inside a class."""
    assert silent("class T:\n    def test_a(self): ...\ndef test_b():\n    'A rule.'") == ["test_a"]
