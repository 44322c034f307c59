"""What a system lists of its store: agents, the journal, mail and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, TypeVar

from .actors.talk.turn import agent_here
from .lifecycle.status import Status
from .persistence.errors import Denied
from .persistence.records.page import LIMIT, Page, checked_limit, page_behind, page_of, walk
from .persistence.records.records import AgentRow, JournalEntry, Message, Timer
from .persistence.secrets.masking import masked
from .persistence.store.store import Listed, StoreReader, TimerPlace
from .persistence.upkeep.entries import entries

R = TypeVar("R", Message, Timer)


class Agents:
    """What the store has of every agent, in (kind, key) order. Denied in handlers."""

    def __init__(self, store: StoreReader) -> None:
        """List the agents of a store."""
        self._store = store

    def list(
        self,
        kind: str | None = None,
        *,
        status: Status | str | None = None,
        after: tuple[str, str] | None = None,
        limit: int = LIMIT,
    ) -> Page[AgentRow]:
        """Return a page of the agents, of a kind, of a status or all.

        ``after`` is the kind and the key of the agent before.
        """
        return page_of(self._found(kind, status, after), limit, _name)

    def each(
        self,
        kind: str | None = None,
        *,
        status: Status | str | None = None,
        after: tuple[str, str] | None = None,
    ) -> Iterator[AgentRow]:
        """Iterate over all agents in that order; takes what ``list`` takes."""
        return self._found(kind, status, after)

    def count(self, kind: str | None = None, *, status: Status | str | None = None) -> int:
        """Return how many agents there are; takes what ``list`` takes."""
        _refuse_agents()
        if status is None:
            return self._store.counted("agents", kind)
        return sum(1 for _ in self._found(kind, status, None))

    def _found(
        self, kind: str | None, status: Status | str | None, after: tuple[str, str] | None
    ) -> Iterator[AgentRow]:
        _refuse_agents()
        wanted = None if status is None else Status(status)
        rows = self._store.agents(kind, after=after or ("", ""))
        return (row for row in rows if wanted is None or row.status == wanted)

    def __repr__(self) -> str:
        return f"<Agents of {self._store.location}: list(), each(), count()>"


class Journal:
    """The commits of a store. Secrets stand in them as ``***``.

    A handler may read its own agent's only (Denied).
    """

    def __init__(self, store: StoreReader) -> None:
        """List the commits of a store."""
        self._store = store

    def list(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[JournalEntry]:
        """Return a page of the commits of all agents, of a kind or of one agent.

        Oldest first; with ``newest`` newest first. ``after`` is the sequence of the one before.
        """
        _refuse_others(kind, key, "journal")
        return entries(self._store, kind, key, after=after, limit=limit, newest=newest)

    def each(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        newest: bool = False,
    ) -> Iterator[JournalEntry]:
        """Iterate over all commits in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(kind, key, after=place, newest=newest), after)

    def count(self, kind: str | None = None, key: str | None = None) -> int:
        """Return how many commits the journal keeps; takes what ``list`` takes."""
        _refuse_others(kind, key, "journal")
        return self._store.counted("journal", kind, key)

    def __repr__(self) -> str:
        return f"<Journal of {self._store.location}: list(), each(), count()>"


class Mail:
    """The messages that wait in the store, in the order they were sent, masked.

    What has reached a mailbox and is not handled yet is among them; mail of VOLATILE agents is in
    memory only. A handler may see its own agent's only (Denied).
    """

    def __init__(self, store: StoreReader) -> None:
        """List the mail of a store."""
        self._store = store

    def list(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[Message]:
        """Return a page of the messages to all agents, to a kind or to one agent.

        Oldest first; with ``newest`` newest first. ``after`` is the id of the message before.
        """
        _refuse_others(kind, key, "mail")
        return _page(
            self._store.mailbox,
            kind,
            key,
            attrgetter("id"),
            after=after,
            limit=limit,
            newest=newest,
        )

    def each(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: int | None = None,
        newest: bool = False,
    ) -> Iterator[Message]:
        """Iterate over all messages in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(kind, key, after=place, newest=newest), after)

    def count(self, kind: str | None = None, key: str | None = None) -> int:
        """Return how many messages wait; takes what ``list`` takes."""
        return _count(self._store, "mailbox", kind, key, "mail")

    def __repr__(self) -> str:
        return f"<Mail in {self._store.location}: list(), each(), count()>"


class Timers:
    """The durable timers, those that are due first first, masked.

    A handler may see its own agent's only (Denied).
    """

    def __init__(self, store: StoreReader) -> None:
        """List the timers of a store."""
        self._store = store

    def list(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: TimerPlace | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[Timer]:
        """Return a page of the timers of all agents, of a kind or of one agent.

        Those due first first; with ``newest`` those due last. ``after`` is the ``next`` of the page
        before: when a timer is due, its agent's kind and key, its name.
        """
        _refuse_others(kind, key, "timers")
        return _page(self._store.timers, kind, key, _due, after=after, limit=limit, newest=newest)

    def each(
        self,
        kind: str | None = None,
        key: str | None = None,
        *,
        after: TimerPlace | None = None,
        newest: bool = False,
    ) -> Iterator[Timer]:
        """Iterate over all timers in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(kind, key, after=place, newest=newest), after)

    def count(self, kind: str | None = None, key: str | None = None) -> int:
        """Return how many timers there are; takes what ``list`` takes."""
        return _count(self._store, "timers", kind, key, "timers")

    def __repr__(self) -> str:
        return f"<Timers in {self._store.location}: list(), each(), count()>"


def _page(
    read: Callable[..., list[R]],
    kind: str | None,
    key: str | None,
    place: Callable[[R], Any],
    *,
    after: object,
    limit: int,
    newest: bool,
) -> Page[R]:
    limit = checked_limit(limit)
    rows = read(kind, key, after=after, limit=limit + 1, newest=newest)
    shown = [row._replace(body=masked(row.body)) for row in rows[:limit]]
    return page_behind(shown, len(rows) > limit, place)


def _count(store: StoreReader, what: Listed, kind: str | None, key: str | None, name: str) -> int:
    _refuse_others(kind, key, name)
    return store.counted(what, kind, key)


def _refuse_agents() -> None:
    who = agent_here()
    if who is not None:
        message = f"{'/'.join(who)} may not look at all agents; the program does, outside of turns"
        raise Denied(message)


def _refuse_others(kind: str | None, key: str | None, what: str) -> None:
    who = agent_here()
    if who is not None and (kind, key) != who:
        raise Denied(f"{'/'.join(who)} may read no {what} but its own; give its kind and key")


def _name(row: AgentRow) -> tuple[str, str]:
    return row.kind, row.key


def _due(timer: Timer) -> TimerPlace:
    return timer.due, timer.kind, timer.key, timer.name
