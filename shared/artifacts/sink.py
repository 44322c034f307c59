"""Write an artifact's bytes, piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ...persistence.errors import QuotaExceeded, StateError
from ...persistence.names.scope import Scope
from ..ledger.unit import Unit
from .chunking import Block, Cutter
from .records import Artifact, ArtifactType
from .traffic import Hold
from .upload import Uploads


@dataclass(frozen=True, slots=True)
class Draft:
    """What an artifact is to be, but for its bytes."""

    scope: Scope
    name: str
    type: ArtifactType
    media: str
    tags: tuple[str, ...]
    sources: tuple[Artifact, ...]
    meta: str
    """JSON."""


class Sink:
    """Take an artifact's bytes; it exists when the ``with`` block ends well, and not at all else.

    In memory are a chunk (256 KiB) and what waits for the disk, whatever the size. Used by one
    thread at a time.
    """

    def __init__(
        self,
        draft: Draft,
        unit: Unit,
        uploads: Uploads,
        finish: Callable[[Sink, bytes], Artifact],
        give_up: Callable[[Sink], None],
        *,
        largest: int | None,
        most: int | None,
        alone: bool,
    ) -> None:
        """Bring chunks to ``uploads``; then ``finish`` with what is left, or ``give_up``.

        At most ``largest``, and at most ``most``, which are left to its scope.
        """
        self.draft = draft
        self.alone = alone
        """It belongs to no turn or transaction: its unit is its own."""
        self.number = 0
        """Of its artifact, once that is being made."""
        self.unit = unit
        """What the rights to save it are noted in."""
        self.hold = Hold()
        self.chunks: list[str] = []
        self.size = 0
        self._uploads = uploads
        self._finish = finish
        self._give_up = give_up
        self._largest = largest
        self._most = most
        self._whole = hashlib.sha256()
        self._cutter = Cutter()
        self._begun = self._ended = False
        self._artifact: Artifact | None = None

    @property
    def artifact(self) -> Artifact:
        """What was made; ValueError before the block has ended well."""
        if self._artifact is None:
            raise ValueError("the artifact is made when the block of its sink ends without error")
        return self._artifact

    @property
    def content(self) -> str:
        """The hash of what was written so far."""
        return self._whole.hexdigest()

    def write(self, block: Block) -> int:
        """Take some bytes; return how many. Waits while too much is on its way to the disk.

        ValueError outside of the sink's ``with`` block.
        """
        if self._ended:
            raise ValueError("this sink has ended; create another artifact")
        if not self._begun:
            message = "a sink takes bytes in its block alone: `with artifacts.create(...) as sink:`"
            raise ValueError(message)
        with _view(block) as view:
            self.size += len(view)
            if self._largest is not None and self.size > self._largest:
                raise self._refusal(self._largest, "of ArtifactLimits.largest; raise that")
            if self._most is not None and self.size > self._most:
                advice = "left to it; delete others, or raise ArtifactLimits"
                raise self._refusal(self._most, advice)
            self._whole.update(view)
            for chunk in self._cutter.push(view):
                self.chunks.append(self._uploads.chunk(self.hold, chunk))
            return len(view)

    def _refusal(self, bytes_: int, advice: str) -> QuotaExceeded:
        what = f"{self.draft.scope} {self.draft.name!r}"
        return QuotaExceeded(f"{what} would take more than the {bytes_:,} bytes {advice}")

    def __enter__(self) -> Self:
        self._begun = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = True
        try:
            if kind is None:
                self._artifact = self._finish(self, b"".join(self._cutter.end()))
        finally:
            if self._artifact is None:
                self._uploads.traffic.release(self.hold)
                self._give_up(self)
            self.hold = Hold()  # the unit has it, as long as it is needed


def _view(block: Block) -> memoryview:
    try:
        return memoryview(block).cast("B")
    except TypeError:
        problem = f"{block!r:.40} is no piece of bytes; encode text first, such as text.encode()"
        raise StateError("data", problem) from None
