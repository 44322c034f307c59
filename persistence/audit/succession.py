"""The key that the audit's chain goes on with: at an opening, and by an act of its own."""

from __future__ import annotations

import logging
from typing import Final

from ..errors import ConfigurationError, KeyMissing
from ..names.scope import Principal, Scope
from ..records.chain import START, AuditRecord, Chain
from ..records.records import Commit
from ..records.shared_tables import AUDIT, AUDIT_ANCHOR
from ..records.tables import Change, Order, Row
from ..secrets.keys import KeyProvider
from ..store.store import StoreReader
from .entries import (
    BY_NUMBER,
    PAGE,
    SEALED,
    Anchor,
    AuditEntry,
    anchor_or_none,
    key_from,
    key_in_force,
    key_of,
)

logger = logging.getLogger("perdure.persistence")

KEYED: Final = "(chain key)"
KEYED_ANEW: Final = "(chain key, behind decisions without one)"
KEYED_BROKEN: Final = "(chain key, behind decisions that do not verify)"
_OPERATION: Final = AUDIT.names.index("operation")
_OUTCOME: Final = AUDIT.names.index("outcome")
_REASON: Final = AUDIT.names.index("reason")


def gone_on(reader: StoreReader, chain: Chain, keys: KeyProvider | None, now: float) -> Chain:
    """Return the chain with the key it goes on with; KeyMissing if that is not there.

    A first key, and a key behind decisions that verifying will name for ever, holds from the first
    decision that follows: whoever opens the store and decides nothing leaves no trace. Else the
    key in force stays in force until ``sealing`` is asked for: a chain that ends under another key
    than the current one may have been cut off and made anew by who has that other key, and the
    seal of the current one would hide it.
    """
    key_id = "" if keys is None else keys.current()
    if keys is not None:
        keys.key(key_id)
    operation = KEYED if keys is None else _looked_over(reader, keys)
    in_force = key_in_force(reader)
    if in_force == key_id and operation == KEYED:
        return chain._replace(key=key_of(keys, key_id) or b"")
    if keys is not None and operation == KEYED and chain.number:
        return chain._replace(key=_waiting(keys, in_force, key_id))
    who, where = Principal.SYSTEM.columns, Scope.GLOBAL.columns
    changed = AuditRecord(now, who, where, "", operation, SEALED, key_id, 1, 0)
    return chain._replace(key=key_of(keys, key_id) or b"", before=changed)


def _waiting(keys: KeyProvider, in_force: str, current: str) -> bytes:
    """Return the key in force, which the current one does not replace by itself."""
    key = key_of(keys, in_force)
    if key is None:
        message = (
            f"the audit ends under the key {in_force!r}, which was not given: give it, too, behind"
            f" the current one {current!r}, or run perdure audit seal --keys ..."
        )
        raise KeyMissing(message, key_id=in_force)
    logger.error(
        "the audit ends %s, not under the current one %r, and goes on like that: compare a head"
        " that was noted elsewhere, then call system.audit.seal() or run perdure audit seal",
        f"under the key {in_force!r}" if in_force else "without a key", current,
    )  # fmt: skip
    return key


def sealing(reader: StoreReader, keys: KeyProvider | None, now: float) -> Commit | None:
    """Return the commit by which the chain goes on under the current key.

    None if it does. ConfigurationError without a key, or for one that was in force and left: who
    has a retired key could make what follows.
    """
    if keys is None:
        raise ConfigurationError("there is no key to seal the audit with; give Audit(key=...)")
    current = keys.current()
    keys.key(current)
    if key_in_force(reader) == current:
        return None
    if current in _held(reader):
        message = (
            f"the audit was under the key {current!r} before and left it, so that key cannot hold"
            " again: make a new one and have it be the current key"
        )
        raise ConfigurationError(message)
    who, where = Principal.SYSTEM.columns, Scope.GLOBAL.columns
    record = AuditRecord(
        now, who, where, "", KEYED, SEALED, current, 1, 0, link_key=key_of(keys, current)
    )
    commit = Commit(time=now, name="(audit sealed)")
    effects = commit.with_effects()
    effects.audit = [record]
    anchor = anchor_or_none(reader)
    # A forged anchor must not get a seal: it stays as it is, and verifying names it.
    if anchor is None or not anchor.holds(keys):
        return commit
    chain = anchor.chain._replace(key=key_of(keys, anchor.key_id) or b"")
    row = Anchor.sealed(chain, anchor.key_id, keys).row(now)
    effects.rows = [Change(AUDIT_ANCHOR, (1,), row)]
    return commit


def _looked_over(reader: StoreReader, keys: KeyProvider) -> str:
    """Check the newest decisions; return what the row says from which on a key holds."""
    rows = reader.page(AUDIT, BY_NUMBER._replace(descending=True), None, PAGE)[::-1]
    if not rows:
        return KEYED
    key_id = _key_before(reader, rows[0])
    ever = bool(key_id) or any(_held(reader))
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
    anchor = anchor_or_none(reader)
    return START if anchor is None else anchor.chain


def _key_before(reader: StoreReader, row: Row) -> str:
    """Return the id of the key in force before a row."""
    order = Order(("outcome", "number"), (SEALED,), descending=True)
    before = reader.page(AUDIT, order, row[:1], 1)
    if before:
        return AuditEntry.of(before[0]).reason
    anchor = anchor_or_none(reader)
    return "" if anchor is None else anchor.key_id


def _held(reader: StoreReader) -> set[str]:
    """Return the ids of the keys, and "" for none, under which something that is kept was made."""
    anchor = anchor_or_none(reader)
    held = set() if anchor is None else {anchor.key_id}
    after: Row | None = None
    order = Order(("outcome", "number"), (SEALED,))
    while page := reader.page(AUDIT, order, after, PAGE):
        held.update(str(row[_REASON]) for row in page)
        after = page[-1][:1]
    return held
