"""Python, by Monty: an interpreter of its own, in a process of its own, below this one."""

from __future__ import annotations

import base64
import builtins
import json
import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from pydantic_monty import (
    FunctionSnapshot,
    FutureSnapshot,
    Monty,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
    NameLookupSnapshot,
)

if TYPE_CHECKING:
    from pydantic_monty import ExternalResult

from .confine import CLIENT, STARTING, confine
from .task import Call, Task, engine_failed

DEEPEST: Final = 500
FRAMES: Final = 10 * DEEPEST
"""What the value that nests deepest takes, and more: by default it would end the worker."""
SAFE: Final = 2**53 - 1
LARGEST: Final = 2**63
HOST: Final = "_host"
LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/null")
"""What the engine's program needs to start."""
_FIRST: Final = "<python-input-0>"
"""How Monty names the prelude; the script is the input behind it."""


Stop: TypeAlias = FunctionSnapshot | NameLookupSnapshot | FutureSnapshot | MontyComplete
"""Where the engine has stopped."""


class Unstorable(ValueError):
    """Say which part of a value JSON cannot hold."""


class Python:
    """Run one script: Monty stops at each call of the host, and goes on with the answer."""

    def __init__(self, memory: int, program: str) -> None:
        """Start the engine, which takes ``memory`` bytes at most, and close both processes in."""
        sys.setrecursionlimit(FRAMES)
        outer = confine(STARTING, [program, *LIBRARIES])
        pool = Monty(binary_path=program, max_processes=1)
        self._session = pool.__enter__().checkout(
            limits={"max_memory": memory, "max_suspensions": 2**31}
        )
        self._session.__enter__()
        self._prepared = False
        inner = confine(CLIENT)
        self.walls = [wall for wall in outer if wall in inner]

    def run(self, task: Task, ask: Callable[[bytes], bytes]) -> bytes:
        """Run a script; return what its host is told of the end."""
        talk = _Talk(ask, task)
        if task.entry in _KNOWN or any(call.name == task.entry for call in task.calls):
            return engine_failed("error", f"the script has no function {task.entry}")
        try:
            step = self._begun(task, talk)
            while not isinstance(step, MontyComplete):
                step = talk.answered(step)
                if talk.dump is not None:
                    return json.dumps(["suspended", talk.dump]).encode()
            return talk.done(step.output)
        except MontyCrashedError:
            return engine_failed("memory", "the engine has ended")
        except MontyError as error:
            return talk.told(error)

    def _begun(self, task: Task, talk: _Talk) -> Stop:
        """Begin a script, or go on with one that was suspended."""
        hosts: dict[str, object] = {HOST: _never}
        if task.dump:
            self._prepared = True
            dump = base64.b64decode(task.dump)
            step = self._session.load_snapshot(
                dump, print_callback=talk.printed, external_lookup=hosts
            )
            assert isinstance(step, FunctionSnapshot), "it was suspended at a call"
            return step.resume({"return_value": json.loads(task.arguments)[0]})
        if not self._prepared:
            self._prepared = True
            self._session.feed_run(_prelude(task.calls), external_lookup=hosts)
        return self._session.feed_start(
            talk.source,
            inputs={"arguments": json.loads(task.arguments), "me": task.me},
            print_callback=talk.printed,
            external_lookup=hosts,
        )


class _Talk:
    """What is said of one script, to its host and to its engine."""

    def __init__(self, ask: Callable[[bytes], bytes], task: Task) -> None:
        self._ask = ask
        self._lines = task.source.count("\n") + 1
        self._line = ""
        self._refused = ("", "")
        self.dump: str | None = None
        """What the engine was, in base64, when its host said to suspend it."""
        self.source = task.source
        if task.entry:
            self.source += f"\n{task.entry}(*arguments)\n"

    def printed(self, _stream: str, text: str) -> None:
        """Log what is printed, by lines."""
        *lines, self._line = (self._line + text).split("\n")
        if lines:
            self._say("\n".join(lines))

    def _say(self, text: str) -> None:
        self._ask(json.dumps(["call", "log", [[text]]]).encode())

    def answered(self, step: Stop) -> Stop:
        """Answer where the engine has stopped; return where it stops next."""
        if isinstance(step, FunctionSnapshot):
            if step.is_os_function:
                return (
                    step.resume_not_handled()
                )  # files, clocks of the host, modules: there are none
            if step.function_name == HOST:
                made = self._made(*step.args)
                if made is None:
                    self.dump = base64.b64encode(step.dump()).decode()
                    return step
                return step.resume(made)
            unknown = NameError(f"name {step.function_name!r} is not defined")
            return step.resume({"exception": unknown})
        if isinstance(step, NameLookupSnapshot):
            return step.resume_auto()
        raise RuntimeError(f"the engine stops at a {type(step).__name__}")

    def _made(self, call: str, given: tuple[object, ...]) -> ExternalResult | None:
        """Make a call of the host; None if that says to suspend the script."""
        try:
            parts = [
                "[]" if value is ... else f"[{encoded(value, f'argument {place} of {call}')}]"
                for place, value in enumerate(given, 1)
            ]
        except Unstorable as error:
            self._refused = ("value", str(error))
            return {"exception": ValueError(str(error))}
        answer = json.loads(self._ask(f'["call","{call}",[{",".join(parts)}]]'.encode()))
        if answer[0] == "ok":
            return {"return_value": answer[1] if len(answer) > 1 else None}
        if answer[0] == "suspend":
            return None
        _, kind, text, base = answer
        self._refused = (kind, f"{kind}: {text}")
        return {"exception": _BASES.get(base, RuntimeError)(f"{kind}: {text}")}

    def done(self, value: object) -> bytes:
        """Return the frame for a script that has ended."""
        if self._line:
            self._say(self._line)
        try:
            return (
                b'["done"'
                + (b"," + encoded(value, "the result").encode() if value is not None else b"")
                + b"]"
            )
        except Unstorable as error:
            return engine_failed("value", str(error))

    def told(self, error: MontyError) -> bytes:
        """Return the frame for an error that the script did not catch."""
        inner = error.exception()
        kind, text = type(inner).__name__, str(inner)
        if isinstance(inner, MemoryError):
            return engine_failed("memory", text)
        if text == self._refused[1]:
            kind, text = self._refused[0], text.removeprefix(f"{self._refused[0]}: ")
        if isinstance(error, MontySyntaxError):
            kind = "syntax"
        own = (
            [
                frame.line
                for frame in error.traceback()
                if frame.filename != _FIRST and frame.line <= self._lines
            ]
            if isinstance(error, MontyRuntimeError | MontySyntaxError)
            else []
        )
        return engine_failed(kind, text, own[-1] if own else 0, str(error))


