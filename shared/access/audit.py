"""The audit as people read it: decisions in order, filtered, verified, and trimmed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import ClassVar, Final, TypedDict, Unpack

from ...persistence.audit.entries import (
    BY_NUMBER,
    Anchor,
    AuditEntry,
    Filter,
    anchor_of,
    entries,
    key_from,
    key_of,
)
from ...persistence.audit.succession import sealing
from ...persistence.audit.verification import AuditReport, verify
from ...persistence.errors import Denied
from ...persistence.names.scope import Principal, Scope
from ...persistence.options import Options
from ...persistence.records.chain import START
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import AUDIT, AUDIT_ANCHOR, AUDIT_CAUSES
from ...persistence.records.tables import Change, Order
from ...persistence.secrets.keys import KeyProvider
from ...persistence.store.committer import Committer
from ...persistence.store.store import StoreReader
from ..ledger.desk import Desk, Handle
from ..ledger.sweep import Sweep

logger = logging.getLogger("perdure.lifecycle")

SLICE: Final = 2_000
"""Decisions that are trimmed in one commit."""
EVERY: Final = 1.0
"""Seconds between two looks whether it is too long."""
SLACK: Final = 1_000
"""Decisions above the limit before trimming begins by itself, or a tenth of it if that is less."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Say what the audit keeps, and for how long."""

    reads: bool = True
    """Allowed reads and lists, too; refused ones always."""
    keep: int | None = 100_000
    """Decisions kept, about; older ones are trimmed. None for all."""
    key: KeyProvider | None = None
    """Chain by HMAC: without the key nobody who has the file can write a chain that verifies."""

    def __post_init__(self) -> None:
        """Refuse to keep nothing: the newest decision holds the end of the chain."""
        options = Options(self)
        options.flag("reads")
        options.whole("keep", least=1, none="all")
        if self.key is not None:
            options.methods("key", ("current", "key"), "a provider of keys, as FileKeys(path)")


class DecisionSelection(TypedDict, total=False):
    """Which decisions: what ``list``, ``each`` and ``count`` of the audit take."""

    who: Principal | None
    scope: Scope | None
    outcome: str | None
    operation: str | None
    correlation: int | None
    since: float | None


