"""The pages of a damaged file: its own, and over them those of its log, as far as that is whole.

Nothing here asks SQLite, which refuses a file whose header is damaged, and believes every page. The
file and its log are only read.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ..errors import SalvageFailed
from ..sqlite.place import beside

MAGIC: Final = b"SQLite format 3\x00"
SIZES: Final = (4096, 8192, 16384, 32768, 65536, 2048, 1024, 512)
"""What pages may measure; perdure leaves it to SQLite, which makes them of 4096 bytes."""
TREES: Final = frozenset((2, 5, 10, 13))
"""The first byte of a page that is one of a tree."""
_INTERIOR: Final = 5
"""Up to this, pages lead to others."""
_LOG_HEAD: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_LOG_MAGIC: Final = 0x377F0682
"""Less its last bit, which says in which order the bytes of its sums were taken."""
_DAMAGED: Final = 0
"""Stands for the place of a page in the log that is damaged there: what the file has is older."""
_SAMPLE: Final = 200
"""Pages that are looked at to find out their size."""
_MASK: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Fault:
    """A place of the file that is not as it should be."""

    where: str
    """The header, the log, a page."""
    what: str


class Image:
    """Give the pages of a file as its last whole transaction has left them."""

    def __init__(self, path: Path, file: int) -> None:
        """Look at the header and the log; ``file`` is a descriptor of the file at ``path``.

        SalvageFailed if nothing of it looks like pages of SQLite.
        """
        self.faults: list[Fault] = []
        self.torn = False
        """The log is lost, so pages may be of different moments."""
        self.lost_frames = 0
        """Pages at the end of the log that cannot be used, and with them the commits in them."""
        self._file = file
        self._log: int | None = None
        self._frames: dict[int, int] = {}
        size = os.fstat(file).st_size
        head = os.pread(file, 100, 0)
        log = beside(path, "-wal")
        if log.exists():
            self._log = os.open(log, os.O_RDONLY)
        self.page_size = self._size_of_pages(head, size, log)
        self.pages = -(-size // self.page_size)
        if size % self.page_size:
            self._note("the file", f"its last page is cut off, {size % self.page_size} bytes of it")
        if self._log is not None:
            self._read_log()
        self._look_at_the_header(head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._log is not None:
            os.close(self._log)

    def page(self, number: int) -> bytes:
        """Return a page, numbered from 1; what is cut off or damaged in the log comes as zeros."""
        frame = self._frames.get(number)
        if frame == _DAMAGED:
            return bytes(self.page_size)
        if frame is not None and self._log is not None:
            return os.pread(self._log, self.page_size, frame)
        data = os.pread(self._file, self.page_size, (number - 1) * self.page_size)
        return data.ljust(self.page_size, b"\x00")

    def header(self) -> bytes:
        """Return the first 100 bytes."""
        return self.page(1)[:100]

    def _note(self, where: str, what: str) -> None:
        self.faults.append(Fault(where, what))

    def _size_of_pages(self, head: bytes, size: int, log: Path) -> int:
        if head[:16] == MAGIC:
            told = 65536 if head[16:18] == b"\x00\x01" else int.from_bytes(head[16:18])
            if told in SIZES:
                return told
        if self._log is not None:
            told = int.from_bytes(os.pread(self._log, 12, 0)[8:12])
            if told in SIZES:
                return told
        best = max(SIZES, key=lambda each: self._looks_like(each, size))
        if not self._looks_like(best, size):
            message = f"no page of SQLite is found in {log.name.removesuffix('-wal')}"
            raise SalvageFailed(message)
        return best

    def _looks_like(self, page_size: int, size: int) -> float:
        """Return which share of the first pages, cut to that size, could be of a tree."""
        places = range(page_size, min(size, _SAMPLE * page_size), page_size)
        found = sum(_is_tree(os.pread(self._file, page_size, place)) for place in places)
        return found / len(places) if places else 0.0

    def _look_at_the_header(self, before: bytes) -> None:
        head = self.header()
        if before[:16] != MAGIC or head[:16] != MAGIC:
            self._note("the header", "it does not begin as one of SQLite")
            return
        told = int.from_bytes(head[28:32])
        valid = head[24:28] == head[92:96]
        if valid and told != self.pages:
            self._note("the header", f"it tells of {told:,} pages, and there are {self.pages:,}")

    def _read_log(self) -> None:
        """Find the newest copy of each page in the log, up to the last whole transaction."""
        assert self._log is not None
        size = os.fstat(self._log).st_size
        if not size:
            return
        head = os.pread(self._log, 32, 0).ljust(32, b"\x00")
        magic, _, page_size, _, *salts, first, second = _LOG_HEAD.unpack(head)
        order = ">" if magic & 1 else "<"
        sums = _summed(head[:24], (0, 0), order)
        if magic & ~1 != _LOG_MAGIC or page_size != self.page_size or sums != (first, second):
            self._cut(size, "its beginning is damaged")
            return
        step = _FRAME.size + self.page_size
        pending: dict[int, int] = {}
        for at in range(32, size, step):
            data = os.pread(self._log, step, at)
            if len(data) < step:
                break
            number, pages, *frame_salts, first, second = _FRAME.unpack_from(data)
            if frame_salts != salts and not self._goes_on(at + step, salts):
                break  # what is left of the log's last use
            sums = _summed(data[24:], _summed(data[:8], sums, order), order)
            good = sums == (first, second) and frame_salts == salts
            sums = (first, second)  # so those behind a damaged one can be told from damaged ones
            pending[number] = at + _FRAME.size if good else _DAMAGED
            if good and pages:
                self._frames |= pending
                pending, self.pages = {}, pages
        self._note_damaged(pending)

    def _goes_on(self, at: int, salts: list[int]) -> bool:
        """Tell whether the page in the log behind one is of the log as it is used now."""
        assert self._log is not None
        data = os.pread(self._log, _FRAME.size, at)
        return len(data) == _FRAME.size and [*_FRAME.unpack(data)[2:4]] == salts

    def _note_damaged(self, pending: dict[int, int]) -> None:
        """Note what is damaged in the log: pages of it, or the end with the commits in it."""
        for number, place in self._frames.items():
            if place == _DAMAGED:
                self._note("the log", f"the newest copy of page {number:,} is damaged")
        if _DAMAGED in pending.values():
            self.lost_frames = len(pending)
            self._note("the log", f"its end is damaged: {len(pending):,} pages cannot be used")

    def _cut(self, size: int, why: str) -> None:
        self.lost_frames = max(0, (size - 32) // (_FRAME.size + self.page_size))
        self.torn = True
        self._note("the log", f"{why}; {self.lost_frames:,} pages in it cannot be used")


def _is_tree(page: bytes) -> bool:
    """Tell whether a page lists cells that fill it from its end, as SQLite does."""
    kind, _, count = struct.unpack_from(">BHH", page.ljust(8, b"\x00"))
    first = 8 if kind > _INTERIOR else 12
    if kind not in TREES or not count or first + 2 * count > len(page):
        return False
    cells = struct.unpack_from(f">{count}H", page, first)
    low, high = min(cells), max(cells)
    return bool(first + 2 * count <= low and len(page) // 2 <= high < len(page))


def _summed(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """Return the sums of a log, gone on with over some bytes."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & _MASK
        second = (second + two + first) & _MASK
    return first, second
