"""Frames between a worker and its host: four bytes of length, then a text of JSON."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

_HEAD: Final = struct.Struct(">I")


class FrameTooLarge(Exception):
    """Say that the other side sends more at once than this one takes."""


class Wire:
    """Send and receive frames; one thread at each end."""

    __slots__ = ("_largest", "_socket")

    def __init__(self, end: socket.socket, largest: int) -> None:
        """Take frames of ``largest`` bytes at most."""
        self._socket = end
        self._largest = largest

    def send(self, payload: bytes, deadline: float | None = None) -> None:
        """Send a frame; OSError if the other side is gone, or takes nothing until ``deadline``."""
        if deadline is not None:
            self._socket.settimeout(max(1e-6, deadline - time.monotonic()))
        self._socket.sendall(_HEAD.pack(len(payload)) + payload)

    def receive(self, deadline: float | None = None) -> bytes:
        """Return the next frame; TimeoutError behind ``deadline``, by the monotonic clock.

        EOFError if the other side is gone, FrameTooLarge if it would send too much.
        """
        (size,) = _HEAD.unpack(self._read(_HEAD.size, deadline))
        if size > self._largest:
            raise FrameTooLarge(f"a frame of {size:,} bytes; at most {self._largest:,} are taken")
        return self._read(size, deadline)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _read(self, size: int, deadline: float | None) -> bytes:
        data = bytearray(size)
        view, have = memoryview(data), 0
        while have < size:
            if deadline is not None:
                self._socket.settimeout(max(1e-6, deadline - time.monotonic()))
            got = self._socket.recv_into(view[have:])
            if not got:
                raise EOFError("the other side is gone")
            have += got
        return bytes(data)
