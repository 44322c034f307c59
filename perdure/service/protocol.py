"""What is said on the socket: a line of JSON asks, lines of JSON answer.

A request names the version of this protocol; an owner of another version says so. An answer with
``more`` is followed by another; the last one has none. Private: both ends are perdure.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final, TypeAlias

import msgspec

from ..replay.schedule import ReplaySchedule

VERSION: Final = 1
LONGEST_LINE: Final = 1 << 20
"""Bytes; more is no request."""


class LifecycleWish(msgspec.Struct, tag="step", forbid_unknown_fields=True):
    """Pause, resume, stop, restart, delete or erase an agent."""

    kind: str
    key: str
    verb: str


class ForkWish(msgspec.Struct, tag="fork", forbid_unknown_fields=True):
    """Have a new agent begin with what another was at a version, or is."""

    kind: str
    key: str
    target: str
    version: int | None = None


class Isolate(msgspec.Struct, tag="isolate", forbid_unknown_fields=True):
    """Cut an agent off."""

    kind: str
    key: str
    reason: str


class Restore(msgspec.Struct, tag="restore", forbid_unknown_fields=True):
    """Let an isolated agent go on."""

    kind: str
    key: str


class Letters(msgspec.Struct, tag="letters", forbid_unknown_fields=True):
    """Put dead letters back, or discard them: those of the ids, or all (of a kind)."""

    back: bool
    ids: list[int]
    every: bool = False
    kind: str | None = None


class Decide(msgspec.Struct, tag="decide", forbid_unknown_fields=True):
    """Say what becomes of a call that a run of an agent that thinks waits for."""

    kind: str
    key: str
    run: str
    call: str
    what: str
    result: msgspec.Raw
    """JSON."""


class Flush(msgspec.Struct, tag="flush", forbid_unknown_fields=True):
    """Wait until everything is durable."""

    timeout: float


class StatusWish(msgspec.Struct, tag="watch", forbid_unknown_fields=True):
    """Tell how the system does, once or again and again."""

    every: float | None = None


class HooksWish(msgspec.Struct, tag="hooks", forbid_unknown_fields=True):
    """Tell what each hook did."""


class DeferredWish(msgspec.Struct, tag="deferred", forbid_unknown_fields=True):
    """Tell which calls of hooks wait, and why."""

    after: str | None = None


class PutSchedule(msgspec.Struct, tag="schedule", forbid_unknown_fields=True):
    """Have recorded turns replayed on a schedule."""

    schedule: ReplaySchedule


class ScheduleWish(msgspec.Struct, tag="scheduled", forbid_unknown_fields=True):
    """Run a schedule of replays now, or remove it."""

    name: str
    run: bool


class NoteReplays(msgspec.Struct, tag="replayed", forbid_unknown_fields=True):
    """Put into the audit that a tool replays what it reads in the file, of some agents."""

    agents: list[tuple[str, str]]
    """Their kinds and keys; empty ones for what was at nobody's work."""


OperatorWish: TypeAlias = (
    LifecycleWish | ForkWish | Isolate | Restore | Letters | Flush | HooksWish | DeferredWish
    | PutSchedule | ScheduleWish | NoteReplays | Decide
)  # fmt: skip
Wish: TypeAlias = OperatorWish | StatusWish


class ServiceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for."""

    version: int
    wish: msgspec.Raw
    """Read when the version is known to be ours."""


class Answer(msgspec.Struct, omit_defaults=True):
    """What became of it."""

    result: Any = None
    error: str = ""
    """The name of the error's class; empty if all went well."""
    told: str = ""
    more: bool = False


_encode: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="string").encode
read_request: Final = msgspec.json.Decoder(ServiceRequest).decode
read_wish: Final = msgspec.json.Decoder(Wish).decode
read_answer: Final = msgspec.json.Decoder(Answer).decode


def line(said: ServiceRequest | Answer) -> bytes:
    """Return what is said as one line."""
    return _encode(said) + b"\n"


def request(wish: Wish) -> ServiceRequest:
    """Return a request of this version."""
    return ServiceRequest(VERSION, msgspec.Raw(_encode(wish)))


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end of a connection."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, user, _ = struct.unpack("3i", told)
    return pid, user