class AuditTrail(Handle):
    """Read, verify and trim the audit. For the system alone: Denied in handlers."""

    def __init__(
        self,
        desk: Desk,
        store: StoreReader,
        options: Audit,
        *,
        committer: Committer,
        append: Callable[[Commit], int],
    ) -> None:
        """Read from ``store``; trim by commits that ``append`` takes."""
        super().__init__(desk)
        self._store = store
        self._options = options
        self._committer = committer
        self._append = append
        self._trimming = threading.Lock()
        self._anchor: Anchor | None = None  # the newest, durable or not

    def list(
        self,
        *,
        who: Principal | None = None,
        scope: Scope | None = None,
        outcome: str | None = None,
        operation: str | None = None,
        correlation: int | None = None,
        since: float | None = None,
        after: int | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> Page[AuditEntry]:
        """Return a page of the durable decisions that fit all that is given.

        Oldest first; with ``newest`` newest first. ``after`` is the number of the decision before,
        ``since`` is in seconds since the epoch.
        """
        self._for_the_system()
        wanted = Filter(who, scope, outcome, operation, correlation, since)
        found = entries(self._store, wanted, after=after, newest=newest)
        return page_of(found, limit, attrgetter("number"))

    def each(
        self, *, after: int | None = None, newest: bool = False, **wanted: Unpack[DecisionSelection]
    ) -> Iterator[AuditEntry]:
        """Iterate over all decisions in that order; takes what ``list`` takes."""
        return walk(lambda place: self.list(after=place, newest=newest, **wanted), after)

    def count(self, **wanted: Unpack[DecisionSelection]) -> int:
        """Return how many durable decisions fit; takes what ``list`` takes, and time to match."""
        self._for_the_system()
        return sum(1 for _ in entries(self._store, Filter(**wanted)))

    def verify(self, *, head: str | None = None) -> AuditReport:
        """Read and check every decision; ``head`` is a link that was noted before, elsewhere.

        Without a key, somebody who rewrites the file and all hashes behind his change is found out
        by a noted head only; so is who cuts off the newest rows. Who cuts off the oldest as if they
        had been trimmed is found out with a key only.
        """
        self._for_the_system()
        return verify(self._store, self._options.key, head)

    def head(self) -> str:
        """Return the newest durable link as ``NUMBER:HASH``, to be noted elsewhere."""
        self._for_the_system()
        return head_of(self._store)

    def seal(self) -> bool:
        """Go on under the current key of ``Audit.key``; durable when it returns. False if it does.

        To be called once, when the keys were changed, after a look at a head that was noted
        elsewhere: what stands there now counts as good from then on, also for who has the old key
        only. ConfigurationError without a key, or for one that was left before.
        """
        self._for_the_system()
        self._desk.wait()
        with self._trimming:
            commit = sealing(self._store, self._options.key, self._desk.now())
            if commit is None:
                return False
            self._append(commit)
            self._desk.wait()
            self._anchor = None
        return True

    def trim(self) -> int:
        """Trim what is more than ``Audit.keep`` allows; return how many decisions went."""
        self._for_the_system()
        trimmed = 0
        while step := self._slice(1):
            trimmed += step
            self._committer.flush()
        return trimmed

    def sweep(self) -> None:
        """Trim a slice if there is much too much."""
        keep = self._options.keep
        if keep is not None:
            self._slice(min(SLACK, max(1, keep // 10)))

    def _slice(self, least: int) -> int:
        """Trim up to a slice if at least ``least`` decisions are too many; return how many went."""
        keep = self._options.keep
        with self._trimming:
            if keep is None:
                return 0
            chain = START if (before := self._begin()) is None else before.chain
            too_many = self._committer.audited - keep - chain.number
            if too_many < least:
                return 0
            key_id = "" if before is None else before.key_id
            rows = self._store.page(AUDIT, BY_NUMBER, (chain.number,), min(too_many, SLICE))
            for row in rows:
                key_id = key_from(row, key_id)
                key = key_of(self._options.key, key_id)
                if key is None and self._options.key is None:
                    return 0  # nobody here could seal what is left: that is for who has the key
                if key is not None and not chain._replace(key=key).follows(row):
                    # What was tampered with is evidence, and stays.
                    logger.error(
                        "row %s of the audit does not follow from the one before; nothing is"
                        " trimmed until somebody has looked into that", row[0]
                    )  # fmt: skip
                    return 0
                chain = chain.moved_to(row)
            if not rows:
                return 0
            chain = chain._replace(key=key_of(self._options.key, key_id) or b"")
            anchor = Anchor.sealed(chain, key_id, self._options.key)
            commit = Commit()
            gone = [Change(AUDIT, row[:1], None) for row in rows]
            causes = self._causes_below(int(str(rows[-1][1])))
            commit.with_effects().rows = [
                *gone, *causes, Change(AUDIT_ANCHOR, (1,), anchor.row(self._desk.now()))
            ]  # fmt: skip
            self._append(commit)
            self._anchor = anchor
            return len(rows)

    def _causes_below(self, sequence: int) -> Sequence[Change]:
        """Return the end of what is kept of commits all of whose decisions go."""
        rows = self._store.page(AUDIT_CAUSES, Order(("sequence",)), None, SLICE)
        return [Change(AUDIT_CAUSES, row[:1], None) for row in rows if int(str(row[0])) < sequence]

    def _begin(self) -> Anchor | None:
        if self._anchor is None:
            self._anchor = anchor_of(self._store, self._options.key)
        return self._anchor

    def _for_the_system(self) -> None:
        who = self._desk.standing().principal
        if who != Principal.SYSTEM:
            raise Denied(f"{who} may not look into the audit; only the system may")


class AuditSweep(Sweep):
    """Keep the audit within its limit."""

    what: ClassVar[str] = "the audit is not trimmed"
    first: ClassVar[float] = 1.0

    def __init__(self, trail: AuditTrail) -> None:
        """Trim ``trail``."""
        super().__init__()
        self._trail = trail

    def slice(self) -> float:
        """Trim a slice if there is much too much."""
        self._trail.sweep()
        return EVERY


def head_of(store: StoreReader) -> str:
    """Return the newest link of a store's audit as ``NUMBER:HASH``."""
    newest = store.page(AUDIT, BY_NUMBER._replace(descending=True), None, 1)
    if newest:
        entry = AuditEntry.of(newest[0])
        return f"{entry.number}:{entry.hash}"
    anchor = anchor_of(store, None)
    chain = START if anchor is None else anchor.chain
    return f"{chain.number}:{chain.hash}"
