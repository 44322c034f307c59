"""Read a content back, one chunk at a time, each verified by its hash."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Final

from ...persistence.errors import CorruptState
from ...persistence.records.shared_tables import CHUNKS, CONTENT_PARTS, CONTENTS
from ...persistence.records.tables import Order
from ...persistence.store.store import StoreReader
from .chunking import digest, unpacked

PAGE: Final = 256
"""Parts read at once."""


def chunks(store: StoreReader, content: str, where: str) -> Iterator[bytes]:
    """Iterate over the chunks of a content.

    CorruptState names ``where`` and the chunk that is missing or not as it was saved. The content
    as a whole is verified with its last chunk.
    """
    row = store.row(CONTENTS, (content,))
    if row is None:
        raise CorruptState(where, f"its content {content} is not in the store")
    _, size, count = row
    whole, seen, position = hashlib.sha256(), 0, -1
    for position, name in enumerate([content] if count == 1 else _listed(store, content)):
        data = _chunk(store, name, f"{where}, chunk {position}")
        whole.update(data)
        seen += len(data)
        yield data
    if position + 1 != count:
        raise CorruptState(f"{where}, chunk {position + 1}", "its place in the list is not there")
    if seen != size or whole.hexdigest() != content:
        raise CorruptState(where, "all its chunks are good, and yet they are not the content")


def _listed(store: StoreReader, content: str) -> Iterator[str]:
    """Iterate over the names of a content's chunks, as far as its list goes without a gap.

    There is none for a content of one chunk, which is that chunk and is hashed alike.
    """
    position = -1
    order = Order(("content", "position"), (content,))
    while parts := store.page(CONTENT_PARTS, order, (position,), PAGE):
        for _, found, name in parts:
            if found != position + 1:
                return
            position += 1
            yield str(name)


def _chunk(store: StoreReader, name: str, where: str) -> bytes:
    try:
        row = store.row(CHUNKS, (name,))
    except CorruptState as error:
        raise CorruptState(f"{where} ({name})", error.reason) from error
    if row is None:
        raise CorruptState(f"{where} ({name})", "it is not in the store")
    _, size, flag, data = row
    assert isinstance(data, bytes)
    assert isinstance(flag, int)
    try:
        plain = unpacked(flag, data)
    except zlib.error as error:
        raise CorruptState(f"{where} ({name})", f"it does not unpack: {error}") from error
    if len(plain) != size or digest(plain) != name:
        raise CorruptState(f"{where} ({name})", "its bytes are not those that were saved")
    return plain
