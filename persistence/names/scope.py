"""Scopes: where shared keys live; and principals: in whose name a call runs.

Both are values of three columns and have one exact string form. Every component of it is
percent-encoded, so ids may hold any separator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeVar, final
from urllib.parse import quote, unquote

from ..errors import ScopeError
from .keys import checked_agent, checked_name

_SIMPLE: Final = frozenset({"user", "workflow", "session", "tool"})
_PAIRED: Final = {"agent": "/", "custom": "/", "step": "/step:"}
"""Kinds of an id and a part, with what stands between them."""
INTERNAL: Final = "sharing"
"""The kind that only perdure's own sharing patterns use."""
RUNS: Final = "runs"
"""The id of that scope of it whose keys are the places of runs that have not ended."""


@final
@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Where keys live: ``Scope.GLOBAL``, ``Scope.workflow("w1").step("parse")``, ...

    The same key in two scopes is two keys. ScopeError for ids that cannot be one.
    """

    kind: str
    id: str = ""
    part: str = ""

    GLOBAL: ClassVar[Scope]

    def __init_subclass__(cls, **_options: object) -> None:
        """Refuse subclasses: one with an equality of its own would pass for any other."""
        raise TypeError("Scope has no subclasses: what is asked of it must be what is stored")

    def __post_init__(self) -> None:
        """Refuse what has no string form."""
        if self.kind.__class__ is not str:
            valid = False
        elif self.kind == "global":
            valid = (self.id, self.part) == ("", "")
        elif self.kind in _SIMPLE:
            valid = self.part == ""
            object.__setattr__(self, "id", checked_name(self.id, f"{self.kind} id"))
        elif self.kind == "agent":
            valid = True
            object.__setattr__(self, "id", checked_agent(self.id, "agent kind"))
            object.__setattr__(self, "part", checked_agent(self.part, "agent key"))
        elif self.kind in _PAIRED or self.kind == INTERNAL:
            valid = True
            object.__setattr__(self, "id", checked_name(self.id, f"{self.kind} id"))
            object.__setattr__(self, "part", checked_name(self.part, f"{self.kind} part"))
        else:
            valid = False
        if not valid:
            message = (
                f"there is no scope of kind {self.kind!r:.40} with these parts; use Scope.GLOBAL,"
                " user, agent, workflow, step, session, tool or custom"
            )
            raise ScopeError(message)

    @classmethod
    def user(cls, user_id: str) -> Self:
        """Return the scope of a user."""
        return cls("user", user_id)

    @classmethod
    def agent(cls, kind: str, key: str) -> Self:
        """Return the scope that belongs to an agent."""
        return cls("agent", kind, key)

    @classmethod
    def workflow(cls, workflow_id: str) -> Self:
        """Return the scope of a workflow."""
        return cls("workflow", workflow_id)

    @classmethod
    def session(cls, session_id: str) -> Self:
        """Return the scope of a session."""
        return cls("session", session_id)

    @classmethod
    def tool(cls, name: str) -> Self:
        """Return the scope of a tool."""
        return cls("tool", name)

    @classmethod
    def custom(cls, name: str, custom_id: str) -> Self:
        """Return a scope of your own kind."""
        return cls("custom", name, custom_id)

    def step(self, name: str) -> Scope:
        """Return the scope of a step of this workflow."""
        if self.kind != "workflow":
            message = f"{self} has no steps; only workflows have"
            raise ScopeError(message)
        return Scope("step", self.id, name)

    @property
    def parent(self) -> Scope | None:
        """The workflow of a step; None for every other scope."""
        return Scope("workflow", self.id) if self.kind == "step" else None

    @property
    def columns(self) -> tuple[str, str, str]:
        """The scope as the store has it."""
        return self.kind, self.id, self.part

    def __str__(self) -> str:
        if self.kind == "global":
            return "global"
        if self.kind in _SIMPLE:
            return f"{self.kind}:{_quoted(self.id)}"
        first = "workflow" if self.kind == "step" else self.kind
        between = _PAIRED.get(self.kind, "/")
        return f"{first}:{_quoted(self.id)}{between}{_quoted(self.part)}"

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Return the scope whose string form is ``text``, exactly; ScopeError for anything else."""
        return _parsed(text, cls._from_parts, "scope")

    @classmethod
    def _from_parts(cls, kind: str, parts: list[str]) -> Scope:
        if kind == INTERNAL:
            raise ScopeError("scopes of sharing patterns are perdure's own")
        if kind == "workflow" and len(parts) == 2 and parts[1].startswith("step:"):  # noqa: PLR2004
            return cls("step", _unquoted(parts[0]), _unquoted(parts[1].removeprefix("step:")))
        return cls(kind, *map(_unquoted, parts))


