"""What callers name: a scope, a principal, an agent; one clear sentence for what is none."""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

from ..errors import Denied, ScopeError
from .scope import Principal, Scope


@runtime_checkable
class Named(Protocol):
    """A reference to an agent."""

    @property
    def kind(self) -> str:
        """Return the agent's kind."""
        ...

    @property
    def key(self) -> str:
        """Return the agent's key."""
        ...


AnyAgent: TypeAlias = Principal | Named


def checked_scope(scope: object) -> Scope:
    """Return a scope; ScopeError for what is none."""
    if isinstance(scope, Scope):
        return scope
    message = (
        f"{scope!r:.100} is no scope; give one as in Scope.GLOBAL or Scope.workflow(id), or read"
        " its text with Scope.parse(text)"
    )
    raise ScopeError(message)


def checked_principal(who: object) -> Principal:
    """Return a principal; ScopeError for what is none."""
    if isinstance(who, Principal):
        return who
    message = (
        f"{who!r:.100} is no principal; give one as in Principal.user(id) or"
        " Principal.agent(kind, key), or read its text with Principal.parse(text)"
    )
    raise ScopeError(message)


def named(who: AnyAgent) -> Principal:
    """Return a principal, also for a reference to an agent; ScopeError for anything else."""
    if not isinstance(who, Principal) and isinstance(who, Named):
        return Principal.agent(who.kind, who.key)
    return checked_principal(who)


def principal_of(agent: AnyAgent) -> Principal:
    """Return an agent's principal; ScopeError for what is no agent."""
    who = named(agent)
    if who.kind != "agent":
        raise ScopeError(f"{who} is no agent; give a reference, or Principal.agent(kind, key)")
    return who


def acting(now: Principal | None, principal: Principal) -> Principal:
    """Return in whose name a handle made from another acts; Denied where it could do more.

    ``now`` is in whose name the other acts: None for the system. Who was handed somebody's handle
    gets no further by it than that somebody.
    """
    who = checked_principal(principal)
    if now is not None and now not in (Principal.SYSTEM, who):
        message = f"this handle acts as {now} and cannot act as {who}; make one of the system's own"
        raise Denied(message)
    return who
