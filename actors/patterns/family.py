"""A family: an agent sees the scopes of those below it, and may direct them.

Being below somebody gives that one rights, so it takes the agent's own word, or the system's.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from pykka.messages import ProxyCall

from ...persistence.errors import ConfigurationError, Conflict, Denied
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...shared.ledger.unit import Unit
from ..pool.future import Future
from ..talk.control import Verb
from ..talk.reference import AgentRef
from .pattern import method_name
from .rows import Office, Rows, codec_for, scope_of
from .rules import admit, deny, recorded

T = TypeVar("T")

DEEPEST: Final = 64
"""Generations."""


class Family:
    """Who is below whom among agents: ``system.sharing.family()``."""

    def __init__(self, office: Office) -> None:
        """Keep the families of a system."""
        self._office = office
        self._rows = Rows(office, scope_of("family", "all"))

    def join(self, parent: AgentRef[Any]) -> None:
        """Put the calling agent below another, which may then see its scope and direct it.

        Conflict if it is below somebody else: ``leave()`` first.
        """

        def joined(unit: Unit) -> None:
            who = self._admit(unit, "join")
            if who.kind != "agent":
                message = "only an agent can join a family; outside use adopt(child, parent=...)"
                raise ConfigurationError(message)
            self._put(unit, who, _who(parent))

        self._office.run(joined)

    def adopt(self, child: AgentRef[Any], *, parent: AgentRef[Any]) -> None:
        """Put one agent below another; only the system may, outside of turns."""

        def adopted(unit: Unit) -> None:
            if self._admit(unit, "adopt in") != Principal.SYSTEM:
                raise self._deny(unit, "adopt in", "an agent joins by itself")
            self._put(unit, _who(child), _who(parent))

        self._office.run(adopted)

    def leave(self) -> None:
        """End the calling agent's being below another."""
        self._office.run(lambda unit: self._remove(unit, self._admit(unit, "leave")))

    def release(self, child: AgentRef[Any]) -> None:
        """End an agent's being below the caller, or as the system below anybody."""

        def released(unit: Unit) -> None:
            self._above(unit, _who(child), "release agents of")
            self._remove(unit, _who(child))

        self._office.run(released)

    def parent(self, child: AgentRef[Any] | None = None) -> AgentRef[Any] | None:
        """Return whom the calling agent, or one below it, is directly below."""

        def found(unit: Unit) -> AgentRef[Any] | None:
            who = self._admit(unit, "see") if child is None else _who(child)
            if child is not None:
                self._above(unit, who, "see")
            above = self._parent(unit, who)
            return None if above is None else self._ref(above)

        return self._office.run(found)

    def children(self) -> builtins.list[AgentRef[Any]]:
        """Return the agents directly below the caller."""

        def found(unit: Unit) -> list[AgentRef[Any]]:
            prefix = f"child/{self._admit(unit, 'see')}/"
            rows = self._rows.rows(unit, prefix)
            return [self._ref(Principal.parse(msgspec.json.decode(text))) for _, text in rows]

        return self._office.run(found)

    def look(
        self,
        child: AgentRef[Any],
        key: str,
        type: type[T] | None = None,  # noqa: A002 - as msgspec has it
    ) -> T | None:
        """Return what an agent below the caller has under a key of its own scope, or None."""
        codec = codec_for(type)

        def looked(unit: Unit) -> T | None:
            scope = self._scope(unit, child, "look at")
            text = Rows(self._office, scope).look(unit, key)
            return None if text is None else codec.load(text, f"{scope} {key!r}")

        return self._office.run(looked)

    def list(
        self,
        child: AgentRef[Any],
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = LIMIT,
    ) -> Page[str]:
        """Return a page of the keys in the own scope of an agent below the caller.

        In code point order; ``after`` is the key before.
        """

        def listed(unit: Unit) -> Page[str]:
            rows = Rows(self._office, self._scope(unit, child, "list")).rows(
                unit, prefix, after or ""
            )
            return page_of((key for key, _ in rows), limit, str)

        return self._office.run(listed)

    def each(
        self, child: AgentRef[Any], *, prefix: str = "", after: str | None = None
    ) -> Iterator[str]:
        """Iterate over all those keys; takes what ``list`` takes."""
        return walk(lambda place: self.list(child, prefix=prefix, after=place), after)

    def count(self, child: AgentRef[Any], *, prefix: str = "") -> int:
        """Return how many keys the own scope of an agent below the caller has."""
        return sum(1 for _ in self.each(child, prefix=prefix))

    def direct(
        self, child: AgentRef[Any], method: Callable[..., object] | str, *args: object
    ) -> None:
        """Tell an agent below the caller to do something; sent with the turn, as a tell is."""

        def directed(unit: Unit) -> None:
            self._above(unit, _who(child), "direct agents of")
            message = ProxyCall((method_name(method),), args, {})
            self._office.tell(unit, child, message, once=False)

        self._office.run(directed)

    def leads(self, who: Principal, child: AgentRef[Any]) -> bool:
        """Tell whether somebody is above an agent, in whatever generation."""

        def led(unit: Unit) -> bool:
            above: Principal | None = _who(child)
            for _ in range(DEEPEST):
                above = None if above is None else self._parent(unit, above)
                if above == who:
                    return True
            return False

        return self._office.run(led)

    def pause(self, child: AgentRef[Any]) -> Future[Any]:
        """Have an agent below the caller paused: at once, as an ask, not with the turn."""
        return self._step(child, Verb.PAUSE)

    def resume(self, child: AgentRef[Any]) -> Future[Any]:
        """Have a paused agent below the caller go on; at once, as an ask."""
        return self._step(child, Verb.RESUME)

    def stop(self, child: AgentRef[Any]) -> Future[Any]:
        """Have an agent below the caller stopped; at once, as an ask."""
        return self._step(child, Verb.STOP)

    def _step(self, child: AgentRef[Any], verb: Verb) -> Future[Any]:
        self._office.run(lambda unit: self._above(unit, _who(child), "direct agents of"))
        return self._office.post.control(child, verb)

    def _scope(self, unit: Unit, child: AgentRef[Any], operation: str) -> Scope:
        """Return the scope of an agent below the caller, and note in the audit that it is seen."""
        self._above(unit, _who(child), operation)
        scope = Scope.agent(child.kind, child.key)
        unit.audit.append(recorded(self._office, unit, scope, operation, "family", "allowed"))
        return scope

    def _put(self, unit: Unit, child: Principal, parent: Principal) -> None:
        there = self._parent(unit, child)
        if there == parent:
            return
        if there is not None:
            raise Conflict(f"{child} is below another agent already; it must leave() that first")
        above: Principal | None = parent
        for _ in range(DEEPEST):
            if above is None:
                break
            if above == child:
                raise ConfigurationError(f"{child} would be below itself; leave {parent} out")
            above = self._parent(unit, above)
        else:
            raise ConfigurationError(f"{child} would be below {DEEPEST} others; join higher up")
        self._rows.put(unit, f"parent/{child}", _text(parent))
        self._rows.put(unit, f"child/{parent}/{child}", _text(child))

    def _remove(self, unit: Unit, child: Principal) -> None:
        parent = self._parent(unit, child)
        if parent is not None:
            self._rows.remove(unit, f"parent/{child}")
            self._rows.remove(unit, f"child/{parent}/{child}")

    def _above(self, unit: Unit, child: Principal, operation: str) -> None:
        """Denied unless the caller is above an agent, in whatever generation."""
        who = self._admit(unit, operation)
        above: Principal | None = child
        for _ in range(DEEPEST):
            if who == Principal.SYSTEM or above is None:
                break
            above = self._parent(unit, above)
            if above == who:
                return
        if who != Principal.SYSTEM:
            raise self._deny(unit, operation, f"{child} is not below it")

    def _parent(self, unit: Unit, child: Principal) -> Principal | None:
        # Held firm: who has left meanwhile is not directed any more.
        text = self._rows.firm(unit, f"parent/{child}")
        return None if text is None else Principal.parse(msgspec.json.decode(text, type=str))

    def _admit(self, unit: Unit, operation: str) -> Principal:
        return admit(self._office, unit, self._rows.scope, operation).principal

    def _deny(self, unit: Unit, operation: str, why: str) -> Denied:
        return deny(self._office, unit, self._rows.scope, operation, why)

    def _ref(self, who: Principal) -> AgentRef[Any]:
        return self._office.reference(who.id, who.part)


def _who(agent: AgentRef[Any]) -> Principal:
    return Principal.agent(agent.kind, agent.key)


def _text(who: Principal) -> str:
    return msgspec.json.encode(str(who)).decode()
