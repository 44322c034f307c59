"""The points where hooks may intervene: what each is told, what it may answer, what that costs.

Where a hook runs: on the thread that runs the turn, in the middle of it, unless its point says
otherwise. What nobody listens to costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ..persistence.errors import ConfigurationError
from .details import (
    ArtifactDetails,
    CallDetails,
    CallErrorDetails,
    ErrorDetails,
    LifecycleDetails,
    LoadDetails,
    MessageDetails,
    OutcomeDetails,
    SaveDetails,
    ScopeDetails,
    SessionDetails,
    StateDetails,
)
from .results import Cache, Cancel, Continue, Fork, Hold, Redirect, Replace, Retry, Skip

D = TypeVar("D")

_HARMLESS: Final = frozenset({Continue})


@dataclass(frozen=True, slots=True, eq=False)
class Point(Generic[D]):
    """A place where hooks run; compared by identity, found by name."""

    name: str
    details: type[D]
    results: frozenset[type]
    """What a hook may answer here; another answer is refused when the hook is registered."""
    guards: bool
    """Whether its hooks decide: one that fails may keep the work from being done."""
    about: str = field(repr=False, default="")
    """When it runs, and what ``Replace`` replaces."""
    programs: bool = False
    """Whether it is run where a program likes: by a call in a handler, or outside of turns."""

    def __str__(self) -> str:
        return self.name

    @classmethod
    def custom(cls, name: str, details: type[D], *, replaces: bool = False) -> Point[D]:
        """Return a point of a program's own, which runs it by ``hooks.run(point, details)``.

        With ``replaces`` hooks may answer Replace with other details.
        """
        if name in POINTS or "." not in name:
            message = f"point {name!r}: give a name with a dot that is none of perdure's own"
            raise ConfigurationError(message)
        results = {Continue, Cancel} | ({Replace} if replaces else set())
        return cls(name, details, frozenset(results), True, "A point of a program.", programs=True)  # noqa: FBT003


POINTS: Final[dict[str, Point[Any]]] = {}
"""Those of perdure, by name."""


def _point(
    name: str, details: type[D], *results: type, guards: bool = True, about: str,
    programs: bool = False,
) -> Point[D]:  # fmt: skip
    point = Point(name, details, _HARMLESS | set(results), guards, about, programs)
    POINTS[name] = point
    return point


MESSAGE_BEFORE: Final = _point(
    "message.before", MessageDetails, Replace, Cancel, Redirect, Skip, Fork, Cache,
    about="Before a handler runs, in its turn. Replace gives another message: (args, kwargs) of a"
    " method, or the message of on_receive.",
)  # fmt: skip
MESSAGE_AFTER: Final = _point(
    "message.after", OutcomeDetails, Replace, Fork, guards=False,
    about="When a handler has returned, before its turn commits. Replace gives another result.",
)  # fmt: skip
STATE_BEFORE: Final = _point(
    "state.before", StateDetails, Cancel, Replace,
    about="When a turn has changed its agent's state, before it commits. Cancel undoes the turn;"
    " Replace gives other values of plain fields, by name.",
)  # fmt: skip
STATE_AFTER: Final = _point(
    "state.after", StateDetails, guards=False,
    about="When the change is appended: it is in the order of commits, and on its way to the disk.",
)  # fmt: skip
SAVE_BEFORE: Final = _point(
    "save.before", SaveDetails, Cancel,
    about="Before an agent's commit is appended. Cancel undoes the turn.",
)  # fmt: skip
SAVE_AFTER: Final = _point(
    "save.after", SaveDetails, guards=False,
    about="When an agent's commit is durable; on a worker, outside of turns.",
)  # fmt: skip
LOAD_AFTER: Final = _point(
    "load.after", LoadDetails, guards=False,
    about="When an activation was made from the store, before on_start.",
)  # fmt: skip
LIFECYCLE_BEFORE: Final = _point(
    "lifecycle.before", LifecycleDetails, Cancel,
    about="Before a step by hand (pause, resume, stop, restart, delete, erase) is taken.",
)  # fmt: skip
LIFECYCLE_AFTER: Final = _point(
    "lifecycle.after", LifecycleDetails, guards=False,
    about="When a step was taken; its commit is on its way to the disk.",
)  # fmt: skip
SCOPE_READ_BEFORE: Final = _point(
    "scope_read.before", ScopeDetails, Cancel, programs=True,
    about="Before a shared key is read by its name, also outside of turns.",
)  # fmt: skip
SCOPE_READ_AFTER: Final = _point(
    "scope_read.after", ScopeDetails, guards=False, programs=True,
    about="When a shared key was read, before the caller has the value.",
)  # fmt: skip
SCOPE_WRITE_BEFORE: Final = _point(
    "scope_write.before", ScopeDetails, Cancel, Replace, programs=True,
    about="Before a shared key is written, also outside of turns, and before it is known whether"
    " the caller may. Replace gives another value, or number to add.",
)  # fmt: skip
SCOPE_WRITE_AFTER: Final = _point(
    "scope_write.after", ScopeDetails, guards=False, programs=True,
    about="When a shared key was written: in a turn or transaction before that commits, else when"
    " it is durable.",
)  # fmt: skip
SCOPE_DELETE_BEFORE: Final = _point(
    "scope_delete.before", ScopeDetails, Cancel, programs=True,
    about="Before a shared key is deleted, by hand and not because its time is over.",
)  # fmt: skip
SCOPE_DELETE_AFTER: Final = _point(
    "scope_delete.after", ScopeDetails, guards=False, programs=True,
    about="When a shared key was deleted; as after a write.",
)  # fmt: skip
SESSION_BEFORE: Final = _point(
    "session.before", SessionDetails, Cancel, programs=True,
    about="Before a session is created, suspended, resumed, completed, failed or archived by hand.",
)  # fmt: skip
SESSION_AFTER: Final = _point(
    "session.after", SessionDetails, guards=False, programs=True,
    about="When a session has taken a step by hand; as after a write.",
)  # fmt: skip
ARTIFACT_BEFORE: Final = _point(
    "artifact.before", ArtifactDetails, Cancel, programs=True,
    about="Before an artifact is saved, deleted, tagged, untagged or linked.",
)  # fmt: skip
ARTIFACT_AFTER: Final = _point(
    "artifact.after", ArtifactDetails, guards=False, programs=True,
    about="When that was done; as after a write.",
)  # fmt: skip
SHARED: Final[frozenset[Point[Any]]] = frozenset(
    {
        SCOPE_READ_BEFORE, SCOPE_READ_AFTER, SCOPE_WRITE_BEFORE, SCOPE_WRITE_AFTER,
        SCOPE_DELETE_BEFORE, SCOPE_DELETE_AFTER, SESSION_BEFORE, SESSION_AFTER, ARTIFACT_BEFORE,
        ARTIFACT_AFTER,
    }
)  # fmt: skip
"""Points of what agents share. What a hook at one of them does there itself runs none."""
UNDONE: Final = SHARED | {MESSAGE_AFTER, STATE_AFTER, SAVE_AFTER}
"""Points whose deferred hooks are not called for a turn that is undone: it came to nothing."""
TOOL_CALL_BEFORE: Final = _point(
    "tool_call.before", CallDetails, Replace, Cancel, Hold, Skip, Cache, programs=True,
    about="Before a tool is called by ``hooks.call_tool``, each attempt. Replace gives other"
    " arguments, by name; Hold has the run of an agent that thinks wait for approval.",
)  # fmt: skip
TOOL_CALL_AFTER: Final = _point(
    "tool_call.after", CallDetails, Replace, guards=False, programs=True,
    about="When a tool has returned. Replace gives another result.",
)  # fmt: skip
TOOL_CALL_ERROR: Final = _point(
    "tool_call.error", CallErrorDetails, Retry, Skip, guards=False, programs=True,
    about="When a tool has raised. Skip gives a result instead of the error.",
)  # fmt: skip
MODEL_CALL_BEFORE: Final = _point(
    "model_call.before", CallDetails, Replace, Cancel, Skip, Cache, programs=True,
    about="Before a model is called by ``hooks.call_model``, each attempt. Replace gives other"
    " arguments, by name.",
)  # fmt: skip
MODEL_CALL_AFTER: Final = _point(
    "model_call.after", CallDetails, Replace, guards=False, programs=True,
    about="When a model has answered. Replace gives another answer.",
)  # fmt: skip
MODEL_CALL_ERROR: Final = _point(
    "model_call.error", CallErrorDetails, Retry, Skip, guards=False, programs=True,
    about="When a model has raised. Skip gives an answer instead of the error.",
)  # fmt: skip
ERROR: Final = _point(
    "error", ErrorDetails, Retry, Skip, Redirect, guards=False,
    about="When a handler has raised, before its turn is undone for good. Skip gives a result"
    " instead of the error; what the handler changed is undone all the same.",
)  # fmt: skip


class Work(NamedTuple):
    """The points around one piece of work."""

    before: Point[Any]
    after: Point[Any]
    error: Point[Any]


MESSAGES: Final = Work(MESSAGE_BEFORE, MESSAGE_AFTER, ERROR)
TOOLS: Final = Work(TOOL_CALL_BEFORE, TOOL_CALL_AFTER, TOOL_CALL_ERROR)
MODELS: Final = Work(MODEL_CALL_BEFORE, MODEL_CALL_AFTER, MODEL_CALL_ERROR)


def point_of(named: Point[Any] | str) -> Point[Any]:
    """Return a point by its name; ConfigurationError names those there are."""
    if isinstance(named, Point):
        return named
    try:
        return POINTS[named]
    except (KeyError, TypeError):
        message = f"{named!r} is no point where hooks run; there are {', '.join(POINTS)}"
        raise ConfigurationError(message) from None
