"""What a worker is to do, as its host says it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Order(NamedTuple):
    """What a worker is started with, before it knows its script."""

    socket: int
    """The descriptor of the socket to its host."""
    host: int
    """The host's process."""
    language: str
    memory: int
    seconds: float
    largest: int
    """Bytes of a frame."""
    program: str
    """The engine's program; "" if it has none."""


class Call(NamedTuple):
    """A call that a script may make of its host."""

    name: str
    """As ``state.save``."""
    parameters: str
    """As ``scope key value ttl?``, with a mark at those that may be left out; ``*`` takes any."""


class Task(NamedTuple):
    """A script to run, once."""

    source: str
    name: str
    """How errors name it."""
    calls: list[Call]
    entry: str
    """The function to call when the script has run; "" for none."""
    arguments: str
    """What that, or the script, is given: a list, as JSON."""
    me: str
    """Who it acts as; also the scope that is its own."""
    dump: str
    """Where to go on, in base64, with ``arguments`` as the answer; "" to begin."""
    typed: bool
    """It is what somebody types: another comes behind it, and an expression has a result."""


class Engine(Protocol):
    """A language."""

    walls: list[str]
    """What closes it in."""

    def run(self, task: Task, ask: Callable[[bytes], bytes]) -> bytes:
        """Run a script; return what its host is told of the end.

        Run again, it goes on where the one before has ended.
        """
        ...


def task_of(frame: bytes) -> Task:
    """Return the task that a host has sent."""
    source, name, calls, entry, arguments, me, dump, typed = json.loads(frame)
    return Task(source, name, [Call(*call) for call in calls], entry, arguments, me, dump, typed)


def prelude(file: str) -> str:
    """Return the part of an engine that is written in its language."""
    with open(os.path.join(os.path.dirname(__file__), file), encoding="utf-8") as source:  # noqa: PTH118, PTH120, PTH123 - no pathlib here
        return source.read()


def engine_failed(kind: str, message: str, line: int = 0, trace: str = "") -> bytes:
    """Return the frame for a failure."""
    told = {"kind": kind, "message": message, "line": line, "trace": trace}
    return json.dumps(["failed", told]).encode()
