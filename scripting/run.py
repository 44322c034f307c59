"""A script at work: its worker asks, the calls are made, until it ends or commits."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import pykka

from ..persistence.errors import (
    ConfigurationError,
    Conflict,
    ScriptError,
    ScriptFailed,
    ScriptLimit,
    StateError,
    told,
)
from .calls import COMMIT, LARGEST, MISSING, SUSPEND, TABLE, Calls, Output
from .language import Language
from .options import ScriptLimits
from .process import Worker, WorkerGone
from .reach import SystemReach
from .script import Script

_CALLS: Final = [(name, call.parameters) for name, call in TABLE.items()]
_DEEPEST_TRACE: Final = 4000
"""Characters kept of the calls that led to an error."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
"""A function by which a script is entered: its own; a name is also a part of the script's text."""
_LONG: Final = re.compile(rb"\d{19}")
"""What an integer that no script can hold has in it."""
_OK: Final = "ok"
_ERROR: Final = "error"


@dataclass(frozen=True, slots=True)
class Ended:
    """The script has run to its end."""

    value: object


@dataclass(frozen=True, slots=True)
class Suspended:
    """The script rests at a question; what it was is in the dump."""

    question: object
    dump: bytes


class Committing:
    """The script asks that what it wrote so far is committed."""


class ScriptRun:
    """One run of a script in a worker, made of parts that each end with a commit."""

    def __init__(
        self,
        worker: Worker,
        script: Script,
        reach: SystemReach,
        limits: ScriptLimits,
        deadline: float,
    ) -> None:
        """Run until ``deadline``, by the monotonic clock, with what ``reach`` has."""
        output = Output(script.name, limits.output)
        reach.deadline = deadline
        self._worker = worker
        self._script = script
        self._limits = limits
        self._deadline = deadline
        self._state = reach.state
        self.calls = Calls(reach.state, reach.artifacts, reach, output, limits.message)
        self.made = 0
        self.over = False
        """The worker said how it ended, and takes another script; else it may wait for answers."""

    def begin(
        self, entry: str, arguments: Sequence[object], *, dump: bytes = b"", typed: bool = False
    ) -> None:
        """Give the worker its script; another may follow one that is ``typed``.

        With the ``dump`` of one that was suspended, that goes on with the answer in ``arguments``.
        """
        if entry and not _NAME.fullmatch(entry):
            message = f"{entry!r:.80} is no function of a script that a host may call"
            raise ConfigurationError(message)
        script, given = self._script, _encoded(list(arguments), "the arguments").decode()
        if len(given) > self._limits.message:
            problem = f"what it is given takes more than {self._limits.message:,} bytes"
            raise ScriptLimit(script.name, "message", problem)
        me, rest = self.calls.reach.me, base64.b64encode(dump).decode()
        task = [script.source, script.name, _CALLS, entry, given, me, rest, typed]
        self._send(msgspec.json.encode(task))

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """Have what the script has logged go along with the error that ends it."""
        try:
            yield
        except ScriptError as error:
            error.log = tuple(self.calls.output.lines)
            raise

    def in_parts(self) -> Ended:
        """Run it in transactions of its own, part for part, until it has ended."""
        while True:
            with self._state.transaction():
                part = self.go_on(commits=True)
            if isinstance(part, Ended):
                return part
            self.calls.immediate = True
            self.answer()

    def go_on(self, *, commits: bool, rests: bool = False) -> Ended | Committing | Suspended:
        """Answer the script until it ends, or, where that is possible, commits or rests.

        ScriptFailed, ScriptLimit; Conflict if another changed what it has read.
        """
        while True:
            word, *said = self._said()
            if word == "done":
                self.over = True
                return Ended(said[0] if said else None)
            if word == "failed":
                raise self._failure(said)
            if word != "call" or len(said) != 2 or not isinstance(said[0], str):  # noqa: PLR2004
                raise self._gone("it sends what no script sends")
            name, given = said[0], _arguments(said[1])
            if given is None:
                raise self._gone("it sends what no script sends")
            self._count()
            if name == COMMIT and commits:
                return Committing()
            if name == SUSPEND and rests and self._asks(given):
                return self._suspended(given[0])
            self._answer(name, given)

    def _asks(self, given: list[object]) -> bool:
        python = self._script.language is Language.PYTHON
        return python and len(given) == 1 and given[0] is not MISSING

    def _suspended(self, question: object) -> Suspended:
        self._send(msgspec.json.encode([SUSPEND]))
        word, *said = self._said()
        if word == "failed":
            raise self._failure(said)
        try:
            (dump,) = said
            if word == "suspended" and isinstance(dump, str):
                return Suspended(question, base64.b64decode(dump, validate=True))
        except ValueError:
            pass
        raise self._gone("it sends what no script sends")

    def answer(self, value: object = MISSING) -> None:
        """Give the script the answer of a call."""
        said = [_OK] if value is MISSING else [_OK, value]
        try:
            encoded = _encoded(said, "the answer")
        except StateError as error:
            self.refuse(error)
            return
        if len(encoded) > self._limits.message:
            self.refuse(StateError("the answer", f"takes more than {self._limits.message:,} bytes"))
            return
        self._send(encoded)

    def refuse(self, error: Exception) -> None:
        """Raise an error in the script, where it made the call."""
        kind, _, text = told(error).partition(": ")
        self._send(msgspec.json.encode([_ERROR, kind, text, _base(error)]))

    def _said(self) -> list[object]:
        with self._talking():
            return self._worker.receive(self._deadline)

    def _send(self, frame: bytes) -> None:
        with self._talking():
            self._worker.send(frame, self._deadline)

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise self._too_long() from None
        except WorkerGone as error:
            raise self._gone(str(error)) from None

    def _too_long(self) -> ScriptLimit:
        problem = f"it ran longer than the {self._limits.seconds:g} seconds that it may"
        return ScriptLimit(self._script.name, "seconds", problem)

    def _gone(self, why: str) -> ScriptFailed:
        return ScriptFailed(self._script.name, 0, "worker", f"its worker was lost: {why}")

    def _count(self) -> None:
        self.made += 1
        if self.made > self._limits.calls:
            problem = f"it makes more than the {self._limits.calls:,} calls that it may"
            raise ScriptLimit(self._script.name, "calls", problem)

    def _answer(self, name: str, given: list[object]) -> None:
        try:
            value = self.calls.make(name, given)
        except (Conflict, ScriptError):
            raise
        except pykka.Timeout:  # of an agent that was asked: it waits as long as the script may run
            raise self._too_long() from None
        except Exception as error:  # noqa: BLE001 - also what a handler of an agent raises
            self.refuse(error)
        else:
            self.answer(value)

    def _failure(self, said: list[object]) -> ScriptError:
        failure = said[0] if said and isinstance(said[0], dict) else {}
        kind, problem = str(failure.get("kind", "error")), str(failure.get("message", ""))
        if kind == "memory":
            most = self._limits.memory
            return ScriptLimit(self._script.name, "memory", f"it takes more than {most:,} bytes")
        self.over = kind != "worker"
        line, trace = failure.get("line"), str(failure.get("trace", ""))[:_DEEPEST_TRACE]
        at = line if isinstance(line, int) else 0
        return ScriptFailed(self._script.name, at, kind[:200], problem[:_DEEPEST_TRACE], trace)


