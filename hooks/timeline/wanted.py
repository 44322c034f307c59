"""What is wanted of a timeline, as callers and command lines say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...persistence.errors import ConfigurationError, UnknownSession
from ...persistence.names.named import Named
from ...persistence.records.shared_tables import SESSIONS
from ...persistence.store.store import StoreReader
from .event import Event
from .kinds import EventKind
from .selection import Selection

Whom = Named | tuple[str, str] | str
"""An agent: a reference, ``(kind, key)`` or ``"KIND/KEY"``."""
_CORRELATION = SESSIONS.names.index("correlation")


def selection_of(
    store: StoreReader,
    *,
    correlation: int | None = None,
    agent: Whom | None = None,
    kind: str | None = None,
    session: str | None = None,
    between: tuple[float | None, float | None] | None = None,
    what: Iterable[EventKind | str] | None = None,
    where: Callable[[Event], bool] | None = None,
    text: str = "",
) -> Selection:
    """Return a selection; ConfigurationError for one that makes no sense, UnknownSession."""
    key: str | None = None
    if agent is not None:
        named, key = agent_of(agent)
        if kind is not None and kind != named:
            raise ConfigurationError(f"kind={kind!r} and an agent of {named!r}: give one of them")
        kind = named
    if session is not None:
        if correlation is not None:
            raise ConfigurationError("give a correlation or a session, not both")
        correlation = _chain_of(store, session)
    since, until = _times(between)
    kinds = frozenset(EventKind) if what is None else frozenset(map(_event_kind, what))
    if not isinstance(text, str):
        raise ConfigurationError(f"text={text!r}: give a text that the events hold")
    return Selection(correlation, kind, key, since, until, kinds, where, text)


def agent_of(agent: Whom) -> tuple[str, str]:
    """Return the kind and the key that name an agent; ConfigurationError."""
    if isinstance(agent, str):
        kind, slash, key = agent.partition("/")
        if slash and kind:
            return kind, key
    else:
        named: object = (agent.kind, agent.key) if isinstance(agent, Named) else agent
        if isinstance(named, tuple) and [type(part) for part in named] == [str, str] and named[0]:
            return named
    message = f'agent={agent!r} names no agent; give a reference, (kind, key) or "KIND/KEY"'
    raise ConfigurationError(message)


def _chain_of(store: StoreReader, session: str) -> int:
    row = store.row(SESSIONS, (session,))
    if row is None:
        raise UnknownSession(f"there is no session {session!r}")
    return int(str(row[_CORRELATION]))


def _times(
    between: tuple[float | None, float | None] | None,
) -> tuple[float | None, float | None]:
    if between is None:
        return None, None
    try:
        since, until = between
    except (TypeError, ValueError):
        message = f"between={between!r}: give two times in seconds, or None for an open end"
        raise ConfigurationError(message) from None
    if since is not None and until is not None and since > until:
        raise ConfigurationError(f"between={between!r}: the first time is after the second")
    return since, until


def _event_kind(what: EventKind | str) -> EventKind:
    try:
        return EventKind(what)
    except ValueError:
        known = ", ".join(EventKind)
        raise ConfigurationError(f"what={what!r} is no kind of event; use {known}") from None