_KNOWN: Final = {*dir(builtins), "arguments", "me", "missing"}
"""Who sends a message chooses among the script's functions, and no others."""
_BASES: Final = {
    base.__name__: base
    for base in (LookupError, PermissionError, RuntimeError, TimeoutError, ValueError, OSError)
}


_ACYCLIC: Final = f"""
def _acyclic(value, above):
    if isinstance(value, (list, tuple, dict)):
        if id(value) in above:
            raise ValueError('a value that contains itself cannot be stored')
        below = above + [id(value)]
        for member in (value.values() if isinstance(value, dict) else value):
            _acyclic(member, below)

def _ask(call, given):
    for value in given:
        _acyclic(value, [])
    return {HOST}(call, given)
"""
"""Monty gives its host a text for a value that contains itself: it is found before that."""


def _never(*_given: object) -> None:
    """Stand for the host: the engine stops where it is called."""
    raise AssertionError("the engine stops before that")


def _prelude(calls: list[Call]) -> str:
    """Return the calls as Python has them: objects with methods."""
    methods: dict[str, list[str]] = {}
    text = [_ACYCLIC, "missing = ..."]
    for call in calls:
        group, _, method = call.name.partition(".")
        if method:
            methods.setdefault(group, []).append(f"    {_defined(call, method, 'self, ')}")
        else:
            text.append(_defined(call, call.name))
    for group, made in methods.items():
        text += [f"class _{group}:", *made, f"{group} = _{group}()"]
    text += ["def log(*values):", f"    {HOST}('log', (' '.join([str(v) for v in values]),))"]
    return "\n".join(text) + "\n"


def _defined(call: Call, name: str, first: str = "") -> str:
    """Return a call as a function, or with ``self, `` first as a method."""
    names = call.parameters.split()
    declared = ", ".join(f"{name[:-1]}=..." if name.endswith("?") else name for name in names)
    given = "".join(f"{name.rstrip('?')}, " for name in names)
    return f"def {name}({first}{declared}): return _ask({call.name!r}, ({given}))"


# Values to JSON text.


def encoded(value: object, path: str) -> str:
    """Return the JSON text of a value; Unstorable names the part that has none."""
    return json.dumps(_plain(value, path, 0), allow_nan=False)


def _plain(value: object, path: str, depth: int) -> object:
    """Return a value as JSON has it: tuples as lists, floats without a fraction as integers."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if not -LARGEST <= value < LARGEST:
            raise Unstorable(f"{path}: an integer beyond 64 bits cannot be stored")
        return value
    if isinstance(value, float):
        return _number(value, path)
    if depth > DEEPEST:
        raise Unstorable(f"{path}: nests deeper than {DEEPEST} levels")
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value)]
    if isinstance(value, dict):
        return {
            _key(key, path): _plain(member, f"{path}.{key}", depth + 1)
            for key, member in value.items()
        }
    if value is ...:
        raise Unstorable(f"{path}: missing is nothing that could be stored; use None, or delete")
    raise Unstorable(f"{path}: a {type(value).__name__} cannot be stored")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise Unstorable(f"{path}: the key {key!r} is no text")
    return _text(key, path)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unstorable(f"{path}: a text with half a surrogate cannot be stored") from None
    return value


def _number(value: float, path: str) -> float | int:
    if not math.isfinite(value):
        raise Unstorable(f"{path}: {value} cannot be stored")
    whole = value.is_integer() and abs(value) <= SAFE and math.copysign(1, value) * value >= 0
    if not whole or (value == 0 and math.copysign(1, value) < 0):
        return value
    return int(value)
