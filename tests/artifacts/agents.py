"""An agent that makes artifacts in its turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure import Agent, AgentSystem, State
from perdure.persistence.store.store import Store
from perdure.shared.access.boundaries import Boundary


class MakerState(State):
    made: int = 0


class Maker(Agent[MakerState]):
    """Makes artifacts in its turns."""

    boundary = Boundary.SHARED

    def make(self, name: str, text: str, sources: int = 0) -> tuple[str, int]:
        artifacts = self.system.artifacts
        origin = artifacts.list(limit=sources) if sources else []
        artifact = artifacts.save(
            name, text.encode(), type="agent-output", tags=["made"], sources=origin
        )
        assert artifacts.read(artifact) == text.encode()
        assert artifacts.get(name) == artifact
        assert artifact in artifacts.list(scope=artifact.scope, tag="made")
        artifacts.came_from(artifact, *origin)
        self.state.made += 1
        return str(artifact.scope), artifact.version

    def make_and_raise(self, name: str, text: str) -> None:
        artifacts = self.system.artifacts
        artifacts.tag(artifacts.save(name, text.encode()), "late")
        message = "after all"
        raise ValueError(message)

    def drop(self, name: str) -> list[str]:
        artifacts = self.system.artifacts
        artifacts.delete(artifacts.get(name))
        return [artifact.name for artifact in artifacts.list(scope=self.scopes.own)]

    async def make_later(self, name: str, text: str) -> int:
        return self.system.artifacts.save(name, text.encode()).version

    def made(self) -> int:
        return self.state.made


def opened(store: Store | Path, **options: Any) -> AgentSystem:  # noqa: ANN401 - those of open()
    """Open a system with the maker."""
    return AgentSystem.open(store, agents=[Maker], **options)
