"""An execution of a hook as it is kept: everything as text, secrets as ``***``."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ...persistence.errors import storable, told
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import HOOK_QUEUE
from ...persistence.records.tables import Change
from ..hook import HookRun

LONGEST: Final = 1_000_000
"""Characters of a context or result; what is longer is kept by its beginning, and says so."""
BEGINS: Final = "begins"
"""The name under which that beginning stands."""
_SHOWN: Final = 2_000
"""Characters kept of one that is too long."""

Redact = Callable[[str], str]
"""Gives JSON back without what looks like a secret."""


class HookRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One execution of a hook, as it was."""

    hook: str
    version: str
    """Of its code."""
    point: str
    kind: str
    """The agent's; empty where none was at work."""
    key: str
    name: str
    """What was at work: a method, a step, a shared key."""
    correlation: int
    time: float
    """Seconds since the epoch."""
    seconds: float
    outcome: str
    """``continue``, ``replace``, ``cancel``, ..., or ``failed``."""
    context: str
    """What it was told: JSON."""
    result: str
    """What it answered: JSON, empty for ``continue``."""
    error: str
    weight: int
    """How important it is: 0 went on, 1 intervened, 2 cancelled or failed."""
    sequence: int = 0
    """The commit it belongs to."""
    position: int = 0
    """Its place among the executions of that commit."""
    message: int = 0
    """Id of the message that its turn handled; 0 outside of turns."""
    cause: int | None = None
    """Where its turn was undone: the commit that led to that, as the journal says it of turns. None
    where it belongs to the turn of its commit."""

    @property
    def id(self) -> str:
        """What it is called by: ``sequence.position``."""
        return f"{self.sequence}.{self.position}"


def record_of(
    run: HookRun, redact: Redact, message: int = 0, cause: int | None = None
) -> HookRecord:
    """Return an execution as its commit takes it; what looks like a secret is in it still.

    But not in the error, which is cut.
    """
    details, hook = run.details, run.hook
    result = "" if run.result is None else as_json(run.result)
    error = "" if run.error is None else told(run.error, redact)
    weight = 2 if run.error is not None or run.outcome == "cancel" else 1 if result else 0
    kind, key = getattr(details, "kind", ""), getattr(details, "key", "")
    name = getattr(details, "name", getattr(details, "step", ""))
    correlation = getattr(details, "correlation", 0)
    texts = isinstance(kind, str) and isinstance(key, str) and isinstance(name, str)
    if not texts or not f"{kind}{key}{name}".isascii():  # a program's own may have anything
        kind, key, name = _text(kind), _text(key), _text(name)
    if not isinstance(correlation, int):
        correlation = 0
    return HookRecord(
        hook.name, hook.version, hook.point.name, kind, key, name, correlation, run.time,
        run.seconds, run.outcome, run.context, result, error, weight, 0, 0, message, cause,
    )  # fmt: skip


def _text(value: object) -> str:
    return storable(value) if isinstance(value, str) else as_json(value)


def put_deferred(commit: Commit, runs: Sequence[HookRun], time: float) -> bool:
    """Have calls of hooks stored with a commit, to be made later; tell whether there are any."""
    if runs:
        effects = commit.with_effects()
        calls = [
            (0, at, time, r.hook.name, r.hook.point.name, r.context) for at, r in enumerate(runs)
        ]
        effects.rows = [*effects.rows, *(Change(HOOK_QUEUE, call[:2], call) for call in calls)]
    return bool(runs)


def form_of(value: object) -> Any:  # noqa: ANN401 - what msgspec is to encode instead
    """Return another form of what JSON has none for."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, BaseException):
        return told(value)
    kind, key = getattr(value, "kind", None), getattr(value, "key", None)
    if isinstance(kind, str) and isinstance(key, str):
        return f"{kind}/{key}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    try:
        return storable(repr(value))
    except Exception:  # noqa: BLE001 - anybody's __repr__
        return f"<{type(value).__name__}>"


_encode: Final = msgspec.json.Encoder(enc_hook=form_of).encode


def as_json(value: object, encode: Callable[[object], bytes] = _encode) -> str:
    """Return any value as JSON for people and programs to read; what has no form, as its repr.

    What ``encode`` refuses all the same stands by its type and the reason.
    """
    try:
        return encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return msgspec.json.encode(f"({type(value).__name__}: {storable(str(error))})").decode()


def exact_json(value: object) -> str | None:
    """Return a value as JSON, None where JSON has no form for a part of it: to compare by."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def limited(text: str) -> str:
    """Return JSON, or its beginning if there is too much of it."""
    if len(text) <= LONGEST:
        return text
    return as_json({BEGINS: text[:_SHOWN], "characters": len(text)})
