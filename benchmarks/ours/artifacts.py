"""Artifacts: one large one there and back, and many small ones from several callers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from perdure import AgentSystem

from ..peers.files import flush, noise
from ..workload import many_callers


def large(folder: Path, *, megabytes: float) -> dict[str, float]:
    """Save a file as an artifact, and write it back to a file that is flushed."""
    origin = noise(folder, megabytes)
    with AgentSystem.open(folder / "store.db", agents=[]) as system:
        start = time.perf_counter()
        with origin.open("rb") as file:
            artifact = system.artifacts.save("large", file)
        saving = time.perf_counter() - start
        back = folder / "back"
        start = time.perf_counter()
        with system.artifacts.open(artifact) as source, back.open("wb") as file:
            for chunk in source:
                file.write(chunk)
        flush(back)
        reading = time.perf_counter() - start
        # The same bytes once more: hashed, and not stored.
        start = time.perf_counter()
        with origin.open("rb") as file:
            system.artifacts.save("again", file)
        again = time.perf_counter() - start
    return {
        "save": megabytes / saving,
        "read": megabytes / reading,
        "again": megabytes / again,
        "bytes": float((folder / "store.db").stat().st_size),
    }


def small(folder: Path, *, callers: float, seconds: float, size: float) -> dict[str, float]:
    """Save small artifacts from several threads, each of other bytes."""
    block = os.urandom(int(size) - 16)
    with AgentSystem.open(folder / "store.db", agents=[]) as system:

        def save(caller: int, number: int) -> None:
            data = caller.to_bytes(8, "big") + number.to_bytes(8, "big") + block
            system.artifacts.save(f"{caller}/{number}", data)

        return many_callers(save, int(callers), seconds)
