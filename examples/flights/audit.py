"""Opens a store and asks every agent in it what it knows."""

from dataclasses import dataclass
from pathlib import Path

from perdure import AgentSystem

from .agents import AGENTS
from .reference import Name, Numbers


@dataclass(frozen=True, slots=True)
class Audit:
    """What a store holds."""

    numbers: dict[Name, Numbers]
    """What each agent answered, by its kind and key."""
    turns: dict[Name, int]
    """How many durable turns made it so: the agent's version."""


def audit(store: Path) -> Audit:
    """Ask each agent of the store: all that are there, not those one expects."""
    classes = {agent.kind: agent for agent in AGENTS}
    with AgentSystem.open(store, agents=AGENTS) as system:
        records = list(system.agents.each())
        answers = {
            (record.kind, record.key): system.agent(classes[record.kind], record.key)
            .proxy()
            .report()
            for record in records
        }
        return Audit(
            numbers={name: answer.get() for name, answer in answers.items()},
            turns={(record.kind, record.key): record.version for record in records},
        )


def stored_bytes(store: Path) -> int:
    """Return the bytes on disk: the file and what SQLite keeps beside it."""
    return sum(file.stat().st_size for file in store.parent.glob(f"{store.name}*"))
