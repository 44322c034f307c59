"""Defects put into perdure while a block runs, each as a change of its source."""

from __future__ import annotations

import ast
import contextlib
import inspect
import linecache
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

from perdure.testing.simulation import lines


@contextlib.contextmanager
def mutant(module: ModuleType, *changes: tuple[str, str]) -> Iterator[None]:
    """Have the functions of a module do what its source with some changes says."""
    file = str(module.__file__)
    before = text = inspect.getsource(module)
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        text = text.replace(old, new)
    with contextlib.ExitStack() as undo:
        undo.callback(_show, file, before)
        _show(file, text)  # points between lines are put into the source as it is shown
        for function, code in list(_changed(module, before, text)):
            undo.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = code
        yield


def _show(file: str, text: str) -> None:
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    lines._found.cache_clear()


def _changed(
    module: ModuleType, before: str, after: str
) -> Iterator[tuple[FunctionType, CodeType]]:
    """Give the functions of a module with the code of a changed source."""
    assert before != after
    return lines.codes(module, ast.parse(after))
