"""Keys of the audit follow one another by an act; with a retired one nobody writes a thing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from perdure import Audit, StaticKeys
from perdure.persistence.audit.entries import Anchor, key_of
from perdure.persistence.audit.verification import AuditReport
from perdure.persistence.errors import ConfigurationError, KeyMissing
from perdure.persistence.records.chain import START, AuditRecord, Chain
from perdure.persistence.records.shared_tables import AUDIT_ANCHOR
from perdure.persistence.secrets.keys import key_text
from perdure.persistence.sqlite.tables import checksum
from tests.access.agents import call, opened
from tests.cli.commands import invoke, records

from .test_tampering import behind, innocent, put, row_of, verified

OLD = StaticKeys({"k1": b"1" * 32})
BOTH = StaticKeys({"k2": b"2" * 32, "k1": b"1" * 32})
RETIRED = key_of(OLD, "k1") or b""
CHANGED = 7
"""The number of the row from which on the second key holds."""
LAST = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a store whose audit changed its key: rows 1 to 6 under k1, 7 to 10 under k2."""
    file = tmp_path / "a.db"
    with opened(file, audit=Audit(key=OLD)) as system:
        decide(system, CHANGED - 2)
    with opened(file, audit=Audit(key=BOTH)) as system:
        assert system.audit.seal()
        decide(system, LAST - CHANGED)
        assert system.audit.verify().intact
    assert verified(file, BOTH).last == LAST
    return file


def decide(system: object, times: int) -> None:
    """Have decisions made."""
    for _ in range(times):
        with pytest.raises(Exception, match="may not"):
            call(system, "anna", "increment", "workflow:w", "k")  # type: ignore[arg-type]


def record_of(row: tuple[object, ...]) -> AuditRecord:
    """Return what a stored decision says."""
    return AuditRecord(row[2], row[3:6], row[6:9], *row[9:15])  # type: ignore[arg-type]


def forge(connection: sqlite3.Connection, first: int, upto: int, *, back: int = 0) -> None:
    """Make the rows from ``first`` up to ``upto`` anew with the retired key, and drop those behind.

    ``back`` is a row that becomes one by which that key is in force again.
    """
    rows = [row_of(connection, number) for number in range(1, upto + 1)]
    connection.execute("DELETE FROM audit WHERE number >= ?", (first,))
    chain = START if first == 1 else Chain().moved_to(rows[first - 2])
    chain = chain._replace(key=RETIRED)
    for row in rows[first - 1 :]:
        record = record_of(innocent(row) if row[11] != "sealed" else row)
        if row[0] == back:
            record = record_of((*rows[0][:1], row[1], *rows[0][2:]))
        chain, made = chain.link(row[1], record)  # type: ignore[arg-type]
        put(connection, made)


def found_out(path: Path) -> AuditReport:
    """Verify before and after somebody opens the store and goes on; return the second report."""
    assert not verified(path, BOTH).intact
    with opened(path, audit=Audit(key=BOTH)) as system:
        decide(system, 2)
        return system.audit.verify()


@pytest.mark.parametrize("upto", range(1, CHANGED))
@pytest.mark.parametrize("first", [1, 2, 4, 6])
def test_a_holder_of_the_retired_key_cannot_undo_the_change(
    path: Path, first: int, upto: int
) -> None:
    """As if the new key had never come: found before and after the owner goes on."""
    with behind(path) as connection:
        forge(connection, first, max(first, upto))
    assert not found_out(path).intact


@pytest.mark.parametrize("first", range(CHANGED + 1, LAST + 1))
def test_a_holder_of_the_retired_key_cannot_go_back_to_it(path: Path, first: int) -> None:
    """Behind the new key, too: a key that was left never holds again."""
    with behind(path) as connection:
        forge(connection, first, LAST, back=first)
    report = found_out(path)
    assert first in {fault.number for fault in report.faults}


@pytest.mark.parametrize("first", range(2, LAST))
def test_a_holder_of_the_retired_key_changes_no_row_before_or_behind(
    path: Path, first: int
) -> None:
    """The new key's seal stands for all before it, and nothing behind it is the old one's."""
    with behind(path) as connection:
        rows = [row_of(connection, number) for number in range(1, LAST + 1)]
        forge(connection, first, first)
        for row in rows[first:]:
            put(connection, row)
    assert not found_out(path).intact


