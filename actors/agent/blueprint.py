"""What a system knows about an agent class."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...lifecycle.durability import Durability
from ...persistence.errors import ConfigurationError, UnknownAgent
from ...persistence.names.keys import check_name
from ...persistence.schema.evolution import Evolution, Stored
from ...persistence.schema.registry import Registry
from ...persistence.secrets.vault import Vault
from ...persistence.state.state import Layout, layout_of
from ..talk.messages import CallCodec
from ..talk.signatures import messages_of
from .agent import Agent, state_class_of
from .options import check_options


@dataclass(frozen=True, slots=True)
class Blueprint:
    """An agent class with everything derived from it once."""

    agent_class: type[Agent[Any]]
    kind: str
    layout: Layout
    calls: CallCodec
    durability: Durability
    starts: bool
    """Whether it has an ``on_start`` of its own."""
    receives: bool
    """Whether it has an ``on_receive`` of its own."""
    turn_limit: float | None
    vault: Vault
    passivates: bool
    """Whether it has an ``on_passivate`` of its own."""
    mourns: bool
    """Whether it has an ``on_dead`` of its own."""


class Catalogue:
    """The agent classes of one system, by kind."""

    def __init__(self, agent_classes: object, *, largest: int, vault: Vault | None = None) -> None:
        """Check every class; ConfigurationError names the one that is declared wrongly."""
        self.vault = vault = vault or Vault()
        """What the system seals and signs with."""
        self.takes_all = False
        """Whether classes may be referred to that the system was not opened with: in a replay,
        where other code may have classes of its own, and nothing is delivered to them."""
        self._largest = largest
        self._by_kind: dict[str, Blueprint] = {}
        for agent_class in _listed(agent_classes):
            blueprint = _blueprint(agent_class, largest, vault)
            if blueprint.kind in self._by_kind:
                message = f"two agent classes are of kind {blueprint.kind!r}; give one another kind"
                raise ConfigurationError(message)
            self._by_kind[blueprint.kind] = blueprint

    def of_kind(self, kind: str) -> Blueprint:
        """Return a kind's blueprint; UnknownAgent if the system was opened without it."""
        try:
            return self._by_kind[kind]
        except KeyError:
            message = f"no agent class of kind {kind!r}; open the system with agents=[..., {kind}]"
            raise UnknownAgent(message) from None

    def of_class(self, agent_class: type[Agent[Any]]) -> Blueprint:
        """Return a class's blueprint; UnknownAgent if the system was opened without it."""
        try:
            kind = agent_class.kind
        except AttributeError:
            message = f"{agent_class!r} is not an Agent class; refer to agents as agent(Desk, key)"
            raise ConfigurationError(message) from None
        if self.takes_all and kind not in self._by_kind:
            self._by_kind[kind] = _blueprint(agent_class, self._largest, self.vault)
        blueprint = self.of_kind(kind)
        if self.takes_all:
            return blueprint
        if blueprint.agent_class is not agent_class:
            message = f"{agent_class.__qualname__} is not the class this system knows by that kind"
            raise UnknownAgent(message)
        return blueprint

    def classes(self) -> dict[str, type[Agent[Any]]]:
        """Return the classes this system knows, by kind."""
        return {kind: blueprint.agent_class for kind, blueprint in self._by_kind.items()}

    def stored(self) -> list[Stored]:
        """Return what of each class decides whether it can read stored agents."""
        return [
            Stored(
                kind,
                each.layout,
                messages_of(each.agent_class, Agent),
                each.agent_class.unreadable == "rewind",
                tuple(each.agent_class.aliases),
                each.agent_class,
            )
            for kind, each in self._by_kind.items()
        ]

    def evolution_of(self, registry: Registry) -> Evolution:
        """Return the way from what a store holds to these classes, and to its messages.

        Their schemas are stored with the first of them.
        """
        evolution = Evolution(registry, self.stored())
        for kind, each in self._by_kind.items():
            if each.durability is not Durability.VOLATILE:
                each.calls.first = partial(evolution.written_to, kind)
        return evolution

    def aliases(self) -> dict[str, str]:
        """Return the kinds that classes had before, each with that of today.

        ConfigurationError if one is of two classes, or is a kind itself.
        """
        found: dict[str, str] = {}
        for kind, each in self._by_kind.items():
            for alias in each.agent_class.aliases:
                if alias in found or alias in self._by_kind:
                    other = found.get(alias, alias)
                    message = f"{kind} has aliases = [{alias!r}], which is a kind of {other}"
                    raise ConfigurationError(message)
                found[alias] = kind
        return found

    def kinds(self) -> list[str]:
        """Return the kinds this system knows."""
        return list(self._by_kind)


def _listed(agent_classes: object) -> Iterable[object]:
    if not isinstance(agent_classes, Iterable):
        name = getattr(agent_classes, "__name__", repr(agent_classes))
        message = f"agents={name} is not a list of Agent classes; write agents=[{name}]"
        raise ConfigurationError(message)
    return agent_classes


def _check_handlers(agent_class: type[Agent[Any]]) -> None:
    """Refuse what would not run in its turn: handlers that yield, and an async ``on_failure``."""
    for owner in agent_class.__mro__[: agent_class.__mro__.index(Agent)]:
        for name, found in vars(owner).items():
            yields = inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found)
            if yields and not name.startswith("_"):
                message = (
                    f"{agent_class.__qualname__}.{name} has a yield, and a message is handled in"
                    " one turn; return a list, or name a helper with an underscore"
                )
                raise ConfigurationError(message)
            if name == "on_failure" and inspect.iscoroutinefunction(found):
                message = (
                    f"{agent_class.__qualname__}.on_failure is async, and no turn that could be"
                    " waited for; make it a plain function, or use on_dead"
                )
                raise ConfigurationError(message)


def _blueprint(agent_class: object, largest: int, vault: Vault) -> Blueprint:
    if not isinstance(agent_class, type) or not issubclass(agent_class, Agent):
        message = f"{agent_class!r} is not an Agent subclass"
        raise ConfigurationError(message)
    check_name("kind", agent_class.kind)
    check_options(agent_class)  # again: one may have been set since the class was made
    _check_handlers(agent_class)
    return Blueprint(
        agent_class,
        agent_class.kind,
        layout_of(state_class_of(agent_class), vault),
        CallCodec(agent_class, largest, vault),
        agent_class.durability,
        receives=agent_class.on_receive is not Agent.on_receive,
        turn_limit=agent_class.turn_limit,
        vault=vault,
        starts=agent_class.on_start is not Agent.on_start,
        passivates=agent_class.on_passivate is not Agent.on_passivate,
        mourns=agent_class.on_dead is not Agent.on_dead,
    )
