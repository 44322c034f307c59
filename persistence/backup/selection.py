"""Which part of a store is brought back: some agents, all of a kind, some scopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..names.scope import Scope
from ..records.erasures import Name
from ..store.store import StoreReader


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a store. An agent takes the keys of its own scope along."""

    agents: tuple[Name, ...] = ()
    kinds: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        if not (self.agents or self.kinds or self.scopes):
            message = "nothing is to be brought back: give agents=, kinds= or scopes="
            raise ConfigurationError(message)

    def names(self, store: StoreReader) -> Iterator[Name]:
        """Iterate over the agents of it that a store has, each once."""
        for kind, key in dict.fromkeys(self.agents):
            if kind not in self.kinds and store.known(kind, [key]):
                yield kind, key
        for kind in dict.fromkeys(self.kinds):
            for head in store.agents(kind):
                yield kind, head.key

    def refuse_unknown(self, store: StoreReader, moment: str) -> None:
        """Raise ConfigurationError for an agent or a kind that a store of then has not."""
        for kind, key in self.agents:
            if not store.known(kind, [key]):
                message = f"there was no agent {kind}/{key} at {moment}; nothing is brought back"
                raise ConfigurationError(message)
        for kind in set(self.kinds) - set(store.kinds()):
            message = f"there was no agent of kind {kind} at {moment}; nothing is brought back"
            raise ConfigurationError(message)
