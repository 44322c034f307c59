"""Verify the audit: every link, every number, the beginning, and the end if it was noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..errors import ConfigurationError, CorruptState
from ..records.chain import START, Chain
from ..records.shared_tables import AUDIT
from ..records.tables import Row
from ..secrets.keys import KeyProvider
from ..store.store import StoreReader
from .entries import BY_NUMBER, PAGE, anchor_of, key_from, key_of

MOST_NAMED: Final = 1000
"""Missing rows of one gap that are named one by one."""

CHANGED: Final = "was changed: its hash does not follow from the row before"
DAMAGED: Final = "was changed: its checksum does not match"
MISSING: Final = "is missing"
ANCHOR: Final = "is the last that was trimmed; the anchor that says so "


class Fault(NamedTuple):
    """A row of the audit that is not as it was written."""

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found."""

    rows: int
    """Decisions that were read."""
    first: int
    """Number of the oldest; 0 if there is none."""
    last: int
    head: str
    """The newest link, to be noted elsewhere: it finds out later whether the end was cut off."""
    unchecked: int
    """Rows whose links were made with a key that was not given."""
    faults: tuple[Fault, ...]

    @property
    def intact(self) -> bool:
        """Tell whether every row is there as it was written; False if one could not be checked."""
        return not self.faults and not self.unchecked


def verify(
    reader: StoreReader, keys: KeyProvider | None = None, head: str | None = None
) -> AuditReport:
    """Read the whole audit and check it; also while its owner goes on.

    ``head`` is a link that was noted before: ConfigurationError if it has no such form.
    """
    look = _ChainLook(reader, keys, _noted(head))
    look.begin()
    look.rows()
    look.end()
    return look.report()


