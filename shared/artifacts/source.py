"""Read an artifact's bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

from .records import Artifact


class Source:
    """Read an artifact from its beginning to its end, as a file or by iterating over its chunks.

    Every chunk is verified before any of it is given out, and the whole with the last; CorruptState
    names what is not as it was saved. What is being read is not swept away, even if the artifact
    is deleted meanwhile. Used by one thread at a time.
    """

    def __init__(
        self, artifact: Artifact, chunks: Iterator[bytes], release: Callable[[], None]
    ) -> None:
        """Give out ``chunks``, which stay until ``release`` is called."""
        self.artifact = artifact
        self._chunks = chunks
        self._release: Callable[[], None] | None = release
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, all that are left if it is negative; none at the end."""
        self._refuse_closed()
        if size < 0:
            return b"".join(self)
        if size and not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        taken = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return taken

    def close(self) -> None:
        """Let go of the content; idempotent."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __iter__(self) -> Iterator[bytes]:
        self._refuse_closed()
        if self._rest:
            rest, self._rest = bytes(self._rest), memoryview(b"")
            yield rest
        for chunk in self._chunks:
            yield chunk
            self._refuse_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._release is None:
            raise ValueError("this source of an artifact is closed; open the artifact again")
