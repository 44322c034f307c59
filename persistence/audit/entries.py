"""The audit as it is stored: its entries, filtered, and the key its chain goes on with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..errors import CorruptState, PerdureError, ScopeError
from ..names.scope import Principal, Scope
from ..records.chain import Chain
from ..records.shared_tables import AUDIT, AUDIT_ANCHOR
from ..records.tables import Order, Row
from ..secrets.keys import KeyProvider
from ..store.store import StoreReader

V = TypeVar("V", Scope, Principal)

PAGE: Final = 500
SEALED: Final = "sealed"
"""The outcome of the row from which on the chain has another key; its reason is the key's id."""
UNKNOWN: Final = "?"
"""Before the kind of a stored scope or principal that has no form known here."""
_OPERATION: Final = AUDIT.names.index("operation")
_OUTCOME: Final = AUDIT.names.index("outcome")
_REASON: Final = AUDIT.names.index("reason")
BY_NUMBER: Final = Order(("number",))
_WHO: Final = ("who_kind", "who_id", "who_part", "number")
_SCOPE: Final = ("kind", "id", "part", "number")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A decision about access, as it was made."""

    number: int
    """Its place in the chain."""
    sequence: int
    """The commit it stands in."""
    time: float
    """Seconds since the epoch."""
    who: Principal
    scope: Scope
    """Of a kind that begins with ``?`` where the row holds none that is known; so with ``who``."""
    key: str
    """Empty where the decision was about no key in particular."""
    operation: str
    outcome: str
    """``allowed``, ``refused``, or ``undone``: allowed, and what it was part of was undone."""
    reason: str
    times: int
    """How many equal decisions of one turn it stands for."""
    correlation: int
    hash: str

    @classmethod
    def of(cls, row: Row) -> AuditEntry:
        """Return a stored decision."""
        number, sequence, time, *who_and_scope = _any(row[:9])
        who, scope = _named(Principal, who_and_scope[:3]), _named(Scope, who_and_scope[3:])
        return cls(number, sequence, time, who, scope, *_any(row[9:]))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which decisions are wanted; None for any."""

    who: Principal | None = None
    scope: Scope | None = None
    outcome: str | None = None
    operation: str | None = None
    correlation: int | None = None
    since: float | None = None
    """Seconds since the epoch."""

    def order(self, *, descending: bool) -> Order:
        """Return the order that leaves out most of what is not wanted."""
        if self.who is not None:
            return Order(_WHO, self.who.columns, descending)
        if self.scope is not None:
            return Order(_SCOPE, self.scope.columns, descending)
        if self.outcome is not None:
            return Order(("outcome", "number"), (self.outcome,), descending)
        return BY_NUMBER._replace(descending=descending)

    def wants(self, entry: AuditEntry) -> bool:
        """Tell whether a decision is wanted."""
        return (
            (self.who is None or entry.who == self.who)
            and (self.scope is None or entry.scope == self.scope)
            and (self.outcome is None or entry.outcome == self.outcome)
            and (self.operation is None or entry.operation == self.operation)
            and (self.correlation is None or entry.correlation == self.correlation)
            and (self.since is None or entry.time >= self.since)
        )


def entries(
    reader: StoreReader, wanted: Filter, *, after: int | None = None, newest: bool = False
) -> Iterator[AuditEntry]:
    """Iterate over durable decisions behind the number ``after``, oldest (or newest) first."""
    order = wanted.order(descending=newest)
    last: Row | None = None if after is None else (after,)
    while page := reader.page(AUDIT, order, last, PAGE):
        for row in page:
            entry = AuditEntry.of(row)
            if wanted.wants(entry):
                yield entry
        last = page[-1][:1]


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last decision that was trimmed away: where the kept chain begins."""

    chain: Chain
    key_id: str
    """Of the key that the chain goes on with; "" for none."""
    sealer: str
    """Of the key that it is sealed with: also where the chain has none yet."""
    seal: str

    @classmethod
    def sealed(cls, chain: Chain, key_id: str, keys: KeyProvider | None) -> Anchor:
        """Return an anchor, sealed with the current key: who has a retired one makes none."""
        sealer = "" if keys is None else keys.current()
        return cls(chain, key_id, sealer, _seal(chain, key_id, key_of(keys, sealer) or b""))

    def holds(self, keys: KeyProvider | None) -> bool:
        """Tell whether it is as it was sealed, as far as the keys given tell."""
        key = key_of(keys, self.sealer)
        return key is None or hmac.compare_digest(self.seal, _seal(self.chain, self.key_id, key))

    def row(self, trimmed: float) -> Row:
        """Return it as it is stored."""
        seal = f"{self.key_id}\n{self.sealer}:{self.seal}"
        return (1, self.chain.number, self.chain.hash, trimmed, seal)


def _seal(chain: Chain, key_id: str, key: bytes) -> str:
    return chain._replace(key=key).seal("anchor", chain.number, key_id)


def anchor_of(reader: StoreReader, keys: KeyProvider | None) -> Anchor | None:
    """Return where the kept chain begins; None if nothing was ever trimmed."""
    row = reader.row(AUDIT_ANCHOR, (1,))
    if row is None:
        return None
    _, number, digest, _, text = _any(row)
    ids, _, seal = text.rpartition(":")
    key_id, _, sealer = ids.partition("\n")
    return Anchor(Chain(number, digest, key_of(keys, key_id) or b""), key_id, sealer, seal)


def key_of(keys: KeyProvider | None, key_id: str) -> bytes | None:
    """Return the bytes that the chain's links are made with; None if the key is not there."""
    if not key_id:
        return b""
    if keys is None:
        return None
    try:
        key = keys.key(key_id)
    except PerdureError:
        return None
    return hmac.new(key, b"perdure/audit/1", hashlib.sha256).digest()


def key_from(row: Row, before: str) -> str:
    """Return the id of the key that a row, and those behind it, are chained with."""
    return str(row[_REASON]) if row[_OUTCOME] == SEALED else before


def key_in_force(reader: StoreReader) -> str:
    """Return the id of the key that the newest link was made with; "" for none."""
    newest = reader.page(AUDIT, Order(("outcome", "number"), (SEALED,), descending=True), None, 1)
    if newest:
        return AuditEntry.of(newest[0]).reason
    anchor = anchor_of(reader, None)
    return "" if anchor is None else anchor.key_id


def anchor_or_none(reader: StoreReader) -> Anchor | None:
    """Return where the kept chain begins, if that can be read."""
    try:
        return anchor_of(reader, None)
    except CorruptState:
        return None  # verifying names it


def _named(kind: type[V], columns: Sequence[Any]) -> V:
    """Return a scope or principal; one marked as unknown where a row holds no such thing."""
    try:
        return kind(*columns)
    except ScopeError:
        unknown = object.__new__(kind)
        first, *more = map(str, columns)
        for name, value in zip(("kind", "id", "part"), (UNKNOWN + first, *more), strict=True):
            object.__setattr__(unknown, name, value)
        return unknown


def _any(row: Row) -> tuple[Any, ...]:
    return row