def _base(error: Exception) -> str:
    """Return the error of the standard library that an error is: what a Python script catches."""
    return next(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")


def _encoded(value: object, what: str) -> bytes:
    """Return what a script is given as JSON; StateError for what JSON would change."""
    try:
        encoded = msgspec.json.encode(value)
        same = msgspec.json.decode(encoded) == value
    except (TypeError, ValueError, RecursionError) as error:
        raise StateError(what, f"cannot be given to a script: {error}") from None
    if not same:
        raise StateError(what, "cannot be given to a script: it is not made of JSON-like values")
    if _LONG.search(encoded) and _beyond(value):
        raise StateError(what, "cannot be given to a script: it has an integer beyond 64 bits")
    return encoded


def _beyond(value: object) -> bool:
    """Tell whether a value has an integer beyond 64 bits: Lua would make a float of it."""
    if isinstance(value, dict):
        return any(map(_beyond, value.values()))
    if isinstance(value, list):
        return any(map(_beyond, value))
    return isinstance(value, int) and not -LARGEST <= value < LARGEST


def _arguments(said: object) -> list[object] | None:
    """Return the arguments of a call: each is sent as a list that holds it, or nothing."""
    if not isinstance(said, list):
        return None
    found = []
    for item in said:
        if not isinstance(item, list) or len(item) > 1:
            return None
        found.append(item[0] if item else MISSING)
    return found
