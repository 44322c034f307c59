"""The audit as it is stored: its entries, filtered, and the key its chain goes on with."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ..errors import CorruptState, PerdureError, ScopeError
from ..names.scope import Principal, Scope
from ..records.chain import START, AuditRecord, Chain
from ..records.shared_tables import AUDIT, AUDIT_ANCHOR
from ..records.tables import Order, Row
from ..secrets.keys import KeyProvider
from ..store.store import StoreReader

V = TypeVar("V", Scope, Principal)

logger = logging.getLogger("perdure.persistence")

PAGE: Final = 500
SEALED: Final = "sealed"
"""The outcome of the row from which on the chain has another key; its reason is the key's id."""
KEYED: Final = "(chain key)"
KEYED_ANEW: Final = "(chain key, behind decisions without one)"
KEYED_BROKEN: Final = "(chain key, behind decisions that do not verify)"
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
    reader: StoreReader, wanted: Filter, *, after: int = 0, newest: bool = False
) -> Iterator[AuditEntry]:
    """Iterate over durable decisions with a number above ``after``, oldest (or newest) first."""
    order = wanted.order(descending=newest)
    last: Row | None = None if newest else (after,)
    while page := reader.page(AUDIT, order, last, PAGE):
        for row in page:
            entry = AuditEntry.of(row)
            if entry.number <= after:
                return
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
        """Return an anchor, sealed with the chain's key, else with the one that holds now."""
        sealer, key = key_id, key_of(keys, key_id)
        if not key:
            sealer = "" if keys is None else keys.current()
            key = key_of(keys, sealer) or b""
        return cls(chain, key_id, sealer, _seal(chain, key_id, key))

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


def gone_on(reader: StoreReader, chain: Chain, keys: KeyProvider | None, now: float) -> Chain:
    """Return the chain with the key it goes on with; KeyMissing if that is not there.

    A change of keys is linked with the first decision that follows: whoever opens the store and
    decides nothing leaves no trace. With a key, the newest decisions are checked before it is put
    to use: what does not verify gets no seal in silence, but a row that says so.
    """
    key_id = "" if keys is None else keys.current()
    if keys is not None:
        keys.key(key_id)
    going_on = chain._replace(key=key_of(keys, key_id) or b"")
    operation = KEYED if keys is None else _looked_over(reader, keys)
    if key_in_force(reader) == key_id and operation == KEYED:
        return going_on
    who, where = Principal.SYSTEM.columns, Scope.GLOBAL.columns
    changed = AuditRecord(now, who, where, "", operation, SEALED, key_id, 1, 0)
    return going_on._replace(before=changed)


def _looked_over(reader: StoreReader, keys: KeyProvider) -> str:
    """Check the newest decisions; return what the row says from which on a key holds."""
    rows = reader.page(AUDIT, BY_NUMBER._replace(descending=True), None, PAGE)[::-1]
    if not rows:
        return KEYED
    key_id = _key_before(reader, rows[0])
    ever = bool(key_id) or _was_keyed(reader)
    operation, last = KEYED, None if len(rows) == PAGE else _beginning(reader)
    for row in rows:
        key_id = key_from(row, key_id)
        key = key_of(keys, key_id)
        follows = last is None or key is None or last._replace(key=key).follows(row)
        if not follows:
            operation = KEYED_BROKEN
        elif row[_OUTCOME] == SEALED and row[_OPERATION] in (KEYED_ANEW, KEYED_BROKEN):
            operation = KEYED  # it was told before
        last = Chain().moved_to(row)
    if operation == KEYED and not key_id and ever:
        operation = KEYED_ANEW
    if operation == KEYED_BROKEN:
        logger.error(
            "the newest decisions of the audit do not follow from one another: somebody changed"
            " them; perdure audit verify names the rows"
        )
    elif operation == KEYED_ANEW:
        logger.error(
            "the newest decisions of the audit have no key, unlike others before: somebody opened"
            " the store without it, or rewrote them; perdure audit verify names the first"
        )
    elif not key_id:
        logger.warning(
            "the audit's decisions up to %s have no key; if they should have one, somebody rewrote"
            " all of them: compare a head that was noted elsewhere", rows[-1][0]
        )  # fmt: skip
    return operation


def _beginning(reader: StoreReader) -> Chain:
    """Return what the oldest row that is kept must follow from."""
    anchor = _anchor_or_none(reader)
    return START if anchor is None else anchor.chain


def _key_before(reader: StoreReader, row: Row) -> str:
    """Return the id of the key in force before a row."""
    order = Order(("outcome", "number"), (SEALED,), descending=True)
    before = reader.page(AUDIT, order, row[:1], 1)
    if before:
        return AuditEntry.of(before[0]).reason
    anchor = _anchor_or_none(reader)
    return "" if anchor is None else anchor.key_id


def _was_keyed(reader: StoreReader) -> bool:
    """Tell whether anything that is kept says that the chain once had a key."""
    anchor = _anchor_or_none(reader)
    if anchor is not None and anchor.key_id:
        return True
    after: Row | None = None
    order = Order(("outcome", "number"), (SEALED,))
    while page := reader.page(AUDIT, order, after, PAGE):
        if any(row[_REASON] for row in page):
            return True
        after = page[-1][:1]
    return False


def _anchor_or_none(reader: StoreReader) -> Anchor | None:
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