Scope.GLOBAL = Scope("global")


@final
@dataclass(frozen=True, slots=True, order=True)
class Principal:
    """Who acts: an agent, a user, or the system itself.

    ``Principal.agents(kind)`` stands for all agents of a kind, as one to whom rights are granted.
    """

    kind: str
    id: str = ""
    part: str = ""

    SYSTEM: ClassVar[Principal]

    def __init_subclass__(cls, **_options: object) -> None:
        """Refuse subclasses: one with an equality of its own would pass for any other."""
        raise TypeError("Principal has no subclasses: what is asked of it must be what is stored")

    def __post_init__(self) -> None:
        """Refuse what has no string form."""
        sizes = {"system": (False, False), "user": (True, False), "agents": (True, False),
                 "agent": (True, True)}  # fmt: skip
        given = (self.id != "", self.part != "")
        if self.kind.__class__ is not str or sizes.get(self.kind) != given:
            message = (
                f"there is no principal of kind {self.kind!r:.40} with these parts; use SYSTEM,"
            )
            raise ScopeError(f"{message} user, agent or agents")
        for name, value in (("id", self.id), ("part", self.part)):
            if value != "":
                checked = checked_name if self.kind == "user" else checked_agent
                object.__setattr__(self, name, checked(value, f"{self.kind} {name}"))

    @classmethod
    def agent(cls, kind: str, key: str) -> Self:
        """Return an agent as a principal."""
        return cls("agent", kind, key)

    @classmethod
    def agents(cls, kind: str) -> Self:
        """Return all agents of a kind, to grant rights to."""
        return cls("agents", kind)

    @classmethod
    def user(cls, user_id: str) -> Self:
        """Return a user as a principal."""
        return cls("user", user_id)

    @property
    def columns(self) -> tuple[str, str, str]:
        """The principal as the store has it."""
        return self.kind, self.id, self.part

    def __str__(self) -> str:
        parts = [_quoted(part) for part in (self.id, self.part) if part]
        return f"{self.kind}:{'/'.join(parts)}" if parts else self.kind

    @classmethod
    def parse(cls, text: str) -> Principal:
        """Return the principal whose string form is ``text``; ScopeError for anything else."""
        return _parsed(text, lambda kind, parts: cls(kind, *map(_unquoted, parts)), "principal")


Principal.SYSTEM = Principal("system")

V = TypeVar("V", Scope, Principal)


def _parsed(text: str, make: Callable[[str, list[str]], V], what: str) -> V:
    if text.__class__ is not str:
        raise ScopeError(f"the form of a {what} must be text, not {type(text).__name__}")
    kind, colon, rest = text.partition(":")
    parts = rest.split("/") if colon else []
    if len(parts) > 2:  # noqa: PLR2004 - an id and a part
        raise ScopeError(f"{text[:100]!r} is no {what}: it has too many parts")
    try:
        value = make(kind, parts)
    except (ScopeError, UnicodeError) as error:
        message = f"{text[:100]!r} is no {what}: {error}"
        raise ScopeError(message) from None
    if str(value) != text:
        message = f"{text[:100]!r} is no {what}; its exact form would be {value}"
        raise ScopeError(message)
    return value


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _unquoted(text: str) -> str:
    return unquote(text, errors="strict")
