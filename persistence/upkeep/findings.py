"""Stable names for what the doctor finds: each is a section of the runbook."""

from __future__ import annotations

import enum
import re
from collections import Counter
from typing import Final

from .doctor import BadRow, Report

RUNBOOK: Final = "docs/guides/runbook.md"
"""The page that has a section for each."""


class Code(enum.StrEnum):
    """What is wrong."""

    UNREADABLE = "table-unreadable"
    INDEX = "index-disagrees"
    FREE_PAGES = "free-pages"
    HEAD = "agent-head"
    SHAPE = "agent-shape"
    FIELD = "field"
    LOG_ITEM = "log-item"
    MAP_ENTRY = "map-entry"
    BASE = "base-value"
    JOURNAL = "journal-entry"
    MAIL = "mail"
    TIMER = "timer"
    DEAD_LETTER = "dead-letter"
    SHARED = "shared-row"
    CONTENT = "content-missing"
    AUDIT = "audit-fault"
    GONE = "went-back"
    ORPHANS = "orphans"
    WAL_BUG = "wal-bug"


NOTICES: Final = (Code.ORPHANS, Code.WAL_BUG)
"""What is no damage."""
_BY_TABLE: Final = {
    "fields": Code.FIELD, "log_items": Code.LOG_ITEM, "map_entries": Code.MAP_ENTRY,
    "base_fields": Code.BASE, "journal": Code.JOURNAL, "mailbox": Code.MAIL,
    "timers": Code.TIMER, "dead_letters": Code.DEAD_LETTER,
}  # fmt: skip
_INDEX: Final = re.compile(r"(missing from|entries in|entry in) index|rowid not at end")
_FREE: Final = re.compile(r"freelist|free-page|never used", re.IGNORECASE)


def code_of(complaint: str) -> Code:
    """Return what a complaint about the file is of."""
    if _INDEX.search(complaint):
        return Code.INDEX
    return Code.FREE_PAGES if _FREE.search(complaint) else Code.UNREADABLE


def code_of_row(row: BadRow) -> Code:
    """Return what a bad row is of."""
    if row.table == "agents":
        return Code.SHAPE if row.place == "(shape)" else Code.HEAD
    if row.place.endswith(" is missing"):
        return Code.CONTENT
    return _BY_TABLE.get(row.table, Code.SHARED)


def codes(report: Report) -> dict[str, int]:
    """Count what was found, by its code; notices too."""
    found = Counter(code_of(complaint) for complaint in report.damage)
    found.update(code_of_row(row) for row in report.bad)
    found[Code.AUDIT] += len(report.audit)
    found[Code.GONE] += report.gone is not None
    found[Code.ORPHANS] += sum(report.orphans.values())
    found[Code.WAL_BUG] += report.wal_bug
    return {code.value: found[code] for code in Code if found[code]}
