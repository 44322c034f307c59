"""Points between lines: where threads meet without a lock, a run may change threads at each line.

The functions of such modules get other code for the time of a run: the same, with a call before
each statement. So a debugger, a profiler and coverage go on as ever, and nothing is loaded twice.
"""

from __future__ import annotations
import __future__

import ast
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

MEETINGS: Final = (
    ("actors.pool.mailbox",),
    ("actors.pool.dispatcher", "actors.pool.offers", "actors.pool.returning"),
    ("actors.pool.future", "actors.pool.wakes", "actors.pool.writing", "actors.system.helper"),
    ("persistence.store.committer",),
    ("lifecycle.clock", "lifecycle.supervisor", "lifecycle.autosave", "actors.pool.agenda"),
    ("actors.cell.receiver", "actors.cell.settlement", "actors.cell.retry", "actors.cell.attempts"),
    ("actors.cell.loading", "actors.cell.timers", "actors.system.recovery", "actors.system.cells"),
    ("actors.system.post", "actors.system.runtime", "actors.system.rest"),
    ("shared.ledger.ledger", "shared.ledger.unit", "shared.ledger.desk"),
)
"""Modules whose objects several threads use at once, those together that work together."""
_NAME: Final = "__perdure_point__"


def replacements(names: Sequence[str], point: Callable[[], None]) -> Iterator[tuple[Any, str, Any]]:
    """Give the code for functions of some modules, and ``point`` where that looks for it."""
    for module, pairs in map(_found, names):
        yield module, _NAME, point
        for function, code in pairs:
            yield function, "__code__", code


@functools.cache
def _found(name: str) -> tuple[ModuleType, list[tuple[FunctionType, CodeType]]]:
    module = importlib.import_module(f"{__name__.partition('.')[0]}.{name}")
    tree = _Pointed().visit(ast.parse(inspect.getsource(module)))
    return module, list(codes(module, tree))


def codes(module: ModuleType, tree: ast.Module) -> Iterator[tuple[FunctionType, CodeType]]:
    """Give the functions of a module, each with its code in a changed tree of the module."""
    flags = __future__.annotations.compiler_flag
    compiled = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec", flags)
    found: dict[str, list[CodeType]] = {}
    for code in _inner(compiled):
        found.setdefault(code.co_qualname, []).append(code)
    for function in _functions(module):
        old = function.__code__
        same = found.get(old.co_qualname, [])  # a property has two of a name, and overloads more
        here = [code for code in same if code.co_firstlineno == old.co_firstlineno]
        new = (here or same)[0] if len(same) == 1 or here else None
        if new is not None and new.co_freevars == old.co_freevars:
            yield function, new


def _inner(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _inner(constant)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """Give the functions of a module and its classes, also those that decorators have wrapped."""
    values = list(vars(module).values())
    for value in list(values):
        if inspect.isclass(value) and value.__module__ == module.__name__:
            values += vars(value).values()
    for value in values:
        bare = value.fget if isinstance(value, property) else value
        bare = inspect.unwrap(getattr(bare, "__func__", bare)) if callable(bare) else bare
        if isinstance(bare, FunctionType) and bare.__module__ == module.__name__:
            yield bare


class _Pointed(ast.NodeTransformer):
    """Put a call before each statement of functions."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._inside(node)

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._depth += 1
        try:
            return self.generic_visit(node)
        finally:
            self._depth -= 1

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visit what is inside, then put points into its blocks."""
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if self._depth and isinstance(block, list):  # a lambda has one expression
                setattr(node, name, [each for line in block for each in self._pointed(line)])
        return node

    def _pointed(self, line: ast.stmt) -> list[ast.stmt]:
        text = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        if text or isinstance(line, ast.Nonlocal | ast.Global | ast.Pass):
            return [line]
        call = ast.Expr(ast.Call(ast.Name(_NAME, ast.Load()), [], []))
        return [ast.copy_location(call, line), line]
