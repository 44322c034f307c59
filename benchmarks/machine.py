"""Describe the machine, without which no figure means anything."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median

DISTRIBUTIONS = (
    "perdure",
    "pykka",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "dbos",
    "eventsourcing",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on.

    `flush` is the median of an 8 KiB append with fdatasync, in milliseconds: the time every durable
    acknowledgement has to pay at least once. `load` is the load average at the start; on a quiet
    machine it is near zero, and figures taken above half a core are not worth publishing.
    """

    processor: str
    cores: int
    system: str
    python: str
    sqlite: str
    filesystem: str
    flush: float
    load: float
    versions: dict[str, str]

    @property
    def volatile(self) -> bool:
        """Whether the folder is in memory, where a flush costs nothing and keeps nothing."""
        return self.filesystem in {"tmpfs", "ramfs"}


def describe(directory: Path) -> Machine:
    """Describe this machine and the disk under `directory`."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        filesystem=_filesystem(directory),
        flush=_flush(directory),
        load=os.getloadavg()[0],
        versions=_versions(),
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _filesystem(directory: Path) -> str:
    """Name the type of the file system that holds `directory`: the longest mount point above it."""
    here = directory.resolve()
    best, kind = -1, "unknown"
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, point, candidate, *_ = line.split(" ")
        if here.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), candidate
    return kind


def _flush(directory: Path, times: int = 200) -> float:
    path = directory / "flush"
    block = os.urandom(8192)
    taken: list[float] = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(times):
            start = time.perf_counter()
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - start)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(taken) * 1e3


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
