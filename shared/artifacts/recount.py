"""Count again what a damaged tally has counted: everything it says is in the artifacts' rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import CorruptState
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import ARTIFACT_NAMES, ARTIFACTS
from ...persistence.records.tables import Change, Key, Order, Row
from ..ledger.ledger import Ledger
from ..ledger.unit import EndingUnit
from .records import KIND, NAME, SIZE, VERSION

logger = logging.getLogger("perdure.lifecycle")

PAGE: Final = 500


def mend(ledger: Ledger, supervisor: PersistenceSupervisor) -> int:
    """Write each tally anew that fails its checksum; return how many did."""
    mended = 0
    after: Key | None = None
    while keys := ledger.store.keys(ARTIFACT_NAMES, after, PAGE):
        for key in keys:
            try:
                ledger.newest(ARTIFACT_NAMES, key)
            except CorruptState as error:
                logger.warning("%s; it is counted again", error)
                _count_again(ledger, supervisor, key)
                mended += 1
        after = keys[-1]
    return mended


def last_number(ledger: Ledger) -> int:
    """Return the highest number an artifact has."""
    newest = ledger.page(ARTIFACTS, Order(("number",), descending=True), None, 1)
    return int(str(newest[0][0])) if newest else 0


def _count_again(ledger: Ledger, supervisor: PersistenceSupervisor, key: Key) -> None:
    # Under the lock nothing is appended, so what is counted stays true until this is.
    with ledger.lock:
        row = _counted(ledger, key)
        commit = Commit(name="(mend)")
        ending = EndingUnit([Change(ARTIFACT_NAMES, key, row)], [])
        commit.with_effects().rows = ending.changes
        ledger.publish(ending, supervisor.append(commit))


def _counted(ledger: Ledger, key: Key) -> Row:
    *scope, name = key
    last = count = size = 0
    for row in _newest(ledger):
        if (scope[0] and list(row[KIND:NAME]) != scope) or (name and row[NAME] != name):
            continue
        number, version, more = (int(str(row[at])) for at in (0, VERSION, SIZE))
        last = max(last, version if name else 0 if scope[0] else number)
        count, size = count + 1, size + more
    return (*key, last, count, size, 0)


def _newest(ledger: Ledger) -> Iterator[Row]:
    appended = ledger.appended(ARTIFACTS)
    yield from (row for row in appended.values() if row is not None)
    after: Row | None = None
    while page := ledger.page(ARTIFACTS, Order(("number",)), after, PAGE):
        yield from (row for row in page if row[:1] not in appended)
        after = page[-1][:1]
