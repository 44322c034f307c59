"""Plain files: what it costs at least to keep bytes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ..workload import many_callers


def copies(folder: Path, *, megabytes: float) -> dict[str, float]:
    """Copy a large file and flush the copy, there and back."""
    origin = noise(folder, megabytes)
    figures = {}
    for way, source, target in (
        ("save", origin, folder / "kept"),
        ("read", folder / "kept", folder / "back"),
    ):
        start = time.perf_counter()
        shutil.copyfile(source, target)
        flush(target)
        figures[way] = megabytes / (time.perf_counter() - start)
    return figures


def small(folder: Path, *, callers: float, seconds: float, size: float) -> dict[str, float]:
    """Write small files from several threads; each is flushed, and so is its folder."""
    block = os.urandom(int(size) - 8)

    def write(caller: int, number: int) -> None:
        path = folder / f"{caller}-{number}"
        path.write_bytes(number.to_bytes(8, "big") + block)
        flush(path)
        flush(folder)

    return many_callers(write, int(callers), seconds)


def noise(folder: Path, megabytes: float) -> Path:
    """Return a file of bytes that do not pack and do not repeat, already in the page cache."""
    path, block = folder / "origin", os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(int(megabytes)):
            file.write(number.to_bytes(8, "big") + block[8:])
    return path


def flush(path: Path) -> None:
    """Have a file, or a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