@dataclass
class _ChainLook:
    """One verification."""

    reader: StoreReader
    keys: KeyProvider | None
    noted: tuple[int, str] | None
    chain: Chain = START
    key_id: str = ""
    keyed: bool = False
    begun: int = 0
    """Number of the anchor."""
    first: int = 0
    count: int = 0
    unchecked: int = 0
    damaged: int = 0
    misplaced: int = 0
    left: set[str] = field(default_factory=set)
    """Keys that were followed by others."""
    faults: list[Fault] = field(default_factory=list)

    def begin(self) -> bool:
        """Begin at the anchor; tell whether it is further than what was read."""
        try:
            anchor = anchor_of(self.reader, self.keys)
        except CorruptState:
            self.fault(0, "the anchor, where the kept rows begin, " + DAMAGED)
            return False
        if anchor is None or anchor.chain.number <= self.chain.number:
            return False
        key = key_of(self.keys, anchor.key_id)
        if not anchor.holds(self.keys):
            self.fault(anchor.chain.number, ANCHOR + "was changed")
        elif self.keys is not None and key_of(self.keys, anchor.sealer) is None:
            what = f"is sealed with the key {anchor.sealer!r}, which was not given"
            self.fault(anchor.chain.number, ANCHOR + what)
        elif self.keys is not None and not anchor.sealer:
            self.fault(anchor.chain.number, ANCHOR + "has no key, so anybody could have made it")
        elif self.keys is not None and anchor.sealer != self.keys.current():
            what = f"is sealed with the key {anchor.sealer!r}, {self._not_current()}"
            self.fault(anchor.chain.number, ANCHOR + what)
        self.chain, self.key_id = anchor.chain._replace(key=key or b""), anchor.key_id
        self.begun, self.keyed = anchor.chain.number, bool(anchor.key_id)
        self._compare_noted()
        return True

    def rows(self) -> None:
        """Check the rows that can be read, in the order of their numbers."""
        after: Row | None = None
        while page := self.reader.page(AUDIT, BY_NUMBER, after, PAGE):
            for row in page:
                self._row(row)
            after = page[-1][:1]

    def end(self) -> None:
        """Look behind the last row that can be read, and for the end that was noted."""
        while self._is_damaged(self.chain.number + 1):
            self.fault(self.chain.number + 1, DAMAGED)
            self.damaged += 1
            self.chain = self.chain._replace(number=self.chain.number + 1)
        there = self.reader.count(AUDIT, BY_NUMBER)
        known = self.count + self.damaged + self.misplaced
        if there > known and not self.reader.page(AUDIT, BY_NUMBER, (self.chain.number,), 1):
            self.fault(0, f"{there - known} rows fail their checksum under numbers of their own")
        if self.begun and not known:
            self.fault(self.begun + 1, f"{MISSING}, and all behind it: trimming always keeps some")
        if self.noted is not None and self.noted[0] > self.chain.number:
            last = self.chain.number
            self.fault(last + 1, f"{MISSING}, and all up to {self.noted[0]}, which was noted")
        if self.keys is not None and self.count and not self.keyed:
            self.fault(self.chain.number, "the chain has no key, so anybody could have made it")
        if self.keys is not None and self.count and self.key_id not in ("", self.keys.current()):
            self.fault(
                self.chain.number, f"is under the key {self.key_id!r}, {self._not_current()}"
            )

    def _not_current(self) -> str:
        assert self.keys is not None
        return (
            f"not the current one {self.keys.current()!r}: who has the other could have made all"
            " behind the last head that was noted elsewhere; compare that, then call"
            " system.audit.seal() or run perdure audit seal"
        )

    def report(self) -> AuditReport:
        """Return what was found."""
        head = f"{self.chain.number}:{self.chain.hash}"
        return AuditReport(
            self.count, self.first, self.chain.number, head, self.unchecked,
            tuple(sorted(self.faults)),
        )  # fmt: skip

    def fault(self, number: int, what: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(number, what))

    def _row(self, row: Row) -> None:
        number: int = row[0]  # type: ignore[assignment]
        if number <= self.chain.number:
            if number <= self.begun and not self.first:
                self.misplaced += 1
                self.fault(number, "is not of this chain: what stood there was trimmed")
            return
        self.count += 1
        self.first = self.first or number
        follows = number == self.chain.number + 1
        if not follows and self.begin():  # trimmed while this was reading
            follows = number == self.chain.number + 1
        if not follows:
            self._gap(self.chain.number + 1, number)
        before, self.key_id = self.key_id, key_from(row, self.key_id)
        self.keyed = self.keyed or bool(self.key_id)
        if self.key_id in self.left:
            what = f"goes back to the key {self.key_id!r}, which was left before"
            self.fault(number, what)
        if before and before != self.key_id and self.key_id:
            self.left.add(before)
        if before and not self.key_id:
            self.fault(number, "has no key any more, and all behind it, unlike those before")
        key = key_of(self.keys, self.key_id)
        if key is None:
            self.unchecked += 1
        elif follows and not self.chain._replace(key=key).follows(row):
            self.fault(number, CHANGED)
        self.chain = self.chain.moved_to(row)
        self._compare_noted()

    def _gap(self, first: int, end: int) -> None:
        """Name what is not there, or cannot be read, from ``first`` up to ``end``."""
        for number in range(first, min(end, first + MOST_NAMED)):
            damaged = self._is_damaged(number)
            self.damaged += damaged
            self.fault(number, DAMAGED if damaged else MISSING)
        if end > first + MOST_NAMED:
            self.fault(first + MOST_NAMED, f"{MISSING}, and all up to {end - 1}")

    def _is_damaged(self, number: int) -> bool:
        try:
            self.reader.row(AUDIT, (number,))
        except CorruptState:
            return True
        return False

    def _compare_noted(self) -> None:
        if self.noted is not None and self.noted[0] == self.chain.number:
            number, digest = self.noted
            if self.chain.hash != digest:
                self.fault(number, "is another than the one that was noted")


def _noted(head: str | None) -> tuple[int, str] | None:
    if head is None:
        return None
    number, colon, digest = head.partition(":")
    if not colon or not number.isascii() or not number.isdigit() or not digest:
        message = f"{head[:100]!r} is no head of an audit; give NUMBER:HASH as `audit head` has it"
        raise ConfigurationError(message)
    return int(number), digest
