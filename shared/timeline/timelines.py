"""`system.timeline(...)`: what happened, as the caller may see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Final, Protocol

from ...hooks.timeline.event import Event
from ...hooks.timeline.kinds import EventKind
from ...hooks.timeline.selection import Selection, Viewer
from ...hooks.timeline.timeline import Timeline
from ...hooks.timeline.wanted import Whom, agent_of, selection_of
from ...hooks.timeline.why import Provenance, why
from ...persistence.names.scope import Principal, Scope
from ..ledger.desk import Handle
from ..ledger.guard import Right

TIMELINE: Final = "(timeline)"
"""Stands for the key where the right to see an agent's turns is asked for."""


class InSession(Protocol):
    """Belong to a chain of messages: a session does."""

    @property
    def correlation(self) -> int:
        """What every message and commit of it carries."""
        ...


class Timelines(Handle):
    """Make timelines: ``system.timeline(correlation=...)``.

    Outside of turns the system looks, which sees all. In a handler its agent does: it sees its own
    turns, and those of agents on whose scope it was granted ``Right.READ``.
    """

    def __call__(
        self,
        *,
        correlation: int | None = None,
        agent: Whom | None = None,
        kind: str | None = None,
        session: InSession | str | None = None,
        between: tuple[float | None, float | None] | None = None,
        what: Iterable[EventKind | str] | None = None,
        where: Callable[[Event], bool] | None = None,
        text: str = "",
    ) -> Timeline:
        """Select events; those that fit all that is given.

        Args:
            correlation: of one chain of messages: the id of the message that began it.
            agent: of one agent: a reference, ``(kind, key)`` or ``"KIND/KEY"``.
            kind: of all agents of a kind.
            session: of a session, or of the one with that id; UnknownSession.
            between: from when to when, in seconds since the epoch; None for an open end. Complete
                where the clock was not set back by more than a second meanwhile.
            what: kinds of events, as ``"turn"`` or ``"hook"``; all by default.
            where: a function that tells whether an event is wanted.
            text: what an event holds in its names or in what it changed.

        Raises:
            Denied: one agent's events were asked for, and the caller may not see them.
        """
        store = self._desk.ledger.store
        chain = correlation
        if session is not None and not isinstance(session, str):
            chain = session.correlation
        selection = selection_of(
            store, correlation=chain, agent=agent, kind=kind,
            session=session if isinstance(session, str) else None, between=between,
            what=what, where=where, text=text,
        )  # fmt: skip
        self._viewer(selection)  # refused here, and not by the first page
        return Timeline(store, selection, partial(self._viewer, selection))

    def why(self, agent: Whom, field: str, *path: str | int) -> Provenance:
        """Return why a field of an agent is what it is, or what ``path`` leads to in it.

        The turn that set it last, what led to that turn from the edge on, its message's arguments
        where the turn was recorded or a hook has looked, the hooks that ran, the artifacts it came
        from.

        Args:
            agent: a reference, ``(kind, key)`` or ``"KIND/KEY"``.
            field: a field of its state.
            path: an entry of a map, a position in a log (from the end if below 0), then members
                of the value.

        Raises:
            Denied: the caller may not see this agent's turns.
            ConfigurationError: there never was such a field, as far as the journal goes back.
        """
        kind, key = agent_of(agent)
        store = self._desk.ledger.store
        viewer = self._viewer(selection_of(store, agent=(kind, key)))
        found = why(store, kind, key, field, path)
        if viewer is None:
            return found
        return _as_seen(found, viewer)

    def _viewer(self, selection: Selection) -> Viewer | None:
        desk = self._desk
        who = desk.standing().principal
        if who == Principal.SYSTEM:
            return None
        viewer = Viewer(
            who,
            cache(lambda kind, key: self._may_read(Scope.agent(kind, key))),
            cache(self._may_read),
        )
        if selection.kind is not None and selection.key is not None:
            own = (who.kind, who.id, who.part) == ("agent", selection.kind, selection.key)
            if not own:  # asked for by name: refused aloud
                self._allow(Scope.agent(selection.kind, selection.key))
        return viewer

    def _may_read(self, scope: Scope) -> bool:
        desk = self._desk
        decision = desk.guard.check(desk.standing(), Right.READ, scope, TIMELINE)
        if not decision.allowed or decision.uses:
            return False
        self._allow(scope)  # what is seen of others is in the audit
        return True

    def _allow(self, scope: Scope) -> None:
        self._desk.allow(self._desk.unit(), Right.READ, scope, TIMELINE, "timeline")


def _as_seen(found: Provenance, viewer: Viewer) -> Provenance:
    """Return what a viewer may see of it; what is shared, and what hooks saw, is left out."""
    event = found.event
    own = event is not None and viewer.is_own(event)
    return dataclasses.replace(
        found, event=None if event is None else viewer.shown(event), arguments="",
        causes=tuple(viewer.visible(found.causes)), hooks=tuple(viewer.visible(found.hooks)),
        reads=found.reads if own else (), artifacts=found.artifacts if own else (),
    )  # fmt: skip
