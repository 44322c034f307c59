"""What looking for secrets in plain fields costs: a look by itself, and as a share of a turn."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from perdure import Agent, AgentSystem, Detector, State
from perdure.persistence.secrets.detector import SecretWatch

from ..workload import AGENTS, closed_loop, key

LOOKS = 20_000
PROSE = "the gate agent has moved the bag to the later flight, and said so. " * 4


class NoteState(State):
    """One text."""

    text: str = ""


class Note(Agent[NoteState]):
    """Keeps the latest text."""

    def write(self, text: str) -> None:
        """Take a text."""
        self.state.text = text


def turns(folder: Path, *, seconds: float, watched: bool) -> dict[str, float]:
    """Write texts of 200 characters into notes, one durable turn after the other."""
    detector = Detector() if watched else None
    with AgentSystem.open(folder / "notes.db", agents=[Note], detector=detector) as system:
        notes = [system.agent(Note, key(number)).proxy() for number in range(AGENTS)]
        return closed_loop(
            lambda number: notes[number % AGENTS].write(f"{number} {PROSE[:192]}").get(), seconds
        )


def look(folder: Path, *, kind: str) -> dict[str, float]:  # noqa: ARG001 - measures get one
    """Look at 200 characters of text, at as much JSON with names in it, or at one with an id."""
    watch = SecretWatch(Detector())
    texts = {
        "text": f'"{PROSE[:198]}"',
        "json": "{" + ",".join(f'"name{n}":"some words here"' for n in range(7)) + "}",
        "id": f'"{PROSE[:160]}{uuid.UUID(int=1)}"',
    }
    text = texts[kind]
    started = time.perf_counter()
    for _ in range(LOOKS):
        watch.examine(text, "Note.text")
    return {"us": (time.perf_counter() - started) / LOOKS * 1e6}
