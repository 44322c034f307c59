"""The points where hooks may intervene: what each is told, what it may answer, what that costs.

Where a hook runs: on the thread that runs the turn, in the middle of it, unless its point says
otherwise. What nobody listens to costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from ..persistence.errors import ConfigurationError
from .details import (
    ArtifactDetails,
    CallDetails,
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
from .results import Cache, Cancel, Continue, Fork, Redirect, Replace, Retry, Skip

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
        return cls(name, details, frozenset(results), guards=True, about="A point of a program.")


POINTS: Final[dict[str, Point[Any]]] = {}
"""Those of perdure, by name."""


def _point(
    name: str, details: type[D], *results: type, guards: bool = True, about: str
) -> Point[D]:
    point = Point(name, details, _HARMLESS | set(results), guards, about)
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
    "scope_read.before", ScopeDetails, Cancel,
    about="Before a shared key is read by its name, also outside of turns.",
)  # fmt: skip
SCOPE_READ_AFTER: Final = _point(
    "scope_read.after", ScopeDetails, guards=False,
    about="When a shared key was read, before the caller has the value.",
)  # fmt: skip
SCOPE_WRITE_BEFORE: Final = _point(
    "scope_write.before", ScopeDetails, Cancel, Replace,
    about="Before a shared key is written, also outside of turns, and before it is known whether"
    " the caller may. Replace gives another value, or number to add.",
)  # fmt: skip
SCOPE_WRITE_AFTER: Final = _point(
    "scope_write.after", ScopeDetails, guards=False,
    about="When a shared key was written: in a turn or transaction before that commits, else when"
    " it is durable.",
)  # fmt: skip
SCOPE_DELETE_BEFORE: Final = _point(
    "scope_delete.before", ScopeDetails, Cancel,
    about="Before a shared key is deleted, by hand and not because its time is over.",
)  # fmt: skip
SCOPE_DELETE_AFTER: Final = _point(
    "scope_delete.after", ScopeDetails, guards=False,
    about="When a shared key was deleted; as after a write.",
)  # fmt: skip
SESSION_BEFORE: Final = _point(
    "session.before", SessionDetails, Cancel,
    about="Before a session is created, suspended, resumed, completed, failed or archived by hand.",
)  # fmt: skip
SESSION_AFTER: Final = _point(
    "session.after", SessionDetails, guards=False,
    about="When a session has taken a step by hand; as after a write.",
)  # fmt: skip
ARTIFACT_BEFORE: Final = _point(
    "artifact.before", ArtifactDetails, Cancel,
    about="Before an artifact is saved, deleted, tagged, untagged or linked.",
)  # fmt: skip
ARTIFACT_AFTER: Final = _point(
    "artifact.after", ArtifactDetails, guards=False,
    about="When that was done; as after a write.",
)  # fmt: skip
SHARED: Final[frozenset[Point[Any]]] = frozenset(
    {
        SCOPE_READ_BEFORE, SCOPE_READ_AFTER, SCOPE_WRITE_BEFORE, SCOPE_WRITE_AFTER,
        SCOPE_DELETE_BEFORE, SCOPE_DELETE_AFTER, SESSION_BEFORE, SESSION_AFTER, ARTIFACT_BEFORE,
        ARTIFACT_AFTER,
    }
)  # fmt: skip
"""Points of what agents share. What a hook itself does there runs no hooks."""
TOOL_CALL_BEFORE: Final = _point(
    "tool_call.before", CallDetails, Cancel, Replace,
    about="Before a tool is called, by ``hooks.run``. Replace gives other arguments.",
)  # fmt: skip
TOOL_CALL_AFTER: Final = _point(
    "tool_call.after", CallDetails, Replace, guards=False,
    about="When a tool has returned. Replace gives another result.",
)  # fmt: skip
MODEL_CALL_BEFORE: Final = _point(
    "model_call.before", CallDetails, Cancel, Replace,
    about="Before a model is called, by ``hooks.run``. Replace gives other arguments.",
)  # fmt: skip
MODEL_CALL_AFTER: Final = _point(
    "model_call.after", CallDetails, Replace, guards=False,
    about="When a model has answered. Replace gives another answer.",
)  # fmt: skip
ERROR: Final = _point(
    "error", ErrorDetails, Retry, Skip, Redirect, guards=False,
    about="When a handler has raised, before its turn is undone for good. Skip gives a result"
    " instead of the error; what the handler changed is undone all the same.",
)  # fmt: skip


def point_of(named: Point[Any] | str) -> Point[Any]:
    """Return a point by its name; ConfigurationError names those there are."""
    if isinstance(named, Point):
        return named
    try:
        return POINTS[named]
    except (KeyError, TypeError):
        message = f"{named!r} is no point where hooks run; there are {', '.join(POINTS)}"
        raise ConfigurationError(message) from None
