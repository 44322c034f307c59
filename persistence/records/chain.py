"""The audit's hash chain: each decision carries the hash of all before it.

A changed, removed or inserted row breaks the chain where it happened (Schneier and Kelsey, "Secure
Audit Logs", 1999). With a key the links are HMACs: whoever has the file, but not the key, can not
write a chain that verifies.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple

from .tables import Row, Value

_NOTHING: Final = "0" * 64
_HASH: Final = -1
"""The hash is the last column of an audit row."""


class AuditRecord(NamedTuple):
    """A decision that is not numbered yet."""

    time: float
    who: tuple[str, str, str]
    """Principal: kind, id, part."""
    scope: tuple[str, str, str]
    key: str
    operation: str
    outcome: str
    """``allowed``, ``refused``, or ``undone``: allowed, and the turn behind it was undone."""
    reason: str
    times: int
    correlation: int
    link_key: bytes | None = None
    """The key of its link and of those behind it; None: no other than before. Never stored."""


def summed(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Return equal decisions as one, with the time of the first and how many they were."""
    counted: dict[AuditRecord, AuditRecord] = {}
    for record in records:
        same = record._replace(time=0.0, times=0)
        first = counted.get(same)
        counted[same] = (
            record if first is None else first._replace(times=first.times + record.times)
        )
    return list(counted.values())


class Chain(NamedTuple):
    """The newest link; makes the next one."""

    number: int = 0
    hash: str = _NOTHING
    key: bytes = b""
    before: AuditRecord | None = None
    """What must be linked before the next decision: that another key holds from there on."""

    def link(self, sequence: int, record: AuditRecord) -> tuple[Chain, Row]:
        """Return the chain with one decision more, and its row."""
        time, who, scope, name, operation, outcome, reason, times, correlation, other = record
        number = self.number + 1
        row: Row = (
            number, sequence, time, *who, *scope, name, operation, outcome, reason, times,
            correlation,
        )  # fmt: skip
        key = self.key if other is None else other
        chain = Chain(number, self._hash_of(row, key), key)
        return chain, (*row, chain.hash)

    def linked(self, sequence: int, records: Sequence[AuditRecord]) -> tuple[Chain, list[Row]]:
        """Return the chain with the decisions of a commit, and their rows."""
        chain, rows = self, list[Row]()
        if self.before is not None and records:
            records = (self.before, *records)
        for record in records:
            chain, row = chain.link(sequence, record)
            rows.append(row)
        return chain, rows

    def follows(self, row: Row) -> bool:
        """Tell whether ``row`` is the link after this one, unchanged."""
        return row[0] == self.number + 1 and hmac.compare_digest(
            str(row[_HASH]), self._hash_of(row[:_HASH], self.key)
        )

    def moved_to(self, row: Row) -> Chain:
        """Return the chain that ends with ``row``."""
        number, digest = row[0], row[_HASH]
        assert isinstance(number, int)
        return Chain(number, str(digest), self.key)

    def seal(self, *values: Value) -> str:
        """Return a hash over values that stand for the chain so far."""
        return self._hash_of(values, self.key)

    def _hash_of(self, values: Sequence[Value], key: bytes) -> str:
        # Lengths before the texts: no value can pass for the end of another.
        text = self.hash
        for part in map(repr, values):
            text += f"\0{len(part)}:{part}"
        data = text.encode(errors="surrogatepass")
        if key:
            return hmac.new(key, data, hashlib.sha256).hexdigest()
        return hashlib.sha256(data).hexdigest()


START: Final = Chain()
"""The chain before the first decision."""
