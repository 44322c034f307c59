"""Where the owner of a store listens: a socket beside the file, named after it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LONGEST_ADDRESS: Final = 107
"""Bytes that the address of a Unix socket may take."""
_LONGEST_NAME: Final = 80
"""Bytes; with the way there by a descriptor it must still be an address."""


def socket_of(store: Path) -> Path:
    """Return where the socket of a store is; the same for every name that leads to the file."""
    store = store.resolve()
    name = f"{store.name}-socket"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f"perdure-{hashlib.sha256(os.fsencode(store.name)).hexdigest()[:32]}-socket"
    return store.with_name(name)


@contextlib.contextmanager
def address(socket: Path) -> Iterator[str]:
    """Give an address that leads to a socket, however long its path is.

    A long one goes by a descriptor of its folder, which Linux shows as a path. OSError where there
    is no such way.
    """
    if len(os.fsencode(socket)) <= LONGEST_ADDRESS:
        yield str(socket)
        return
    folder = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{socket.name}"
    finally:
        os.close(folder)