def test_a_holder_of_the_retired_key_cuts_off_no_beginning(path: Path) -> None:
    """An anchor is sealed with the current key, wherever it stands."""
    with behind(path) as connection:
        chain = Chain().moved_to(row_of(connection, 3))
        connection.execute("DELETE FROM audit WHERE number <= 3")
        row = Anchor.sealed(chain._replace(key=RETIRED), "k1", OLD).row(0.0)
        marks = (*row, checksum(AUDIT_ANCHOR, row))
        connection.execute("INSERT INTO audit_anchor VALUES (?, ?, ?, ?, ?, ?)", marks)
    assert not verified(path, BOTH).intact


def test_an_end_that_is_cut_off_behind_the_change_needs_a_noted_head(path: Path) -> None:
    """Nobody needs a key for that, and the guide says so."""
    head = verified(path, BOTH).head
    with behind(path) as connection:
        connection.execute("DELETE FROM audit WHERE number > ?", (CHANGED + 1,))
    assert verified(path, BOTH).intact
    assert not verified(path, BOTH, head=head).intact


def test_what_is_sealed_without_a_look_counts_as_good(path: Path) -> None:
    """That is what the act says; a head that was noted before still tells."""
    head = verified(path, BOTH).head
    with behind(path) as connection:
        forge(connection, 2, CHANGED - 1)
    with opened(path, audit=Audit(key=BOTH)) as system:
        system.audit.seal()
        assert system.audit.verify().intact
        assert not system.audit.verify(head=head).intact


def test_until_then_the_chain_goes_on_as_it_was(tmp_path: Path) -> None:
    """The new key changes nothing by itself; verifying says what to do, and that is enough."""
    with opened(tmp_path / "a.db", audit=Audit(key=OLD)) as system:
        decide(system, 2)
    with opened(tmp_path / "a.db", audit=Audit(key=BOTH)) as system:
        decide(system, 2)
        (fault,) = system.audit.verify().faults
        assert "system.audit.seal()" in fault.what
        assert [entry.reason for entry in system.audit.list(outcome="sealed")] == ["k1"]
        system.audit.seal()
        assert system.audit.verify().intact
    with opened(tmp_path / "a.db", audit=Audit(key=BOTH, keep=2)) as system:
        decide(system, 5)
        assert system.audit.trim() > 0
        assert system.audit.verify().intact


def test_a_key_that_was_left_cannot_hold_again(path: Path) -> None:
    """It is refused where it is asked for, in a system and on the command line."""
    again = StaticKeys({"k1": b"1" * 32, "k2": b"2" * 32})
    with opened(path, audit=Audit(key=again)) as system:
        seal = system.audit.seal
        with pytest.raises(ConfigurationError, match="make a new one"):
            seal()
    with opened(path) as system, pytest.raises(ConfigurationError, match="no key"):
        system.audit.seal()


def test_the_key_in_force_must_be_given_until_it_is_left(path: Path, tmp_path: Path) -> None:
    """Without it nothing is opened; where it is lost, the command line goes on without it."""
    third = StaticKeys({"k3": b"3" * 32})
    with pytest.raises(KeyMissing, match="perdure audit seal"):
        opened(path, audit=Audit(key=third))
    keys = tmp_path / "keys.txt"
    keys.write_text(f"k3 {key_text(b'3' * 32)}\n", encoding="utf-8")
    keys.chmod(0o600)
    (told,) = records("audit", "seal", "-s", path, "--keys", keys)
    assert (told["sealed"], told["key"]) == (True, "k3")
    (told,) = records("audit", "seal", "-s", path, "--keys", keys)
    assert told["sealed"] is False
    assert "holds already" in invoke("audit", "seal", "-s", path, "--keys", keys).stderr
    assert invoke("audit", "seal", "-s", path).exit_code == 2
    with opened(path, audit=Audit(key=third)) as system:
        decide(system, 1)
        report = system.audit.verify()
        assert report.faults == ()
        assert report.unchecked == LAST
