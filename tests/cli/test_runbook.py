"""The runbook has a section for everything that the doctor finds, and for nothing else."""

import re
from typing import Final

import pytest

from perdure.persistence.records.shared_tables import SHARED_TABLES
from perdure.persistence.upkeep.doctor import BadRow
from perdure.persistence.upkeep.findings import RUNBOOK, Code, code_of, code_of_row
from tests.kit.children import ROOT

PAGE: Final = (ROOT / RUNBOOK).read_text()
SECTIONS: Final = dict(
    re.findall(
        r"^### ([\w-]+)\n(.*?)(?=^##)",
        PAGE.partition("## Findings")[2],
        re.MULTILINE | re.DOTALL,
    )
)
COMPLAINTS: Final = {
    "row 7 missing from index idx_timers_due": Code.INDEX,
    "wrong # of entries in index sqlite_autoindex_agents_1": Code.INDEX,
    "non-unique entry in index artifacts_kind_id_part_name_version": Code.INDEX,
    "Page 12: never used": Code.FREE_PAGES,
    "Freelist: size is 2 but should be 1": Code.FREE_PAGES,
    "Tree 9 page 9: btreeInitPage() returns error code 11": Code.UNREADABLE,
    "fields: database disk image is malformed": Code.UNREADABLE,
}
ROWS: Final = {
    ("agents", "(head)"): Code.HEAD,
    ("agents", "(shape)"): Code.SHAPE,
    ("fields", "total"): Code.FIELD,
    ("log_items", "notes[2]"): Code.LOG_ITEM,
    ("map_entries", "parts['a']"): Code.MAP_ENTRY,
    ("base_fields", "total"): Code.BASE,
    ("journal", "7"): Code.JOURNAL,
    ("mailbox", "7"): Code.MAIL,
    ("timers", "far"): Code.TIMER,
    ("dead_letters", "7"): Code.DEAD_LETTER,
    ("chunks", "of 3 is missing"): Code.CONTENT,
}


def test_each_code_has_a_section_and_each_section_a_code() -> None:
    """The sections of the runbook are the codes, in their order."""
    assert list(SECTIONS) == [code.value for code in Code]


@pytest.mark.parametrize("code", Code)
def test_a_section_says_what_to_do(code: Code) -> None:
    """Each section says what it means, what to do, and what is lost if nothing is done."""
    assert re.findall(r"^\*\*([\w ]+):\*\*", SECTIONS[code], re.MULTILINE) == [
        "It means",
        "Do",
        "If you do nothing",
    ]


@pytest.mark.parametrize(("complaint", "code"), COMPLAINTS.items())
def test_a_complaint_of_sqlite_has_its_code(complaint: str, code: Code) -> None:
    """What SQLite says of a file is told apart: tables, indexes, free pages."""
    assert code_of(complaint) is code


def test_a_bad_row_has_its_code() -> None:
    """Rows of an agent have codes of their own, those of declared tables one together."""
    for (table, place), code in ROWS.items():
        assert code_of_row(BadRow(table, "K", "k", place)) is code
    for table_ in SHARED_TABLES:
        assert code_of_row(BadRow(table_.name, "K", "k", "(row)")) is Code.SHARED
