"""The lease on a store: one owner writes, its fencing token rises with every owner.

Source of the idea: leases with fencing tokens as in Chubby and in Kleppmann's "How to do
distributed locking" (2016).
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailable

LEASE_SECONDS: Final = 15.0
"""How long an owner on another host counts as alive after its last renewal."""
RENEW_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Identify a running process beyond the reuse of process ids."""

    host: str
    pid: int
    started: str
    """When the process started, for people."""
    realm: str
    """The boot and process-id namespace within which ``pid`` means something."""
    incarnation: str
    """The start in clock ticks since boot: with ``realm`` and ``pid``, one process for ever."""

    @classmethod
    def this_process(cls) -> Owner:
        """Return the identity of the running process."""
        pid = os.getpid()
        ticks = _start_ticks(pid)
        return cls(socket.gethostname(), pid, _start_text(ticks), _realm(), ticks or "unknown")


@dataclass(frozen=True, slots=True)
class Lease:
    """A granted lease: higher tokens fence off lower ones."""

    token: int
    owner: Owner


NO_LEASE: Final = Lease(0, Owner("", 0, "", "", ""))
"""Held before ``acquire()``: older than every token, so commits are fenced."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease as the store keeps it."""

    token: int
    owner: Owner
    renewed: float
    released: bool
    unseen: bool = False
    """One before it was killed, and nobody has run agents since."""
    copied: bool = False
    """It was written into another file, of which this one is a copy."""

    def holder_alive(self, here: Owner, now: float) -> bool:
        """Tell whether its holder must be taken for alive.

        Within one realm the process table decides; of any other only the renewals are known.
        """
        if self.released:
            return False
        if self.owner.realm == here.realm:
            if self.copied:
                return False  # elsewhere, files have other numbers, so nothing follows there
            return (_start_ticks(self.owner.pid) or "") == self.owner.incarnation
        return now - self.renewed < LEASE_SECONDS


def _realm() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError as error:
        _refuse_out_of_files(error)
        return socket.gethostname()


def _start_ticks(pid: int) -> str | None:
    """Return a process's start in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return _probe(pid) if not Path("/proc/self/stat").exists() else None
    except OSError as error:
        _refuse_out_of_files(error)
        raise
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def is_stopped(pid: int) -> bool:
    """Tell whether a process is there and was stopped, by SIGSTOP or Ctrl-Z; False if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] == b"T"


def _probe(pid: int) -> str | None:
    """Without /proc the start is unknown: a live process id counts as its owner."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def _refuse_out_of_files(error: OSError) -> None:
    """Raise StoreUnavailable if it is for want of a descriptor that nothing can be looked up.

    Going on without would give this process, or the owner, another identity for this once.
    """
    if error.errno in (errno.EMFILE, errno.ENFILE):
        message = (
            f"who owns the store cannot be looked up: {error.strerror}; raise the limit of open"
            " files (ulimit -n), or open fewer"
        )
        raise StoreUnavailable(message) from error


def _start_text(ticks: str | None) -> str:
    try:
        boot = next(
            float(line.split()[1])
            for line in Path("/proc/stat").read_text().splitlines()
            if line.startswith("btime ")
        )
        seconds = boot + int(ticks or "") / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, StopIteration):
        return "at an unknown time"
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
